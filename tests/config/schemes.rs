//! Shared keys and SendGrid keys: what is taken, and what is refused.

use serde_json::{Value, json};

use super::core_support::{PUBLIC_KEY, SID_A, SID_B, parse_text};
use super::{assert_edit_refused, base, edit};

fn load(config: &Value) -> twilio_guard::config::Plan {
    parse_text(config.to_string().as_bytes(), super::core_support::ENVIRONMENT)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn shared(key: Value) -> Value {
    json!({"/allow_inline_secrets": true, "/shared_keys": [key]})
}

#[test]
fn a_shared_key_belongs_to_the_only_account() {
    let key = json!({"id": "K1", "secret": {"value": "s"}, "algorithm": "hmac-sha256"});
    let plan = load(&edit(base(), &shared(key)));
    let rule = plan.routes()[0].1.protection.twilio().expect("a twilio rule");
    assert_eq!(rule.shared_keys[0].account.as_deref(), Some(SID_A));
}

#[test]
fn shared_keys_may_stand_alone() {
    let key = json!({"id": "K1", "secret": {"value": "s"}, "algorithm": "hmac-sha1"});
    let mut config = edit(base(), &shared(key));
    config.as_object_mut().expect("an object").remove("accounts");
    assert_eq!(load(&config).routes()[0].1.protection.key_names().len(), 1);
}

#[test]
fn shared_keys_that_cannot_work_are_refused() {
    let good = || json!({"id": "K1", "secret": {"value": "s"}, "algorithm": "hmac-sha256"});
    for (path, change) in [
        ("shared_keys[0].id", json!({"id": ""})),
        ("shared_keys[0].id", json!({"id": "a b"})),
        ("shared_keys[0].algorithm", json!({"algorithm": "hmac-sha512"})),
        ("shared_keys[0].algorithm", json!({"algorithm": "HMAC_SHA256"})),
        ("shared_keys[0].secret.value", json!({"secret": {"value": ""}})),
        ("shared_keys[0].secret.env", json!({"secret": {"env": "ABSENT"}})),
        ("shared_keys[0].account", json!({"account": "AC1"})),
    ] {
        let mut key = good();
        key.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        assert_edit_refused(path, &shared(key));
    }
    assert_edit_refused(
        "shared_keys[1].id",
        &json!({"/allow_inline_secrets": true, "/shared_keys": [good(), good()]}),
    );
    assert_edit_refused("shared_keys[0].secret.value", &json!({"/shared_keys": [good()]}));
    let two = json!([
        {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A"}]},
        {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B"}]},
    ]);
    let edits = json!({"/allow_inline_secrets": true, "/accounts": two, "/shared_keys": [good()]});
    assert_edit_refused("shared_keys[0].account", &edits);
}

#[test]
fn a_public_key_may_stand_in_the_configuration() {
    let config = edit(base(), &json!({"/sendgrid_keys": [{"value": PUBLIC_KEY}], "/default": "sendgrid"}));
    assert_eq!(load(&config).default_rule().protection.as_str(), "sendgrid");
}

#[test]
fn sendgrid_keys_that_cannot_work_are_refused() {
    for (path, keys) in [
        ("sendgrid_keys", json!([])),
        ("sendgrid_keys[0]", json!([{"value": "AAAA"}])),
        ("sendgrid_keys[0]", json!([{"value": format!("-----BEGIN PUBLIC KEY-----{PUBLIC_KEY}")}])),
        ("sendgrid_keys[0].env", json!([{"env": "ABSENT"}])),
        ("sendgrid_keys", json!([{"env": "ABSENT", "optional": true}])),
        (
            "sendgrid_keys[1].label",
            json!([{"value": PUBLIC_KEY, "label": "a"}, {"value": PUBLIC_KEY, "label": "a"}]),
        ),
    ] {
        assert_edit_refused(path, &json!({"/sendgrid_keys": keys}));
    }
    assert_edit_refused("sendgrid_keys", &json!({"/default": "sendgrid"}));
}

#[test]
fn keys_of_the_other_scheme_have_no_effect_and_are_refused() {
    for (key, value) in [
        ("public_url", json!("https://hooks.example.org")),
        ("require_params", json!(["MessageSid"])),
        ("accounts", json!([SID_A])),
        ("profile", json!("messaging")),
    ] {
        let route = format!("/routes/0/{key}");
        let edits =
            json!({"/sendgrid_keys": [{"value": PUBLIC_KEY}], "/routes/0/verify": "sendgrid", route: value});
        assert_edit_refused(&format!("routes[0].{key}"), &edits);
    }
    assert_edit_refused("routes[0].profile", &json!({"/routes/0/profile": "sendgrid-events"}));
}
