//! No error ever shows a value: a value may be a secret in the wrong place.

use serde_json::{Value, json};

use super::core_support::{ENVIRONMENT, PUBLIC_KEY, parse_text};
use super::shapes::nodes;
use super::{base, edit, full};

const MARKER: &str = "S3CR3T-MARKER";
const NUMBER: u64 = 918_273_645;

/// Texts that look like the parts of a parser's message, so that cutting the message apart would show them.
fn tricky(marker: &str) -> Vec<String> {
    vec![
        marker.to_owned(),
        format!("{marker}, expected {marker}"),
        format!("x, expected one of {marker}"),
        format!("; {marker}"),
        format!("{marker} at line 1 column 2"),
        format!("a at line {marker}, expected {marker}; {marker}"),
        format!("unknown field `{marker}`, expected `{marker}`"),
        format!("missing field `{marker}`"),
        format!("`{marker}`"),
        format!("\"{marker}\n\u{1b}[2K{marker}"),
        format!("https://user:{marker}@hooks.example.org?{marker}"),
        format!("/{marker}/../{{{marker}}}"),
        format!("12{marker}"),
    ]
}

fn values(count: usize) -> Vec<Value> {
    let marker = format!("{MARKER}-{count}");
    let number = NUMBER * 1000 + u64::try_from(count).expect("a small number") % 1000;
    let negative = -i64::try_from(number).expect("a small number");
    let mut values: Vec<Value> = tricky(&marker).into_iter().map(Value::from).collect();
    values.extend([json!(number), json!(negative), json!(f64::from(918_273_645) + 0.5)]);
    let nested: Vec<Value> = values
        .iter()
        .take(5)
        .flat_map(|value| {
            [json!([value]), json!({"path": value}), json!({"from": value}), json!({"env": value})]
        })
        .collect();
    values.extend(nested);
    values
}

/// Checks what an error says of a configuration. Whether it is refused at all is not the question here.
fn assert_silent(text: &str, variables: &[(&str, &str)]) -> bool {
    let Err(error) = parse_text(text.as_bytes(), variables) else { return false };
    for shown in [error.to_string(), format!("{error:?}")] {
        let leaks =
            shown.contains("S3CR3T") || shown.contains("MARKER") || shown.contains(&NUMBER.to_string());
        assert!(!leaks, "{shown}\n{text}");
    }
    assert!(!error.to_string().contains(char::is_control), "{error}");
    true
}

#[test]
fn no_value_of_any_key_is_ever_shown() {
    let mut refused = 0;
    let mut count = 0;
    for config in [base(), full()] {
        for (pointer, _) in nodes(&config) {
            count += 1;
            for value in values(count) {
                let text = edit(config.clone(), &json!({pointer.clone(): value})).to_string();
                refused += usize::from(assert_silent(&text, ENVIRONMENT));
            }
        }
    }
    assert!(refused > 2000, "{refused}");
}

#[test]
fn no_value_under_an_unknown_or_later_key_is_ever_shown() {
    for key in ["unheard_of", "egress", "redis", "explain", "sendgrid_keys", "auth_token"] {
        for pointer in
            ["", "/routes/0", "/routes/0/match", "/accounts/0", "/accounts/0/auth_tokens/0", "/limits"]
        {
            for value in values(7) {
                let config = edit(full(), &json!({format!("{pointer}/{key}"): value}));
                assert!(assert_silent(&config.to_string(), ENVIRONMENT));
            }
        }
    }
}

#[test]
fn no_environment_value_is_ever_shown() {
    let spaced: Vec<String> = tricky(MARKER).into_iter().map(|value| format!("{value}\n")).collect();
    for value in &spaced {
        assert!(assert_silent(&base().to_string(), &[("TOKEN_A", value)]));
    }
    let config = full().to_string();
    for value in tricky(MARKER) {
        let inline = config.replace("inline-token", &value.escape_default().to_string().replace("\\'", "'"));
        assert_silent(&inline, &[("TOKEN_A", &value)]);
    }
}

#[test]
fn broken_text_is_never_shown() {
    for value in tricky(MARKER) {
        for text in [
            value.clone(),
            format!("{{\"public_url\": {value}"),
            format!("{{\"public_url\": \"{value}"),
            format!("{} {value}", base()),
            format!("{{\"default\": \"none\", {value}}}"),
            format!("{{\"accounts\": [{{\"auth_tokens\": [{{\"value\": {value}}}]}}]}}"),
        ] {
            assert!(assert_silent(&text, ENVIRONMENT), "{text}");
        }
    }
}

#[test]
fn a_number_out_of_range_is_not_shown() {
    let huge = format!("{NUMBER}{}", "0".repeat(400));
    for pointer in ["/limits/max_body", "/statuses/denied", "/default"] {
        let marked = edit(full(), &json!({pointer: "HUGE"})).to_string();
        for number in [huge.clone(), format!("{NUMBER}e999"), format!("-{huge}"), format!("{NUMBER}.5")] {
            assert!(assert_silent(&marked.replace("\"HUGE\"", &number), ENVIRONMENT), "{pointer}");
        }
    }
}

#[test]
fn what_a_plan_shows_of_itself_has_no_secret() {
    let mut config = full();
    let secret = json!({"value": MARKER, "label": "inline"});
    config["accounts"][1]["auth_tokens"][0] = secret;
    let plan = parse_text(
        config.to_string().as_bytes(),
        &[("TOKEN_A", "S3CR3T-FROM-ENVIRONMENT"), ("SENDGRID_KEY", PUBLIC_KEY)],
    )
    .expect("in order");
    let shown = format!("{plan:?}");
    assert!(!shown.contains("S3CR3T"), "{shown}");
}
