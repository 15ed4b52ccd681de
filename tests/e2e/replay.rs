//! Replay windows in a real Envoy: how often the application sees a capture, and what legal traffic gets.

mod attacker;
mod attacker_races;
mod attacker_survival;
mod captures;
mod cost;
mod legal;
mod lifecycle;
mod minted;
mod operations;
mod scene;
mod soak;

use serde_json::{Value, json};

use crate::guarded::plugin;

/// A plugin configuration with these routes and the default replay windows.
fn replaying(routes: Value) -> Value {
    let mut settings = plugin("none", routes);
    settings["replay"] = json!({});
    settings
}
