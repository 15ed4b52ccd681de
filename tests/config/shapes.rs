//! Keys that are not there, keys that must not be there, and values of the wrong type.

use serde_json::{Value, json};

use super::core_support::{ENVIRONMENT, parse};
use super::{assert_refused, edit, full, refusal, without};

/// Every value of a configuration with its JSON pointer, inner nodes included.
pub(super) fn nodes(config: &Value) -> Vec<(String, Value)> {
    fn walk(value: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(list) => {
                list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (key, child) in children {
            let pointer = format!("{pointer}/{key}");
            found.push((pointer.clone(), child.clone()));
            walk(child, &pointer, found);
        }
    }
    let mut found = Vec::new();
    walk(config, "", &mut found);
    found
}

/// The path in an error's words: `/routes/0/name` is `routes[0].name`.
pub(super) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for token in pointer.split('/').skip(1) {
        match token.parse::<usize>() {
            Ok(index) => path.push_str(&format!("[{index}]")),
            Err(_) if path.is_empty() => path.push_str(token),
            Err(_) => path.push_str(&format!(".{token}")),
        }
    }
    path
}

/// The value whose several forms are tried as a whole: faults inside are reported there.
fn reported_at(pointer: &str) -> String {
    let path = dotted(pointer);
    for whole in ["public_url", "accept_hosts", "require_params[1]"] {
        if let Some(at) = path.find(whole) {
            return path[..at + whole.len()].to_owned();
        }
    }
    path
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[test]
fn a_value_of_another_type_is_refused_at_its_key() {
    let others = [json!(null), json!(true), json!(7), json!(-1), json!(1.5), json!("word"), json!({"a": 1})];
    let mut count = 0;
    for (pointer, value) in nodes(&full()) {
        // A parameter may be a word or an object.
        let is_either =
            |other: &Value| pointer.contains("/require_params/") && value.is_object() && other.is_string();
        for other in others.iter().filter(|other| kind(other) != kind(&value) && !is_either(other)) {
            let error = assert_refused_somewhere(&pointer, other);
            let path = reported_at(&pointer);
            let is_here = error.path() == path || (other.is_object() && error.path() == format!("{path}.a"));
            assert!(is_here, "{pointer} = {other}: {error}");
            count += 1;
        }
    }
    assert!(count > 400, "{count}");
}

fn assert_refused_somewhere(pointer: &str, value: &Value) -> twilio_guard::config::ConfigError {
    let config = edit(full(), &json!({pointer: value}));
    refusal(config.to_string().as_bytes(), ENVIRONMENT)
}

#[test]
fn a_list_is_no_object() {
    // serde takes a list for a struct by the order of its fields; a configuration must not.
    let mut accepted = Vec::new();
    for (pointer, value) in nodes(&full()).into_iter().filter(|(_, value)| value.is_object()) {
        let fields: Vec<Value> = value.as_object().unwrap().values().cloned().collect();
        for list in [json!([]), Value::Array(fields)] {
            let config = edit(full(), &json!({pointer.clone(): list}));
            match parse(&config) {
                Ok(_) => accepted.push(format!("{pointer} = {list}")),
                Err(_) => drop(refusal(config.to_string().as_bytes(), ENVIRONMENT)),
            }
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}

#[test]
fn an_object_is_no_word() {
    // serde takes {"enforce": null} for the enum value "enforce"; a configuration must not.
    let mut accepted = Vec::new();
    let words = [
        "/default",
        "/mode",
        "/hold",
        "/routes/0/verify",
        "/routes/0/mode",
        "/routes/0/hold",
        "/replay/store/redis/on_error",
    ];
    for pointer in words {
        let word = full().pointer(pointer).and_then(Value::as_str).expect("a word").to_owned();
        let config = edit(full(), &json!({pointer: {word: null}}));
        if parse(&config).is_ok() {
            accepted.push(pointer);
        }
    }
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
}

#[test]
fn an_unknown_key_is_refused_at_every_level() {
    let objects = nodes(&full()).into_iter().filter(|(_, value)| value.is_object());
    for pointer in objects.map(|(pointer, _)| pointer).chain([String::new()]) {
        let config = edit(full(), &json!({format!("{pointer}/unheard_of"): 1}));
        let error = refusal(config.to_string().as_bytes(), ENVIRONMENT);
        let path = dotted(&format!("{pointer}/unheard_of"));
        assert!(error.path() == path || error.path() == reported_at(&pointer), "{error}");
    }
}

#[test]
fn an_unknown_key_with_a_line_break_still_gives_one_line() {
    for key in ["line\nbreak", "tab\tkey", "\u{1b}[31mred", "a\u{2028}b\u{7f}", "nul\0"] {
        let config = edit(full(), &json!({format!("/{key}"): 1}));
        refusal(config.to_string().as_bytes(), ENVIRONMENT);
    }
}

#[test]
fn a_required_key_that_is_missing_is_named() {
    for pointer in [
        "/public_url",
        "/default",
        "/accounts/0/auth_tokens",
        "/routes/0/name",
        "/routes/0/match",
        "/routes/0/verify",
        "/replay/store/redis/cluster",
    ] {
        assert_refused(&without(full(), pointer), &dotted(pointer));
    }
    for (pointer, path) in [
        ("/public_url/from", "public_url"),
        ("/routes/0/require_params/1/name", "routes[0].require_params[1]"),
        ("/routes/0/require_params/1/shape", "routes[0].require_params[1]"),
    ] {
        assert_refused(&without(full(), pointer), path);
    }
}

#[test]
fn an_optional_key_may_be_left_out() {
    for pointer in
        ["/mode", "/hold", "/limits", "/statuses", "/verified_header", "/routes/0/profile", "/routes/0/mode"]
    {
        parse(&without(full(), pointer)).unwrap_or_else(|error| panic!("{pointer}: {error}"));
    }
}

#[test]
fn words_are_case_sensitive_and_closed() {
    for (pointer, words) in [
        ("/default", ["None", "allow", "off", ""]),
        ("/mode", ["Enforce", "shadow", "off", ""]),
        ("/hold", ["Headers", "header", "none", ""]),
        ("/accept_hosts", ["Any", "all", "*", ""]),
        ("/routes/0/verify", ["Twilio", "yes", "off", ""]),
        ("/replay/store/redis/on_error", ["Deny", "ignore", "open", ""]),
        ("/routes/0/profile", ["Messaging", "sms", "none", ""]),
    ] {
        for word in words {
            assert_refused(&edit(full(), &json!({pointer: word})), &dotted(pointer));
        }
    }
    for shape in ["Digits", "number", ""] {
        let config = edit(full(), &json!({"/routes/0/require_params/1/shape": shape}));
        assert_refused(&config, "routes[0].require_params[1]");
    }
}
