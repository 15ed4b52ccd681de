//! What a configuration means, and every way in which one is refused.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../core_support/mod.rs"]
mod core_support;

mod design;
mod hidden;
mod leaks;
mod overrides;
mod redis;
mod refusals;
mod replay;
mod routes;
mod schemes;
mod secrets;
mod shapes;
mod text;

use core_support::{ENVIRONMENT, SID_A, URL, parse_text};
use serde_json::{Value, json};
use twilio_guard::config::ConfigError;

/// A small configuration that is in order: one account, one route.
fn base() -> Value {
    json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "current"}]}],
        "default": "none",
        "routes": [{"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"}],
    })
}

/// A configuration in which every key of this version is given.
fn full() -> Value {
    json!({
        "public_url": {"from": "forwarded", "trusted_peers": ["10.0.0.0/8"]},
        "accept_hosts": ["hooks.example.org"],
        "accounts": [
            {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "current", "optional": false}]},
            {"sid": core_support::SID_B, "auth_tokens": [{"value": "inline-token", "label": "inline"}]},
        ],
        "default": "deny",
        "routes": [
            {
                "name": "sms",
                "match": {"path": "/sms", "hosts": ["hooks.example.org"], "methods": ["POST"]},
                "verify": "twilio",
                "profile": "generic",
                "methods": ["POST"],
                "require_params": ["MessageSid", {"name": "SequenceNumber", "shape": "digits"}],
                "public_url": {"from": "request"},
                "accept_hosts": ["hooks.example.org"],
                "accounts": [SID_A],
                "mode": "observe",
                "hold": "headers",
                "limits": {"max_body": 1000, "body_timeout": "5s"},
                "statuses": {"denied": 404},
                "redaction": {"allow_params": [], "sid_action": "mask"},
                "replay": {
                    "freshness": {"require": true, "sources": [{"param": "Timestamp"}]},
                    "dedupe": {"eligible": "always"},
                    "minted": {"strip": true},
                },
            },
            {"name": "public", "match": {"path_prefix": "/public"}, "verify": "none"},
            {"name": "status", "match": {"path_template": "/calls/{sid}"}, "verify": "deny"},
        ],
        "mode": "enforce",
        "hold": "headers",
        "limits": {
            "max_body": 1_000_000, "max_form": 65_536, "max_params": 1000, "max_target": 32768,
            "max_candidates": 32, "max_hashed_bytes": 1_000_000, "body_timeout": "15s",
        },
        "statuses": {
            "missing_signature": 401, "invalid_signature": 401, "denied": 403, "stale": 408, "timeout": 408,
            "replayed": 409, "in_flight": 503, "too_large": 413, "method": 405, "undecidable": 503,
        },
        "verified_header": "x-twilio-guard",
        "shared_keys": [
            {"id": "K1", "secret": {"value": "shared", "label": "shared"}, "algorithm": "hmac-sha256", "account": SID_A},
        ],
        "sendgrid_keys": [{"env": "SENDGRID_KEY", "label": "events"}],
        "explain": false,
        "replay": {
            "freshness": {
                "max_age": "5m", "max_skew": "60s", "require": false,
                "sources": [{"header": "x-request-timestamp", "format": "epoch"}],
            },
            "dedupe": {
                "eligible": "event_id", "window": "10m", "max_deliveries": 2, "max_attempts": 3, "lease": "30s",
                "on_replay": "flag", "on_full": "deny",
            },
            "minted": {"require": false, "strip": false},
            "store": {
                "local": {"capacity": 4096},
                "redis": {
                    "cluster": "outbound|6379||redis.db.svc.cluster.local", "timeout": "100ms",
                    "key_prefix": "clinic:twilio-guard", "username": {"value": "guard"},
                    "password": {"value": "sesame"}, "database": 3, "on_error": "local",
                },
            },
            "namespace": "other",
            "cold_start": "strict",
        },
        "mint_keys": [{"id": "m1", "secret": {"value": "0123456789abcdef0123456789abcdef"}}],
        "redaction": {
            "allow_params": ["StepName"], "drop_params": ["note"], "route_words": ["intake"],
            "sensitive_nouns": ["ward"], "sid_action": "hash", "rewrite_headers": "all",
            "hash_key": {"value": "0123456789abcdef0123456789abcdef"},
        },
        "allow_inline_secrets": true,
    })
}

/// Puts values at JSON pointers; `-` as the last token appends to a list.
fn edit(mut config: Value, edits: &Value) -> Value {
    for (pointer, value) in edits.as_object().expect("edits are an object of pointers") {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        match config.pointer_mut(parent).unwrap_or_else(|| panic!("{parent} is there")) {
            Value::Object(object) => drop(object.insert(key.to_owned(), value.clone())),
            Value::Array(list) if key == "-" => list.push(value.clone()),
            Value::Array(list) => list[key.parse::<usize>().expect("an index")] = value.clone(),
            other => panic!("{parent} is {other}"),
        }
    }
    config
}

/// The base configuration with edits.
fn edited(edits: &Value) -> Value {
    edit(base(), edits)
}

/// Takes the value at a JSON pointer out.
fn without(mut config: Value, pointer: &str) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
    match config.pointer_mut(parent).expect("the parent is there") {
        Value::Object(object) => drop(object.remove(key).expect("the key is there")),
        Value::Array(list) => drop(list.remove(key.parse::<usize>().expect("an index"))),
        other => panic!("{parent} is {other}"),
    }
    config
}

/// The error of a text that must be refused, after the promises that hold for every error.
fn refusal(text: &[u8], variables: &[(&str, &str)]) -> ConfigError {
    let error = match parse_text(text, variables) {
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(text)),
        Err(error) => error,
    };
    let shown = error.to_string();
    assert!(!error.remedy().is_empty(), "no remedy: {shown}");
    assert!(!error.problem().is_empty(), "no problem: {shown}");
    assert!(!shown.contains(char::is_control), "not one line: {shown:?}");
    assert!(shown.contains(error.path()) && shown.contains(error.remedy()), "{shown}");
    error
}

/// Asserts that a configuration is refused at exactly this path.
fn assert_refused(config: &Value, path: &str) -> ConfigError {
    let error = refusal(config.to_string().as_bytes(), ENVIRONMENT);
    assert_eq!(error.path(), path, "{error}\n{config}");
    error
}

/// Asserts that the base configuration is refused at exactly this path after these edits.
fn assert_edit_refused(path: &str, edits: &Value) -> ConfigError {
    assert_refused(&edited(edits), path)
}

#[test]
fn the_configurations_that_these_tests_break_are_in_order() {
    core_support::plan(&base());
    core_support::plan(&full());
}
