//! Replay windows as they are configured: which level wins, and what cannot be meant.

use std::time::Duration;

use serde_json::{Value, json};
use twilio_guard::config::{ColdStart, Eligible, OnFull, OnReplay, Plan, TimeFormat};

use super::core_support::plan;
use super::{assert_refused, base, edit};

const KEY: &str = "mint-key-of-these-tests-32-bytes-long";

/// The base with one route of this kind, and edits.
fn configured(route: Value, edits: &Value) -> Value {
    let mut own = json!({"name": "own", "match": {"path": "/own"}, "verify": "twilio"});
    own.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
    let sendgrid = json!({"/sendgrid_keys": [{"env": "SENDGRID_KEY", "label": "events"}]});
    edit(edit(edit(base(), &sendgrid), &json!({"/routes": [own], "/allow_inline_secrets": true})), edits)
}

fn loaded(route: Value, edits: &Value) -> Plan {
    plan(&configured(route, edits))
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

#[test]
fn without_a_word_the_defaults_hold() {
    let plan = loaded(json!({}), &json!({}));
    let replay = &plan.routes()[0].1.replay;
    let dedupe = &replay.dedupe;
    assert_eq!((dedupe.eligible, dedupe.window, dedupe.lease), (Eligible::EventId, minutes(10), minutes(1)));
    assert_eq!((dedupe.max_deliveries, dedupe.max_attempts), (1, 6));
    assert_eq!((dedupe.on_replay, dedupe.on_full), (OnReplay::Deny, OnFull::EvictOldest));
    assert_eq!((replay.freshness.max_age, replay.freshness.max_skew), (minutes(5), minutes(1)));
    assert!(!replay.freshness.require && replay.freshness.params.is_empty());
    let store = plan.replay_store();
    assert_eq!(
        (store.capacity, store.namespace.as_str(), store.cold_start),
        (131_072, "default", ColdStart::Allow)
    );
}

#[test]
fn the_route_wins_over_its_profile_and_that_over_the_top() {
    let top = json!({"/replay": {
        "freshness": {"max_age": "1m", "max_skew": "1s"},
        "dedupe": {"window": "1h", "max_attempts": 9, "eligible": "always"},
    }});
    let plan = loaded(json!({"profile": "call-status"}), &top);
    let replay = &plan.routes()[0].1.replay;
    assert_eq!((replay.freshness.max_age, replay.freshness.max_skew), (minutes(15), Duration::from_secs(1)));
    assert_eq!((replay.dedupe.window, replay.dedupe.max_attempts), (minutes(17), 9));
    assert_eq!(replay.dedupe.eligible, Eligible::Always);
    assert_eq!((replay.freshness.params[0].name.as_str(), replay.freshness.require), ("Timestamp", true));
    let own = json!({"profile": "call-status", "replay": {
        "freshness": {"max_age": "2m", "require": false, "sources": [{"param": "When", "format": "rfc3339"}]},
        "dedupe": {"window": "5m", "eligible": "event_id", "on_replay": "acknowledge"},
    }});
    let plan = loaded(own, &top);
    let replay = &plan.routes()[0].1.replay;
    assert_eq!((replay.freshness.max_age, replay.dedupe.window), (minutes(2), minutes(5)));
    assert_eq!(replay.freshness.params.len(), 1);
    assert_eq!(replay.freshness.params[0].format, TimeFormat::Rfc3339);
    assert_eq!((replay.dedupe.eligible, replay.dedupe.on_replay), (Eligible::EventId, OnReplay::Acknowledge));
    let plan = loaded(json!({"profile": "voice"}), &top);
    assert_eq!(
        plan.routes()[0].1.replay.dedupe.eligible,
        Eligible::None,
        "menus repeat, whatever the top says"
    );
}

#[test]
fn sendgrid_has_hours_and_is_told_to_try_again() {
    let plan = loaded(json!({"verify": "sendgrid"}), &json!({}));
    let rule = &plan.routes()[0].1;
    assert_eq!(
        (rule.replay.freshness.max_age, rule.replay.dedupe.window),
        (minutes(73 * 60), minutes(74 * 60))
    );
    assert_eq!((rule.statuses.stale, rule.statuses.replayed, rule.statuses.in_flight), (503, 409, 503));
    let plan = loaded(json!({"verify": "sendgrid"}), &json!({"/statuses": {"stale": 410}}));
    assert_eq!(plan.routes()[0].1.statuses.stale, 410);
    let plan = loaded(json!({"verify": "sendgrid", "statuses": {"stale": 411}}), &json!({}));
    assert_eq!(plan.routes()[0].1.statuses.stale, 411);
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_place() {
    let own = |replay: Value| configured(json!({"replay": replay}), &json!({}));
    let top = |replay: Value| configured(json!({}), &json!({"/replay": replay}));
    let times = json!({"sources": [{"param": "Timestamp"}]});
    for (config, path) in [
        (own(json!({"dedupe": {"window": "6m"}, "freshness": times})), None),
        (
            own(json!({"dedupe": {"window": "359s"}, "freshness": times})),
            Some("routes[0].replay.dedupe.window"),
        ),
        (own(json!({"dedupe": {"lease": "11m"}})), Some("routes[0].replay.dedupe.lease")),
        (own(json!({"dedupe": {"max_deliveries": 0}})), Some("routes[0].replay.dedupe.max_deliveries")),
        (own(json!({"dedupe": {"max_attempts": 256}})), Some("routes[0].replay.dedupe.max_attempts")),
        (own(json!({"dedupe": {"window": "500ms"}})), Some("routes[0].replay.dedupe.window")),
        (own(json!({"dedupe": {"window": "721h"}})), Some("routes[0].replay.dedupe.window")),
        (own(json!({"freshness": {"require": true}})), Some("routes[0].replay.freshness.require")),
        (
            own(json!({"freshness": {"require": true, "sources": [{"header": "x-time"}]}})),
            Some("routes[0].replay.freshness.require"),
        ),
        (own(json!({"freshness": {"sources": [{}]}})), Some("routes[0].replay.freshness.sources[0]")),
        (
            own(json!({"freshness": {"sources": [{"param": "A"}, {"param": "A", "header": "b"}]}})),
            Some("routes[0].replay.freshness.sources[1]"),
        ),
        (
            own(json!({"freshness": {"sources": [{"body": "cloudevents", "format": "epoch"}]}})),
            Some("routes[0].replay.freshness.sources[0]"),
        ),
        (
            own(json!({"freshness": {"sources": [{"header": "a b"}]}})),
            Some("routes[0].replay.freshness.sources[0]"),
        ),
        (own(json!({"store": {"local": {}}})), Some("routes[0].replay.store")),
        (own(json!({"namespace": "a"})), Some("routes[0].replay.namespace")),
        (own(json!({"minted": {"require": true}})), Some("routes[0].replay.minted.require")),
        (top(json!({"store": {"local": {"capacity": 1023}}})), Some("replay.store.local.capacity")),
        (top(json!({"namespace": "A"})), Some("replay.namespace")),
        (top(json!({"namespace": ""})), Some("replay.namespace")),
        (top(json!({"dedupe": {"window": "5m"}, "freshness": times})), Some("replay.dedupe.window")),
        (
            configured(json!({"verify": "sendgrid", "replay": {"minted": {}}}), &json!({})),
            Some("routes[0].replay.minted"),
        ),
        (
            configured(json!({"verify": "sendgrid", "replay": {"freshness": times}}), &json!({})),
            Some("routes[0].replay.freshness.sources[0]"),
        ),
        (configured(json!({"verify": "none", "replay": {}}), &json!({})), Some("routes[0].replay")),
        (
            configured(json!({"hold": "body", "replay": {"minted": {"strip": true}}}), &json!({})),
            Some("routes[0].replay.minted.strip"),
        ),
        (
            configured(json!({}), &json!({"/mint_keys": [{"id": "m1", "secret": {"value": &KEY[..31]}}]})),
            Some("mint_keys[0].secret"),
        ),
        (
            configured(json!({}), &json!({"/mint_keys": [{"id": "M", "secret": {"value": KEY}}]})),
            Some("mint_keys[0].id"),
        ),
        (
            configured(
                json!({}),
                &json!({"/mint_keys": [{"id": "m", "secret": {"value": KEY}}, {"id": "m", "secret": {"value": KEY}}]}),
            ),
            Some("mint_keys[1].id"),
        ),
    ] {
        match path {
            Some(path) => drop(assert_refused(&config, path)),
            None => drop(plan(&config)),
        }
    }
}

#[test]
fn minted_urls_can_be_demanded_where_there_is_a_key() {
    let plan = loaded(
        json!({"replay": {"minted": {"require": true}}}),
        &json!({"/mint_keys": [{"id": "m1", "secret": {"value": KEY}}]}),
    );
    let rule = &plan.routes()[0].1;
    assert!(rule.replay.minted.require && !rule.replay.minted.strip);
    assert_eq!(rule.mint_keys.len(), 1);
    assert!(!format!("{plan:?}").contains("mint-key-of"), "the key is shown");
}
