//! What access logs may show of a request: the conformance cases of the policy `phi-default-v1`, what the operator adds to it,
//! and what holds for every request.
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

mod cases;
mod configured;
mod debug;
mod properties;
mod spec;

use core_support::{URL, parse_text};
use serde_json::{Value, json};
use twilio_guard::config::ConfigError;
use twilio_guard::redact::Policy;

/// The policy of a configuration with this `redaction` block.
fn policy(redaction: &Value) -> Policy {
    try_policy(redaction).expect("a valid block")
}

fn try_policy(redaction: &Value) -> Result<Policy, ConfigError> {
    let config = json!({
        "public_url": URL,
        "default": "none",
        "allow_inline_secrets": true,
        "redaction": redaction,
    });
    let plan = parse_text(config.to_string().as_bytes(), &[])?;
    Ok(plan.default_rule().redaction.clone())
}

/// The default policy of a configuration whose only route has this template.
fn template_policy(template: &str) -> Policy {
    let config = json!({
        "public_url": URL,
        "default": "none",
        "routes": [{"name": "only", "match": {"path_template": template}, "verify": "none"}],
    });
    let plan = parse_text(config.to_string().as_bytes(), &[]).expect("a valid template");
    plan.default_rule().redaction.clone()
}
