//! Two replicas of two workers with one Redis, before one application.

use serde_json::{Value, json};

use crate::support::access_log::LogLine;
use crate::support::client::{Client, Pending, Protocol};
use crate::support::envoy::Envoy;
use crate::support::guarded::line_of;
use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::{Gate, Upstream};
use crate::support::{Result, eventually};
use crate::windows::site::Site;

/// The shipped file with another configuration of the module, and with what the tests of one proxy have, too: trailers, and WebSockets
/// over HTTP/2.
pub(crate) fn replica(upstream: &Upstream, redis: &Redis, settings: &Value) -> Replica {
    Replica::new(upstream.address(), redis)
        .settings(settings)
        .patient()
        .manager(|manager| {
            manager["http_protocol_options"] = json!({"enable_trailers": true});
            manager["http2_protocol_options"] = json!({"allow_connect": true});
        })
        .edit(|bootstrap| {
            let application = &mut bootstrap["static_resources"]["clusters"][0];
            application["typed_extension_protocol_options"] = json!({
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
                },
            });
        })
}

/// Two of them.
pub(crate) async fn site(settings: &Value) -> Result<Site> {
    Ok(site_of(settings, |replica| replica).await?.0)
}

/// Two of them, changed, and how a further one is made.
pub(crate) async fn site_of(
    settings: &Value,
    change: impl Fn(Replica) -> Replica,
) -> Result<(Site, Replica)> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let replica = change(replica(&upstream, &redis, settings));
    let (first, second) = tokio::try_join!(replica.start(), replica.start())?;
    Ok((Site::of_proxies(upstream, vec![first, second], Some(redis)), replica))
}

/// Sends a request to one of them, and sees what becomes of it once that is known everywhere.
pub(crate) async fn at(site: &Site, replica: usize, request: &Request) -> Result<LogLine> {
    let envoy = &site.envoys[replica];
    let lines = envoy.access_log().len();
    let mut client = Client::connect(envoy.address(), Protocol::Http1).await?;
    site.copy_by(&mut client, request).await?;
    client.close();
    line_of(envoy, &client, lines).await
}

/// Sends a request to one of them, which has to answer so.
pub(crate) async fn expect(
    site: &Site,
    what: &str,
    replica: usize,
    request: &Request,
    (status, details): (u16, &str),
) -> Result<()> {
    let line = at(site, replica, request).await?;
    assert_eq!((line.status(), line.details()), (status, details), "{what}, replica {replica}");
    Ok(())
}

/// Sends copies to a replica until one is under way at the application, which holds it.
pub(crate) async fn pass_under_way(site: &Site, replica: usize, copy: &Request) -> Result<(Client, Pending)> {
    let door = site.envoys[replica].address();
    eventually("a pass", async || {
        let seen = site.upstream.count();
        let mut client = Client::connect(door, Protocol::Http1).await.ok()?;
        let (feed, pending) = client.start(copy, Some(u64::try_from(copy.body.len()).ok()?)).await.ok()?;
        feed.data(copy.body.clone());
        drop(feed);
        let arrived = async || {
            let arrived = site.upstream.count() > seen;
            (arrived || pending.is_ready()).then_some(arrived)
        };
        let arrived = eventually("an answer or a pass", arrived).await.ok()?;
        arrived.then_some((client, pending))
    })
    .await
}

/// Lets the application answer what is under way at the first replica.
pub(crate) async fn deliver(site: &Site, gate: &Gate, (client, pending): (Client, Pending)) -> Result<()> {
    let lines = site.envoys[0].access_log().len();
    gate.open();
    assert_eq!(pending.response().await?.status, 200);
    line_of(&site.envoys[0], &client, lines).await?;
    Ok(())
}

/// What an accepted request gets.
pub(crate) const PASSES: (u16, &str) = (200, "via_upstream");

/// What a copy of a delivered one gets.
pub(crate) const REPLAYED: (u16, &str) = (409, "twilio_guard_replayed");

/// How many calls a proxy has made to Redis, those that settle included.
pub(crate) async fn calls(envoy: &Envoy) -> Result<u64> {
    envoy.stat("cluster.twilio_guard_store.upstream_rq_total").await
}

/// How many of a proxy's questions Redis has answered.
pub(crate) async fn answered(envoy: &Envoy) -> Result<u64> {
    envoy.stat("wasmcustom.twilio_guard_replay_store.answer=answered").await
}
