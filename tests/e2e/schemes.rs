//! What goes beyond an account's auth token: SharedKeys and SendGrid, the other form of the configuration, explanations,
//! and what bounds a flood.

mod encodings;
mod explain;
mod gates;
mod held;
mod sendgrid;
mod shared_keys;
mod structs;
mod targets;
mod trailers;
mod vectors;

use serde_json::{Value, json};

use crate::guarded::plugin;
use crate::support::sendgrid::Sendgrid;

/// A plugin configuration for SendGrid alone, with its genuine key.
fn sendgrid_plugin(routes: Value) -> Value {
    let mut plugin = plugin("none", routes);
    plugin.as_object_mut().expect("an object").remove("accounts");
    plugin["sendgrid_keys"] = json!([{"value": Sendgrid::genuine().public_key(), "label": "events"}]);
    plugin
}

/// A route for SendGrid's posts to `/mail`.
fn mail() -> Value {
    json!([{"name": "mail", "match": {"path": "/mail"}, "verify": "sendgrid"}])
}
