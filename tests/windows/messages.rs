//! Distinct messages, and routes that count them in different ways.

use serde_json::{Value, json};

use super::replaying;
use crate::support::scenes::route;
pub use crate::support::scenes::{message, sid};

/// Message routes that differ in how copies are counted.
pub fn settings() -> Value {
    replaying(json!([
        route("sms", json!({})),
        route("ack", json!({"on_replay": "acknowledge"})),
        route("flag", json!({"on_replay": "flag", "max_attempts": 2})),
        route("two", json!({"max_deliveries": 2})),
        route("tries", json!({"max_attempts": 3})),
        route("lease", json!({"lease": "1s", "max_attempts": 2})),
        route("short", json!({"lease": "1s", "window": "1s"})),
        {
            "name": "media", "match": {"path_prefix": "/media"}, "verify": "twilio", "profile": "media-stream",
            "replay": {"dedupe": {"eligible": "always"}},
        },
    ]))
}
