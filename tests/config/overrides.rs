//! What a route says wins, key by key; what it leaves out comes from its profile or the top level.

use std::time::Duration;

use serde_json::{Value, json};
use twilio_guard::config::{Hold, HostPolicy, Mode, ParamShape, Plan, Protection, PublicUrl, TwilioRule};

use super::core_support::{SID_B, plan};
use super::{base, edit};

/// The top level with every inheritable key away from its default, and a second route that says nothing.
fn top() -> Value {
    edit(
        base(),
        &json!({
            "/accounts/-": {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B", "label": "other"}]},
            "/public_url": "https://top.example/prefix",
            "/accept_hosts": ["top.example", "second.example"],
            "/mode": "observe",
            "/hold": "body",
            "/limits": {"max_body": 2000, "max_form": "1KiB", "max_params": 20, "body_timeout": "2s"},
            "/statuses": {"denied": 404, "too_large": 400},
            "/routes/-": {"name": "plain", "match": {"path": "/plain"}, "verify": "twilio"},
        }),
    )
}

fn rules(edits: &Value) -> Plan {
    plan(&edit(top(), edits))
}

fn twilio(plan: &Plan, route: usize) -> &TwilioRule {
    match &plan.routes()[route].1.protection {
        Protection::Twilio(twilio) => twilio,
        other => panic!("{other:?}"),
    }
}

fn hosts(names: &[&str]) -> HostPolicy {
    HostPolicy::List(names.iter().map(|name| name.as_bytes().to_vec()).collect())
}

fn bases(url: &PublicUrl) -> &[String] {
    match url {
        PublicUrl::Fixed(bases) => bases.for_request(false),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_route_leaves_out_comes_from_the_top() {
    let plan = rules(&json!({}));
    for rule in plan.rules() {
        assert_eq!((rule.mode, rule.hold), (Mode::Observe, Hold::Body));
        let limits = rule.limits;
        assert_eq!((limits.max_body, limits.max_form, limits.max_params), (2000, 1024, 20));
        assert_eq!((limits.max_candidates, limits.max_hashed_bytes), (32, 1_000_000));
        assert_eq!(limits.body_timeout, Duration::from_secs(2));
        assert_eq!((rule.statuses.denied, rule.statuses.too_large, rule.statuses.method), (404, 400, 405));
    }
    let plain = twilio(&plan, 1);
    assert_eq!(bases(&plain.public_url), ["https://top.example/prefix", "https://top.example:443/prefix"]);
    assert_eq!(plain.hosts, hosts(&["top.example", "second.example"]));
    assert_eq!(plain.accounts.len(), 2);
    assert_eq!(plain.methods, ["POST", "GET"]);
    assert!(plain.require_params.is_empty());
}

#[test]
fn mode_and_hold_are_overridden_alone() {
    let plan = rules(&json!({"/routes/0/mode": "enforce"}));
    assert_eq!((plan.routes()[0].1.mode, plan.routes()[0].1.hold), (Mode::Enforce, Hold::Body));
    let plan = rules(&json!({"/routes/0/hold": "headers"}));
    assert_eq!((plan.routes()[0].1.mode, plan.routes()[0].1.hold), (Mode::Observe, Hold::Headers));
    assert_eq!((plan.routes()[1].1.mode, plan.routes()[1].1.hold), (Mode::Observe, Hold::Body));
}

#[test]
fn limits_are_overridden_key_by_key() {
    for (key, value) in [
        ("max_body", json!(7000)),
        ("max_form", json!("7KiB")),
        ("max_params", json!(7)),
        ("max_candidates", json!(17)),
        ("max_hashed_bytes", json!(7000)),
        ("body_timeout", json!("7s")),
    ] {
        let plan = rules(&json!({"/routes/0/limits": {key: value}}));
        let (own, inherited) = (plan.routes()[0].1.limits, plan.routes()[1].1.limits);
        let pairs = [
            ("max_body", own.max_body, inherited.max_body, 7000),
            ("max_form", own.max_form, inherited.max_form, 7168),
            ("max_params", own.max_params, inherited.max_params, 7),
            ("max_candidates", own.max_candidates, inherited.max_candidates, 17),
            ("max_hashed_bytes", own.max_hashed_bytes, inherited.max_hashed_bytes, 7000),
        ];
        for (name, own, inherited, overridden) in pairs {
            assert_eq!(own, if name == key { overridden } else { inherited }, "{name} when {key} is given");
        }
        let timeout = if key == "body_timeout" { 7 } else { 2 };
        assert_eq!(own.body_timeout, Duration::from_secs(timeout));
        assert_eq!(plan.default_rule().limits, inherited);
    }
}

#[test]
fn statuses_are_overridden_key_by_key() {
    for key in
        ["missing_signature", "invalid_signature", "denied", "timeout", "too_large", "method", "undecidable"]
    {
        let plan = rules(&json!({"/routes/0/statuses": {key: 418}}));
        let (own, inherited) = (plan.routes()[0].1.statuses, plan.routes()[1].1.statuses);
        let pairs = [
            ("missing_signature", own.missing_signature, inherited.missing_signature),
            ("invalid_signature", own.invalid_signature, inherited.invalid_signature),
            ("denied", own.denied, inherited.denied),
            ("timeout", own.timeout, inherited.timeout),
            ("too_large", own.too_large, inherited.too_large),
            ("method", own.method, inherited.method),
            ("undecidable", own.undecidable, inherited.undecidable),
        ];
        for (name, own, inherited) in pairs {
            assert_eq!(own, if name == key { 418 } else { inherited }, "{name} when {key} is given");
        }
    }
}

#[test]
fn hosts_come_from_the_routes_list_then_its_url_then_the_top() {
    let plan = rules(&json!({"/routes/0/public_url": "https://own.example"}));
    assert_eq!(bases(&twilio(&plan, 0).public_url), ["https://own.example", "https://own.example:443"]);
    assert_eq!(twilio(&plan, 0).hosts, hosts(&["own.example"]));
    let both = json!({
        "/routes/0/public_url": "https://own.example", "/routes/0/accept_hosts": ["listed.example"],
    });
    assert_eq!(twilio(&rules(&both), 0).hosts, hosts(&["listed.example"]));
    let any = rules(&json!({"/routes/0/accept_hosts": "any"}));
    assert_eq!(twilio(&any, 0).hosts, HostPolicy::Any);
    assert_eq!(bases(&twilio(&any, 0).public_url)[0], "https://top.example/prefix");
    let derived = rules(&json!({"/routes/0/public_url": {"from": "request"}}));
    assert_eq!(twilio(&derived, 0).public_url, PublicUrl::FromRequest);
    assert_eq!(twilio(&derived, 0).hosts, hosts(&["top.example", "second.example"]));
    assert_eq!(twilio(&derived, 1).hosts, twilio(&any, 1).hosts);
}

#[test]
fn accounts_are_those_that_the_route_names() {
    let plan = rules(&json!({"/routes/0/accounts": [SID_B]}));
    let sids: Vec<_> = twilio(&plan, 0).accounts.iter().map(|account| account.sid.as_deref()).collect();
    assert_eq!(sids, [Some(SID_B)]);
    assert_eq!(twilio(&plan, 1).accounts.len(), 2);
}

#[test]
fn explicit_keys_win_over_the_profile() {
    let names =
        |rule: &TwilioRule| rule.require_params.iter().map(|param| param.name.clone()).collect::<Vec<_>>();
    let plan = rules(&json!({"/routes/0/profile": "messaging"}));
    assert_eq!(names(twilio(&plan, 0)), ["AccountSid", "MessageSid"]);
    let plan = rules(&json!({"/routes/0/profile": "messaging", "/routes/0/require_params": ["From"]}));
    assert_eq!(names(twilio(&plan, 0)), ["From"]);
    let plan = rules(&json!({"/routes/0/profile": "messaging", "/routes/0/require_params": []}));
    assert!(names(twilio(&plan, 0)).is_empty());
    let plan = rules(&json!({"/routes/0/profile": "messaging", "/routes/0/methods": ["PUT"]}));
    assert_eq!(
        (twilio(&plan, 0).methods.as_slice(), names(twilio(&plan, 0)).len()),
        (&["PUT".to_owned()][..], 2)
    );
    let plan = rules(&json!({"/routes/0/profile": "messaging", "/routes/0/match/methods": ["GET"]}));
    assert_eq!(twilio(&plan, 0).methods, ["GET"], "a profile lets through what the route matches");
}

#[test]
fn shapes_come_from_the_name_unless_they_are_given() {
    let params = json!(["MessageSid", "SequenceNumber", "Timestamp", "CallStatus", "Body", {"name": "Body2", "shape": "word"}]);
    let plan = rules(&json!({"/routes/0/require_params": params}));
    let shapes: Vec<_> = twilio(&plan, 0).require_params.iter().map(|param| param.shape).collect();
    let expected = [
        ParamShape::Sid,
        ParamShape::Digits,
        ParamShape::Date,
        ParamShape::Word,
        ParamShape::Present,
        ParamShape::Word,
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn the_shortest_timeout_of_all_rules_sets_the_clock() {
    let plan = rules(&json!({"/routes/0/limits": {"body_timeout": "250ms"}}));
    assert_eq!(plan.shortest_body_timeout(), Duration::from_millis(250));
    assert_eq!(rules(&json!({})).shortest_body_timeout(), Duration::from_secs(2));
}

#[test]
fn the_peer_is_asked_for_only_where_a_rule_trusts_peers() {
    assert!(!rules(&json!({})).needs_peer());
    let url = json!({"from": "forwarded", "trusted_peers": ["10.0.0.0/8", "2001:db8::/32"]});
    let plan = rules(&json!({"/routes/0/public_url": url}));
    assert!(plan.needs_peer());
    let url = &twilio(&plan, 0).public_url;
    for (peer, trusted) in [
        ("10.1.2.3:4000", true),
        ("[2001:db8::7]:1", true),
        ("10.1.2.3", true),
        ("2001:db8::7", true),
        ("11.1.2.3:4000", false),
        ("11.1.2.3", false),
        ("2001:db9::7", false),
        ("[::ffff:10.1.2.3]:4000", false),
        ("::ffff:10.1.2.3", false),
        ("10.1.2.3, 10.1.2.3", false),
        ("-", false),
        ("", false),
        ("/tmp/pipe", false),
    ] {
        assert_eq!(url.trusts(peer.as_bytes()), trusted, "{peer}");
    }
}
