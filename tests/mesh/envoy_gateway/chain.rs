//! The order of HTTP filters, written after `internal/xds/translator/httpfilters.go` of 1.9.

use serde_json::Value;

use crate::documents::text_at;
use crate::support::Result;

/// The types that this chain may have, in the order that is the default; several of a type stay in the order of their names.
const DEFAULT: [&str; 14] = [
    "custom_response",
    "health_check",
    "fault",
    "cors",
    "ext_authz",
    "api_key_auth",
    "basic_auth",
    "oauth2",
    "jwt_authn",
    "lua",
    "ext_proc",
    "wasm",
    "ratelimit",
    "router",
];

/// The types whose filters ask others about a request, answer it, or change it, before Wasm's place in the default order.
pub const BEFORE_WASM: [&str; 9] =
    ["fault", "cors", "ext_authz", "api_key_auth", "basic_auth", "oauth2", "jwt_authn", "lua", "ext_proc"];

fn is_of(filter: &Value, kind: &str) -> bool {
    filter["name"].as_str().is_some_and(|name| name.starts_with(kind))
}

/// The chain in the default order, changed by the `filterOrder` of an `EnvoyProxy`: one entry after the other. An entry
/// that names a type which the chain does not have does nothing.
pub fn sorted(mut chain: Vec<Value>, positions: &[Value]) -> Result<Vec<Value>> {
    let place =
        |filter: &Value| DEFAULT.iter().position(|kind| is_of(filter, &format!("envoy.filters.http.{kind}")));
    if let Some(unknown) = chain.iter().find(|filter| place(filter).is_none()) {
        return Err(format!("no place is known for {}", unknown["name"]).into());
    }
    chain.sort_by_key(|filter| (place(filter), filter["name"].to_string()));
    for position in positions {
        let (kind, other) = (text_at(position, "/name")?, text_at(position, "/before")?);
        let (mut moved, mut rest): (Vec<_>, Vec<_>) =
            chain.clone().into_iter().partition(|filter| is_of(filter, kind));
        if let Some(place) = rest.iter().position(|filter| is_of(filter, other)) {
            let behind = rest.split_off(place);
            rest.append(&mut moved);
            rest.extend(behind);
            chain = rest;
        }
    }
    Ok(chain)
}
