//! The two configuration blocks of the design, its shared store, and the key that this version does not have yet.

use std::time::Duration;

use serde_json::{Value, json};
use twilio_guard::config::{
    Hold, HostPolicy, Limits, Mode, OnError, Plan, Protection, RewriteHeaders, SidAction, Statuses,
    TwilioRule,
};

use super::core_support::{PUBLIC_KEY, parse_text};
use super::{base, edit};

const VARIABLES: &[(&str, &str)] = &[
    ("TWILIO_AUTH_TOKEN", "a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    ("TWILIO_SHARED_KEY", "sk_0123456789abcdef"),
    ("MINT_KEY", "0123456789abcdef0123456789abcdef"),
    ("SENDGRID_PUBLIC_KEY", PUBLIC_KEY),
];

fn blocks() -> (Value, Value) {
    let text = include_str!("design.yaml");
    let mut blocks: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    let (second, first) = (blocks.pop().expect("a second block"), blocks.pop().expect("a first block"));
    assert!(blocks.is_empty());
    (first, second)
}

fn load(config: &Value) -> Plan {
    parse_text(config.to_string().as_bytes(), VARIABLES).unwrap_or_else(|error| panic!("{error}"))
}

fn twilio(plan: &Plan, route: usize) -> &TwilioRule {
    match &plan.routes()[route].1.protection {
        Protection::Twilio(twilio) => twilio,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_block_means_what_it_says() {
    let (first, _) = blocks();
    let plan = load(&first);
    let names: Vec<_> = plan.rules().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, ["sms", "call-status", "media", "mail", "default"]);
    assert_eq!(plan.routes()[3].1.protection.as_str(), "sendgrid");
    assert_eq!(plan.routes()[3].1.protection.methods(), Some(&["POST".to_owned()][..]));
    assert!(matches!(plan.default_rule().protection, Protection::None));
    assert_eq!(twilio(&plan, 0).methods, ["POST", "GET"]);
    assert_eq!(twilio(&plan, 2).methods, ["GET"], "an upgrade is a GET");
    let required: Vec<_> = twilio(&plan, 1).require_params.iter().map(|param| param.name.as_str()).collect();
    assert_eq!(required, ["AccountSid", "CallSid", "CallStatus", "SequenceNumber", "Timestamp"]);
    let account = &twilio(&plan, 0).accounts[0];
    assert_eq!(account.sid.as_deref(), Some("AC0123456789abcdef0123456789abcdef"));
    assert_eq!(account.keys.len(), 1, "the optional token is not set");
}

#[test]
fn the_second_block_is_what_holds_without_it() {
    let (bare, second) = blocks();
    let mut explicit = bare.clone();
    explicit.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
    for (name, plan) in [("bare", load(&bare)), ("explicit", load(&explicit))] {
        for rule in plan.rules() {
            assert_eq!((rule.mode, rule.hold), (Mode::Enforce, Hold::Headers), "{name}");
            assert_eq!(
                rule.limits,
                Limits {
                    max_body: 1_000_000,
                    max_form: 65_536,
                    max_target: 32_768,
                    max_params: 1000,
                    max_candidates: 32,
                    max_hashed_bytes: 1_000_000,
                    body_timeout: Duration::from_secs(15),
                },
                "{name}"
            );
            assert_eq!(
                rule.statuses,
                Statuses {
                    missing_signature: 401,
                    invalid_signature: 401,
                    denied: 403,
                    timeout: 408,
                    // SendGrid drops what is answered 4xx.
                    stale: if name == "bare" && rule.protection.as_str() == "sendgrid" { 503 } else { 408 },
                    replayed: 409,
                    in_flight: 503,
                    too_large: 413,
                    method: 405,
                    undecidable: 503,
                },
                "{name}"
            );
        }
        assert_eq!(twilio(&plan, 0).hosts, HostPolicy::List(vec![b"hooks.example.org".to_vec()]), "{name}");
        assert_eq!(plan.verified_header(), "x-twilio-guard", "{name}");
        let redaction = &plan.default_rule().redaction;
        assert_eq!(
            (redaction.sid_action(), redaction.rewrite_headers()),
            (SidAction::Keep, RewriteHeaders::Protected),
            "{name}"
        );
    }
}

#[test]
fn inline_secrets_are_refused_by_default() {
    let config = edit(base(), &json!({"/accounts/0/auth_tokens/0": {"value": "token"}}));
    super::assert_refused(&config, "accounts[0].auth_tokens[0].value");
}

#[test]
fn the_shared_store_of_the_design_means_what_it_says() {
    let (first, _) = blocks();
    let redis = json!({
        "cluster": "redis", "timeout": "100ms", "key_prefix": "twilio-guard", "username": {"env": "REDIS_USERNAME"},
        "password": {"env": "REDIS_PASSWORD"}, "database": 0, "on_error": "deny",
    });
    let config = edit(first, &json!({"/replay": {"store": {"redis": redis}}}));
    let variables = [VARIABLES, &[("REDIS_USERNAME", "guard"), ("REDIS_PASSWORD", "sesame")]].concat();
    let plan =
        parse_text(config.to_string().as_bytes(), &variables).unwrap_or_else(|error| panic!("{error}"));
    let shared = plan.replay_store().shared.as_ref().expect("a shared store");
    assert_eq!(
        (shared.cluster.as_str(), shared.timeout, shared.on_error),
        ("redis", Duration::from_millis(100), OnError::Deny)
    );
}

#[test]
fn a_key_of_a_later_version_is_refused_whatever_its_value() {
    for value in [json!(null), json!(false), json!({}), json!([]), json!(1), json!("x")] {
        let error = super::assert_refused(&edit(base(), &json!({"/egress": value})), "egress");
        assert!(error.to_string().contains("not available in this version"), "{error}");
    }
}
