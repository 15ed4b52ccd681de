//! A gateway and a sidecar behind it, both with the filter, and one Redis: each request passes both.

use serde_json::Value;

use crate::replicas::{PASSES, REPLAYED, expect, replica};
use crate::support::Result;
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::{Behaviour, Upstream};
use crate::windows::messages::{message, settings};
use crate::windows::site::Site;

/// A gateway, a sidecar behind it, and the application behind that. The first proxy of the site is the gateway.
async fn hops(gateway: &'static str, sidecar: &'static str) -> Result<Site> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let named = |replica: Replica, namespace: &'static str| {
        replica.plugin(move |plugin: &mut Value| plugin["replay"]["namespace"] = namespace.into())
    };
    let sidecar = named(replica(&upstream, &redis, &settings()), sidecar).start().await?;
    let gateway = named(Replica::new(sidecar.address(), &redis).settings(&settings()).patient(), gateway)
        .start()
        .await?;
    Ok(Site::of_proxies(upstream, vec![gateway, sidecar], Some(redis)))
}

#[tokio::test]
async fn filters_of_two_hops_with_two_namespaces_do_not_refuse_each_others_requests() -> Result<()> {
    let site = hops("gateway", "sidecar").await?;
    let redis = site.redis.as_ref().expect("a Redis");
    for number in 1..=5 {
        let copy = message(&format!("/sms/{number}"), number);
        expect(&site, "both hops", 0, &copy, PASSES).await?;
        assert_eq!(site.upstream.count(), number);
        expect(&site, "a copy at the gateway", 0, &copy, REPLAYED).await?;
        expect(&site, "a copy that goes around the gateway", 1, &copy, REPLAYED).await?;
        assert_eq!(site.upstream.count(), number);
        let keys = redis.keys()?;
        for namespace in ["gateway", "sidecar"] {
            let prefix = format!("twilio-guard:1:{namespace}:");
            assert_eq!(keys.iter().filter(|key| key.starts_with(&prefix)).count(), number, "{keys:?}");
        }
    }
    // Twilio tries again what the application failed on: through both, as often as both allow.
    let copy = message("/sms/again", 9);
    site.upstream.script_next("/sms/again", vec![Behaviour::Status(503); 5]);
    for _ in 0..5 {
        expect(&site, "it fails", 0, &copy, (503, "via_upstream")).await?;
    }
    expect(&site, "the sixth", 0, &copy, PASSES).await?;
    assert_eq!(site.upstream.count(), 5 + 6);
    site.assert_alive().await
}

/// The mistake that the file warns of: both take the request for one of their own, and the sidecar sees a copy of what is under way.
#[tokio::test]
async fn filters_of_two_hops_with_one_namespace_refuse_each_others_requests() -> Result<()> {
    let site = hops("gateway", "gateway").await?;
    let copy = message("/sms", 1);
    for tries in 1..=6 {
        expect(&site, "the sidecar's refusal", 0, &copy, (503, "via_upstream")).await?;
        let lines = site.envoys[1].wait_for_access_log(tries).await?;
        assert_eq!(lines[tries - 1].details(), "twilio_guard_in_flight", "try {tries}");
        site.settled().await?;
    }
    expect(&site, "after six", 0, &copy, (409, "twilio_guard_attempts_exhausted")).await?;
    assert_eq!(site.upstream.count(), 0, "nothing ever arrives, and nothing is acknowledged");
    site.assert_alive().await
}

/// The key prefix separates as the namespace does.
#[tokio::test]
async fn filters_with_two_key_prefixes_share_nothing() -> Result<()> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let with = |prefix: &'static str| {
        let change =
            move |plugin: &mut Value| plugin["replay"]["store"]["redis"]["key_prefix"] = prefix.into();
        replica(&upstream, &redis, &settings()).plugin(change)
    };
    let (one, two, also_one) = (with("clinic-1"), with("clinic-2"), with("clinic-1"));
    let envoys = vec![one.start().await?, two.start().await?, also_one.start().await?];
    let site = Site::of_proxies(upstream, envoys, Some(redis));
    let copy = message("/sms", 1);
    expect(&site, "one", 0, &copy, PASSES).await?;
    expect(&site, "the other", 1, &copy, PASSES).await?;
    expect(&site, "the same as the first", 2, &copy, REPLAYED).await?;
    let mut keys = site.redis.as_ref().expect("a Redis").keys()?;
    keys.sort_unstable();
    let [first, second] = &keys[..] else { panic!("{keys:?}") };
    assert!(
        first.starts_with("clinic-1:1:gateway:") && second.starts_with("clinic-2:1:gateway:"),
        "{keys:?}"
    );
    Ok(())
}
