//! What an operator sees and sets: cold starts, the store's metrics and log line, modes, statuses, updates.

use serde_json::{Value, json};

use super::replaying;
use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive};
use crate::operations::{counters, requests};
use crate::support::client::{Client, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::{Envoy, Update};
use crate::support::scenarios::{ACCOUNT, TOKEN, another_message};
use crate::support::sendgrid::Sendgrid;
use crate::support::sign::{Twilio, now};
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, eventually, module};

const GAUGE: &str = "wasmcustom.twilio_guard_replay_seconds_to_full_protection";
const EVICTIONS: &str = "wasmcustom.twilio_guard_replay_evictions";
const EARLY: &str = "wasmcustom.twilio_guard_replay_seconds_evicted_early";

fn messages(replay: Value) -> Value {
    let mut plugin = replaying(json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
    ]));
    plugin["replay"] = replay;
    plugin
}

/// On two workers, with listeners that can be updated.
async fn dynamic(filter: WasmFilter) -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).filter(filter).dynamic_listeners().concurrency(2);
    Ok(Guarded { envoy: Envoy::start(&config).await?, upstream })
}

fn filter(plugin: &Value) -> Result<WasmFilter> {
    Ok(WasmFilter::new(module::path()?, plugin))
}

async fn update(guarded: &mut Guarded, filter: WasmFilter) -> Result<()> {
    let listener = Listener::new(INGRESS).filter(filter);
    assert_eq!(guarded.envoy.update_listeners(&[listener]).await?, Update::Applied);
    Ok(())
}

/// A fresh store lets pass what a signed time shows to be younger, and nothing else.
async fn a_young_strict_store() -> Result<()> {
    let mut plugin = messages(json!({"cold_start": "strict"}));
    plugin["routes"][0]["replay"] =
        json!({"freshness": {"sources": [{"param": "When"}], "max_age": "8m", "max_skew": "1m"}});
    let guarded = Guarded::start(&plugin).await?;
    guarded.expect("nobody knows", &another_message(), Refused(503, "cold_start")).await?;
    let timed = |sid: &str| {
        let time = (now() + 60).to_string();
        let parameters = [("AccountSid", ACCOUNT), ("MessageSid", sid), ("When", &time)];
        Twilio::new(TOKEN).form("/sms", &parameters)
    };
    let younger = timed("SM00000000000000000000000000000a01");
    guarded.send(Protocol::Http1, &younger).await?.assert("younger than the store", Verified);
    guarded.send(Protocol::Http2, &younger).await?.assert("its copy", Refused(409, "replayed"));
    assert!((1..=601).contains(&guarded.envoy.stat(GAUGE).await?));
    assert_vm_alive(&guarded.envoy).await
}

/// Under `strict` a store lets everything pass once it is a window old. Until then it says for how long.
#[tokio::test]
async fn a_strict_store_waits_for_its_window_and_says_how_long() -> Result<()> {
    a_young_strict_store().await?;
    let mut plugin = messages(json!({"dedupe": {"window": "4s", "lease": "4s"}, "cold_start": "strict"}));
    let mut guarded = dynamic(filter(&plugin)?).await?;
    let mut gauge = vec![guarded.envoy.stat(GAUGE).await?];
    assert!(gauge[0] <= 5, "{gauge:?}");
    // Refused requests are not recorded: the first copy may still come.
    let message = another_message();
    eventually("a store that is a window old", async || {
        let left = guarded.envoy.stat(GAUGE).await.ok()?;
        if gauge.last() != Some(&left) {
            gauge.push(left);
        }
        let exchange = guarded.send(Protocol::Http1, &message).await.ok()?;
        if exchange.response.status == 503 {
            exchange.assert("nobody knows", Refused(503, "cold_start"));
            return None;
        }
        exchange.assert("a window old", Verified);
        Some(())
    })
    .await?;
    assert!(gauge.is_sorted_by(|earlier, later| earlier > later), "{gauge:?}");
    eventually("full protection", async || (guarded.envoy.stat(GAUGE).await.ok()? == 0).then_some(()))
        .await?;

    // A new configuration and a new VM find the store as old as it is.
    plugin["routes"][0]["name"] = "renamed".into();
    update(&mut guarded, filter(&plugin)?).await?;
    guarded.send(Protocol::Http1, &another_message()).await?.assert("another configuration", Verified);
    update(&mut guarded, filter(&plugin)?.host_env_keys(&["ANOTHER"])).await?;
    guarded.send(Protocol::Http1, &another_message()).await?.assert("another VM", Verified);
    assert_eq!(guarded.envoy.stat(GAUGE).await?, 0);
    assert_vm_alive(&guarded.envoy).await
}

