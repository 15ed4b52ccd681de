//! What an operator adds to the policy, and what is refused.

use serde_json::json;
use twilio_guard::config::Secret;
use twilio_guard::redact::Policy;

use crate::core_support::{URL, parse_text};
use crate::{policy, try_policy};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const CALL: &str = "CAc93bf9a243a391a65da5b60116ee9a5c";
const ACCOUNT: &str = "ACc814bc7d21cb80ca91783d6f1e577433";

fn shown(policy: &Policy, target: &str) -> String {
    policy.target(target.as_bytes())
}

#[test]
fn an_allowed_parameter_is_shown_in_any_spelling_if_its_value_passes_the_guard() {
    let policy = policy(&json!({"allow_params": ["Flow.Step", "Body"]}));
    assert_eq!(shown(&policy, "/x?flow_step=intake&FlowStep=2"), "/x?flow_step=intake&FlowStep=2");
    assert_eq!(shown(&policy, "/x?flowstep=Jane+Roe"), "/x?flowstep=[REDACTED]");
    assert_eq!(shown(&policy, "/x?Body=12025550123"), "/x?Body=[REDACTED]");
    assert_eq!(shown(&policy, "/x?step=intake"), "/x?step=[REDACTED]");
}

#[test]
fn a_dropped_parameter_leaves_nothing() {
    let policy = policy(&json!({"drop_params": ["CallStatus", "note"]}));
    assert_eq!(shown(&policy, "/x?CallStatus=busy&Note=a&NumMedia=0&call-status[]=b"), "/x?NumMedia=0");
}

#[test]
fn route_words_end_and_nouns_begin_what_is_masked() {
    let policy = policy(&json!({"route_words": ["intake"], "sensitive_nouns": ["ward"]}));
    assert_eq!(shown(&policy, "/patients/roe/intake/start"), "/patients/[REDACTED]/intake/start");
    assert_eq!(shown(&policy, "/Ward/roe/sms"), "/Ward/[REDACTED]/sms");
    assert_eq!(shown(&Policy::default(), "/patients/roe/intake"), "/patients/[REDACTED]/[REDACTED]");
}

#[test]
fn sids_are_kept_masked_or_pseudonyms_and_the_account_is_kept() {
    let target = format!("/calls/{CALL}.json?AccountSid={ACCOUNT}&CallSid={CALL}&x={CALL}&{CALL}");
    let hashed = policy(&json!({"sid_action": "hash", "hash_key": {"value": KEY}}));
    let pseudonym = shown(&hashed, &format!("/{CALL}"))[1..].to_owned();
    assert!(pseudonym.len() == 20 && pseudonym.starts_with("[h:"), "{pseudonym}");
    for (action, call) in [("keep", CALL), ("mask", "[REDACTED]"), ("hash", pseudonym.as_str())] {
        let policy = policy(&json!({"sid_action": action, "hash_key": {"value": KEY}}));
        assert_eq!(
            shown(&policy, &target),
            format!("/calls/{call}.json?AccountSid={ACCOUNT}&CallSid={call}&x={call}&{call}"),
            "{action}"
        );
    }
    let unkeyed = policy(&json!({"sid_action": "hash"}));
    assert_eq!(shown(&unkeyed, &format!("/x?CallSid={CALL}")), "/x?CallSid=[REDACTED]");
}

