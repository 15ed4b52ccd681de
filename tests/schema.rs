//! The published JSON Schema: generated from the code, current, and true of every example.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed expectation must fail its test"
)]

use serde_json::{Value, json};
use twilio_guard::config::json_schema;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.schema.json");

fn is_valid(config: &Value) -> bool {
    jsonschema::validator_for(&json_schema()).expect("a valid schema").is_valid(config)
}

#[test]
fn the_published_schema_is_current() {
    let generated = format!("{:#}\n", json_schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(PUBLISHED, &generated).expect("the schema can be written");
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(published == generated, "run: UPDATE_SCHEMA=1 cargo test --test schema");
}

#[test]
fn the_quickstart_fits_the_schema() {
    let text = include_str!("../envoy/quickstart.yaml");
    let yaml: Value = serde_saphyr::from_str(text).expect("YAML");
    let filters = &yaml["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        ["http_filters"];
    let config = filters[0]["typed_config"]["config"]["configuration"]["value"].as_str().expect("JSON text");
    assert!(is_valid(&serde_json::from_str(config).expect("JSON")));
}

#[test]
fn the_example_of_the_readme_fits_the_schema() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```json\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    assert!(is_valid(&serde_json::from_str(example).expect("JSON")));
}

#[test]
fn what_the_filter_refuses_by_type_the_schema_refuses_too() {
    let good = json!({"public_url": "https://h.example", "default": "none"});
    assert!(is_valid(&good));
    let changes = [
        ("default", json!("on")),
        ("default", Value::Null),
        ("mode", Value::Null),
        ("colour", json!(1)),
        ("routes", json!([{"name": "a", "verify": "twilio"}])),
        ("routes", json!([{"name": "a", "match": {"path": "/", "regex": "x"}, "verify": "twilio"}])),
        ("limits", json!({"max_body": "1 MB"})),
        ("limits", json!({"body_timeout": 5})),
        ("accounts", json!([{"auth_tokens": ["token"]}])),
        ("egress", json!({})),
        ("replay", json!({"window": "10m"})),
        ("replay", json!({"dedupe": {"on_replay": "off"}})),
    ];
    for (key, value) in changes {
        let mut config = good.clone();
        config[key] = value;
        assert!(!is_valid(&config), "{config}");
    }
}
