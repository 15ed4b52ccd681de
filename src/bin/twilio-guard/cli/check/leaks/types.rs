//! Typed messages, plain or as a TypedStruct.

use serde_json::Value;

use super::super::document::{field, text};

/// A typed message.
pub(super) struct Typed<'v> {
    /// Its type without the prefix and, as a short name, without `envoy.extensions.`.
    pub(super) name: &'v str,
    pub(super) value: &'v Value,
    pub(super) path: String,
}

/// What is in `typed_config`.
pub(super) fn typed<'v>(node: &'v Value, path: &str) -> Option<Typed<'v>> {
    let (message, path) = field(node, path, "typed_config")?;
    of(message, path)
}

/// A message that names its type.
pub(super) fn of(message: &Value, path: String) -> Option<Typed<'_>> {
    if let Some(name) = text(message, "type_url") {
        let (value, path) = field(message, &path, "value")?;
        return Some(Typed { name: short(name), value, path });
    }
    Some(Typed { name: short(message.get("@type")?.as_str()?), value: message, path })
}

fn short(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.strip_prefix("envoy.extensions.").unwrap_or(name)
}

/// Whether a filter of a chain is the router.
pub(super) fn is_router(filter: &Value) -> bool {
    text(filter, "name") == Some("envoy.filters.http.router")
        || typed(filter, "").is_some_and(|typed| typed.name == "filters.http.router.v3.Router")
}