#[test]
fn variable_segments_of_templates_are_masked_however_they_are_spelled() {
    let config = json!({
        "public_url": URL,
        "default": "none",
        "routes": [
            {"name": "a", "match": {"path_template": "/calls/{sid}/status"}, "verify": "none"},
            {"name": "b", "match": {"path_template": "/steps/{step}/{who}", "methods": ["POST"]}, "verify": "none"},
        ],
    });
    let plan = parse_text(config.to_string().as_bytes(), &[]).expect("in order");
    for rule in plan.rules() {
        let shown = |target: &str| rule.redaction.target(target.as_bytes());
        assert_eq!(shown(&format!("/calls/{CALL}/status?NumMedia=0")), "/calls/[REDACTED]/status?NumMedia=0");
        assert_eq!(shown("/Calls/doe/STATUS"), "/Calls/[REDACTED]/STATUS");
        assert_eq!(shown("/calls/doe;v=1/status/"), "/calls/[REDACTED]/status/");
        assert_eq!(shown("/calls/doe/%73tatus"), "/calls/[REDACTED]/status");
        assert_eq!(shown("//calls/./doe/status"), "//calls/./[REDACTED]/status");
        assert_eq!(shown("/x/../calls/doe/status"), "/x/../calls/[REDACTED]/status");
        assert_eq!(shown("/calls/roe/%2e%2e/doe/status"), "/calls/roe/../[REDACTED]/status");
        assert_eq!(shown("/calls/doe/status.json"), "/calls/[REDACTED]/status.json");
        assert_eq!(shown("/steps/one/roe"), "/steps/[REDACTED]/[REDACTED]");
        assert_eq!(shown("/calls/doe/other"), "/calls/doe/other");
    }
}

#[test]
fn a_route_overrides_key_by_key() {
    let config = json!({
        "public_url": URL,
        "default": "none",
        "allow_inline_secrets": true,
        "redaction": {"allow_params": ["step"], "drop_params": ["note"], "hash_key": {"value": KEY}},
        "routes": [
            {"name": "own", "match": {"path": "/own"}, "verify": "none",
             "redaction": {"allow_params": ["other"], "sid_action": "mask"}},
            {"name": "none", "match": {"path": "/none"}, "verify": "none",
             "redaction": {"hash_key": {"env": "NOT_SET", "optional": true}}},
        ],
    });
    let plan = parse_text(config.to_string().as_bytes(), &[]).expect("in order");
    let target = format!("/x?step=a&other=b&note=c&From=%2B12025550123&CallSid={CALL}");
    let shown: Vec<String> = plan.rules().map(|rule| rule.redaction.target(target.as_bytes())).collect();
    assert!(shown[0].starts_with("/x?step=[REDACTED]&other=b&From=[h:"), "{}", shown[0]);
    assert!(shown[0].ends_with("&CallSid=[REDACTED]"), "{}", shown[0]);
    assert_eq!(shown[1], format!("/x?step=a&other=[REDACTED]&From=[REDACTED]&CallSid={CALL}"));
    assert!(shown[2].starts_with("/x?step=a&other=[REDACTED]&From=[h:"), "{}", shown[2]);
}

#[test]
fn a_block_that_cannot_mean_what_it_says_is_refused_at_its_place() {
    for (block, path) in [
        (json!({"hash_key": {"value": "0123456789abcdef0123456789abcde"}}), "redaction.hash_key"),
        (json!({"hash_key": {"env": "NOT_SET"}}), "redaction.hash_key.env"),
        (json!({"hash_key": {}}), "redaction.hash_key"),
        (json!({"allow_params": ["a", "Jane Roe"]}), "redaction.allow_params[1]"),
        (json!({"allow_params": ["sip*"]}), "redaction.allow_params[0]"),
        (json!({"drop_params": [""]}), "redaction.drop_params[0]"),
        (json!({"allow_params": ["to_do"], "drop_params": ["ToDo"]}), "redaction.drop_params"),
        (json!({"route_words": ["Intake"]}), "redaction.route_words[0]"),
        (json!({"route_words": ["a/b"]}), "redaction.route_words[0]"),
        (json!({"sensitive_nouns": ["ward-7"]}), "redaction.sensitive_nouns[0]"),
        (json!({"sid_action": "drop"}), "redaction.sid_action"),
        (json!({"rewrite_headers": true}), "redaction.rewrite_headers"),
        (json!({"allow": []}), "redaction.allow"),
    ] {
        let error = try_policy(&block).expect_err("refused");
        assert_eq!(error.path(), path, "{error}");
        assert!(!error.to_string().contains("Jane"), "{error}");
    }
}

#[test]
fn the_key_is_never_shown() {
    let policy = Policy::default().with_hash_key(&Secret::from(KEY.to_owned()));
    assert!(!format!("{policy:?}").contains("0123456789"));
}
