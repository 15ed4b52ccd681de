//! What is sent to a replay window, be it that of one proxy or one that replicas share: captures, an attacker's moves, and legal flows.
//!
//! The same moves and flows run against both, so what is promised of one is promised of the other.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test, and each test crate uses a part only"
)]

pub mod attacker;
pub mod captures;
pub mod legal;
pub mod messages;
pub mod races;
pub mod site;

use serde_json::{Value, json};

use crate::support::guarded::plugin;

/// A plugin configuration with these routes and the default replay windows.
pub fn replaying(routes: Value) -> Value {
    let mut settings = plugin("none", routes);
    settings["replay"] = json!({});
    settings
}
