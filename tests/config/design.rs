//! The two configuration blocks of the design, and the keys in them that this version does not have yet.

use std::time::Duration;

use serde_json::{Value, json};
use twilio_guard::config::{
    Hold, HostPolicy, Limits, Mode, Plan, Protection, RewriteHeaders, SidAction, Statuses, TwilioRule,
};

use super::core_support::{PUBLIC_KEY, parse_text};
use super::{assert_edit_refused, base, edit, refusal, without};

const VARIABLES: &[(&str, &str)] = &[
    ("TWILIO_AUTH_TOKEN", "a1b2c3d4e5f60718293a4b5c6d7e8f90"),
    ("TWILIO_SHARED_KEY", "sk_0123456789abcdef"),
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

/// Takes out each key that is refused as one of a later version, until the configuration loads.
fn strip_later_keys(mut config: Value) -> (Value, Vec<String>) {
    let mut paths = Vec::new();
    while let Err(error) = parse_text(config.to_string().as_bytes(), VARIABLES) {
        let shown = refusal(config.to_string().as_bytes(), VARIABLES).to_string();
        assert!(shown.contains("not available in this version"), "{shown}");
        paths.push(error.path().to_owned());
        config = without(config, &format!("/{}", error.path()));
    }
    paths.sort();
    (config, paths)
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
fn the_second_block_is_refused_until_its_later_keys_are_gone() {
    let (first, second) = blocks();
    let (mut config, _) = strip_later_keys(first);
    config.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
    let (_, later) = strip_later_keys(config);
    assert_eq!(later, ["mint_keys", "replay"]);
}

#[test]
fn the_second_block_is_what_holds_without_it() {
    let (first, second) = blocks();
    let (bare, _) = strip_later_keys(first);
    let mut config = bare.clone();
    config.as_object_mut().unwrap().extend(second.as_object().unwrap().clone());
    let (explicit, _) = strip_later_keys(config);
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
fn each_key_of_a_later_version_is_refused_alone_whatever_its_value() {
    let (_, second) = blocks();
    let top = ["replay", "mint_keys", "egress"];
    let cases = top
        .map(|key| (key.to_owned(), format!("/{key}")))
        .into_iter()
        .chain([("routes[0].replay".to_owned(), "/routes/0/replay".to_owned())]);
    for (path, pointer) in cases {
        let documented = second.get(path.rsplit('.').next().unwrap_or_default());
        let values = [json!(null), json!(false), json!({}), json!([]), json!(1), json!("x")];
        for value in values.iter().chain(documented) {
            let error = assert_edit_refused(&path, &json!({pointer.clone(): value}));
            assert!(error.to_string().contains("not available in this version"), "{error}");
        }
    }
}
