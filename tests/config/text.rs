//! Texts that are no configuration at all.

use serde_json::json;

use super::core_support::ENVIRONMENT;
use super::{base, refusal};

fn assert_text_refused(text: impl AsRef<[u8]>, path: &str) {
    let error = refusal(text.as_ref(), ENVIRONMENT);
    assert_eq!(error.path(), path, "{error}\n{}", String::from_utf8_lossy(text.as_ref()));
}

#[test]
fn an_empty_configuration_is_refused() {
    for empty in ["", " ", "\n", " \t\r\n "] {
        assert_text_refused(empty, "");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    assert_text_refused(b"\xff\xfe{\x00}\x00", "");
    let mut text = base().to_string().into_bytes();
    text[20] = 0xff;
    assert_text_refused(text, "");
}

#[test]
fn text_that_is_not_one_json_object_is_refused() {
    for text in [
        "x",
        "{",
        "public_url: https://hooks.example.org",
        "\u{feff}{}",
        "{'default': 'none'}",
        "{}{}",
        "{} x",
    ] {
        let error = refusal(text.as_bytes(), ENVIRONMENT);
        assert!(matches!(error.path(), "" | "public_url"), "{error}");
    }
    for scalar in ["null", "true", "1", "\"text\"", "[]", "[1,2]"] {
        let error = refusal(scalar.as_bytes(), ENVIRONMENT);
        assert!(matches!(error.path(), "" | "[0]"), "{error}");
    }
}

#[test]
fn what_follows_the_object_is_refused() {
    for tail in ["{}", "x", ",", "}", "\0", "\u{a0}"] {
        assert_text_refused(format!("{}{tail}", base()), "");
    }
    super::core_support::parse_text(format!(" {}\r\n", base()).as_bytes(), ENVIRONMENT)
        .expect("white space is no tail");
}

#[test]
fn truncated_text_is_refused_wherever_it_ends() {
    let text = super::full().to_string();
    for end in 0..text.len() {
        refusal(&text.as_bytes()[..end], ENVIRONMENT);
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in
        ["[".repeat(100_000), format!("{{\"routes\":{}", "[".repeat(100_000)), "{\"a\":".repeat(100_000)]
    {
        refusal(text.as_bytes(), ENVIRONMENT);
    }
}

#[test]
fn a_key_given_twice_is_refused_at_every_level() {
    let text = super::full().to_string();
    // Each key is given again directly after its object begins, so that the first occurrence is an odd one.
    let cases = [
        ("", "default", "none"),
        ("\"accounts\":[", "sid", "AC"),
        ("\"auth_tokens\":[", "env", "X"),
        ("\"routes\":[", "name", "x"),
        ("\"match\":", "path", "/x"),
        ("\"limits\":", "max_body", "1KiB"),
    ];
    for (before, key, value) in cases {
        let at = text.find(&format!("{before}{{")).unwrap_or_else(|| panic!("{before} is there"))
            + before.len()
            + 1;
        let twice = format!("{}\"{key}\":\"{value}\",{}", &text[..at], &text[at..]);
        let error = refusal(twice.as_bytes(), ENVIRONMENT);
        assert!(error.path().ends_with(key) || error.problem().contains("twice"), "{error}");
    }
    let twice = base().to_string().replacen("\"default\":", "\"default\":\"none\",\"default\":", 1);
    let error = refusal(twice.as_bytes(), ENVIRONMENT);
    assert_eq!((error.path(), error.problem()), ("default", "the key is given twice"), "{error}");
    let derived = r#"{"from":"request","from":"request"}"#;
    let twice = base().to_string().replacen(&json!(super::URL).to_string(), derived, 1);
    assert_text_refused(twice, "public_url.from");
    let twice = base().to_string().replacen("\"default\":", "\"replay\":{},\"replay\":{},\"default\":", 1);
    assert_text_refused(twice, "replay");
}