/// What was delivered stays delivered, whatever is updated; another size, namespace or VM id begins empty, as documented.
#[tokio::test]
async fn the_store_survives_updates_and_a_new_vm() -> Result<()> {
    let mut plugin = messages(json!({}));
    let mut guarded = dynamic(filter(&plugin)?).await?;
    assert!((1..=601).contains(&guarded.envoy.stat(GAUGE).await?));
    let message = another_message();
    guarded.send(Protocol::Http1, &message).await?.assert("first", Verified);
    plugin["routes"][0]["name"] = "renamed".into();
    let reloaded = filter(&plugin)?.host_env_keys(&["ANOTHER"]);
    for (what, filter) in [("another configuration", filter(&plugin)?), ("another VM", reloaded)] {
        update(&mut guarded, filter).await?;
        guarded.expect(what, &message, Refused(409, "replayed")).await?;
    }
    assert_eq!(guarded.upstream.count(), 1);
    let other_size = json!({"store": {"local": {"capacity": 4096}}});
    for (what, replay) in [("another size", other_size), ("another namespace", json!({"namespace": "other"}))]
    {
        plugin["replay"] = replay;
        update(&mut guarded, filter(&plugin)?).await?;
        guarded.send(Protocol::Http1, &message).await?.assert(what, Verified);
        guarded.send(Protocol::Http1, &message).await?.assert(what, Refused(409, "replayed"));
    }
    // Back again: the earlier store is still there.
    plugin["replay"] = json!({});
    update(&mut guarded, filter(&plugin)?).await?;
    guarded.send(Protocol::Http1, &message).await?.assert("back", Refused(409, "replayed"));
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_full_store_evicts_and_says_so_or_refuses_where_it_is_told_to() -> Result<()> {
    for on_full in ["evict_oldest", "deny"] {
        let plugin =
            messages(json!({"dedupe": {"on_full": on_full}, "store": {"local": {"capacity": 1024}}}));
        let guarded = Guarded::start(&plugin).await?;
        let log = guarded.envoy.log();
        assert!(log.contains("replay store for 1024 requests: 102 a minute over 600 s"), "{log}");
        let mut client = Client::connect(guarded.envoy.address(), Protocol::Http2).await?;
        let mut accepted = 0;
        for _ in 0..1400 {
            match client.send(&another_message()).await?.status {
                200 => accepted += 1,
                status => assert_eq!((status, on_full), (503, "deny")),
            }
        }
        let evicted = guarded.envoy.stat(EVICTIONS).await?;
        if on_full == "deny" {
            assert!((1024..=1216).contains(&accepted), "{accepted}");
            assert_eq!(evicted, 0);
            let refused = counters(&guarded.envoy).await?;
            assert_eq!(refused.get(&requests("refused", "store_full", "sms")), Some(&(1400 - accepted)));
        } else {
            assert_eq!(accepted, 1400, "nothing legal is refused");
            assert!((1400 - 1216..400).contains(&evicted), "{evicted}");
            let early = guarded.envoy.stat(EARLY).await?;
            assert!((1..=601).contains(&early), "{early}");
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn observe_mode_reports_replays_and_passes_them() -> Result<()> {
    let mut plugin = messages(json!({}));
    plugin["mode"] = "observe".into();
    let guarded = Guarded::start(&plugin).await?;
    let message = another_message();
    for (copy, verdict, reason) in
        [(1, "verified", "-"), (2, "observed_reject", "replayed"), (3, "observed_reject", "replayed")]
    {
        let exchange = guarded.send(Protocol::Http1, &message).await?;
        assert_eq!((exchange.response.status, exchange.received.len()), (200, 1), "{copy}");
        let line = &exchange.line;
        assert_eq!((line.field("verdict"), line.field("reason")), (verdict, reason), "{copy}");
        assert_eq!(exchange.received_header("x-twilio-guard"), None);
    }
    let lines = guarded.envoy.module_lines();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["code"] == "replayed"));
    assert_eq!(
        counters(&guarded.envoy).await?.get(&requests("observed_reject", "replayed", "sms")),
        Some(&2)
    );
    assert_vm_alive(&guarded.envoy).await
}

/// The head of a replay goes upstream, as that mode has it; its body does not.
#[tokio::test]
async fn under_hold_body_a_replay_is_refused_before_its_body() -> Result<()> {
    let mut plugin = messages(json!({}));
    plugin["hold"] = "body".into();
    let guarded = Guarded::start(&plugin).await?;
    for protocol in Protocol::BOTH {
        let message = another_message();
        let first = guarded.send(protocol, &message).await?;
        assert_eq!((first.response.status, first.line.field("verdict")), (200, "verified"));
        assert_eq!(first.received[0].body, message.body);
        for _ in 0..3 {
            let copy = guarded.send(protocol, &message).await?;
            assert_eq!((copy.response.status, copy.line.details()), (409, "twilio_guard_replayed"));
            assert!(copy.received.iter().all(|request| !request.complete && request.body.is_empty()));
        }
        // One that fails may come again, here too.
        let message = another_message();
        guarded.upstream.script_next("/sms", [Behaviour::Status(503)]);
        assert_eq!(guarded.send(protocol, &message).await?.response.status, 503);
        assert_eq!(guarded.send(protocol, &message).await?.response.status, 200);
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn each_class_has_its_default_status_and_can_be_given_another() -> Result<()> {
    let own = json!({"replayed": 412, "in_flight": 429, "stale": 410});
    for (statuses, expected) in [(json!({}), [409, 409, 503, 503]), (own, [412, 412, 429, 410])] {
        let mut plugin = messages(json!({}));
        plugin["sendgrid_keys"] = json!([{"value": Sendgrid::genuine().public_key()}]);
        let mail = json!({"name": "mail", "match": {"path": "/mail"}, "verify": "sendgrid"});
        plugin["routes"].as_array_mut().ok_or("no routes")?.push(mail);
        plugin["statuses"] = statuses;
        let guarded = Guarded::start(&plugin).await?;
        let [replayed, exhausted, in_flight, stale] = expected;

        let message = another_message();
        guarded.send(Protocol::Http1, &message).await?.assert("first", Verified);
        guarded.expect("a replay", &message, Refused(replayed, "replayed")).await?;

        let message = another_message();
        guarded.upstream.script_next("/sms", vec![Behaviour::Status(500); 6]);
        for _ in 0..6 {
            assert_eq!(guarded.send(Protocol::Http1, &message).await?.response.status, 500);
        }
        guarded.expect("the seventh", &message, Refused(exhausted, "attempts_exhausted")).await?;

        let message = another_message();
        let received = guarded.upstream.count();
        let gate = Gate::closed();
        guarded.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
        let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
        let (feed, pending) = client.start(&message, Some(u64::try_from(message.body.len())?)).await?;
        feed.data(message.body.clone());
        guarded.upstream.wait_for(received + 1).await?;
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &message).await?;
            exchange.assert("its copy", Refused(in_flight, "in_flight"));
        }
        let lines = guarded.envoy.access_log().len();
        gate.open();
        assert_eq!(pending.response().await?.status, 200);
        guarded.envoy.wait_for_access_log(lines + 1).await?;

        let long_ago = (now() - 74 * 3600).to_string();
        let old = Sendgrid::genuine().post_at(&long_ago, "/mail", "application/json", "[]");
        guarded.expect("an old event", &old, Refused(stale, "stale")).await?;
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_replay_can_be_acknowledged_or_flagged() -> Result<()> {
    for on_replay in ["acknowledge", "flag"] {
        let guarded = Guarded::start(&messages(json!({"dedupe": {"on_replay": on_replay}}))).await?;
        for protocol in Protocol::BOTH {
            let message = another_message();
            guarded.send(protocol, &message).await?.assert("first", Verified);
            let copy = guarded.send(protocol, &message).await?;
            assert_eq!(copy.response.status, 200);
            if on_replay == "flag" {
                let header = copy.received_header("x-twilio-guard").ok_or("no header")?;
                assert!(header.ends_with("; replay=repeated"), "{header}");
            } else {
                assert!(copy.received.is_empty());
                assert_eq!(copy.response.header("content-type"), Some("text/xml; charset=utf-8"));
                assert!(copy.response.text().ends_with("<Response></Response>"), "{}", copy.response.text());
                assert_eq!(copy.line.details(), "twilio_guard_replayed");
            }
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}
