//! What stands around the filter in a chain of HTTP filters.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::{bytes, field, is_true, list, member, text};
use super::find::{is_our_filter, our_config};
use super::finding::{Finding, Location};

/// Inspects an HTTP connection manager.
pub(super) fn inspect(manager: &Value, at: &Location) -> Vec<Finding> {
    let mut findings = Vec::new();
    let filters = list(manager, &at.path, "http_filters");
    let Some(position) = filters.iter().position(|(filter, _)| is_our_filter(filter)) else {
        return findings;
    };
    if position > 0
        && let Some((_, path)) = filters.get(position)
    {
        findings.push(not_first(at.at(path.clone())));
    }
    let mut windows = BTreeSet::new();
    for (filter, path) in &filters {
        if shared_window(filter).is_some_and(|window| !windows.insert(window)) {
            findings.push(Finding::warning(
                "namespace_shared",
                at.at(path.clone()),
                "this filter and one before it share what they remember: the second takes each request for a copy",
                "give each its replay.namespace",
            ));
        }
    }
    for (upgrade, path) in list(manager, &at.path, "upgrade_configs") {
        let own = list(upgrade, &path, "filters");
        if !own.is_empty() && !own.iter().any(|(filter, _)| is_our_filter(filter)) {
            findings.push(Finding::error(
                "upgrade_filters",
                at.at(member(&path, "filters")),
                "this list replaces http_filters for upgrades and lacks the filter, so they pass unverified",
                "remove the list, or put the filter first in it",
            ));
        }
    }
    let is_changing = |name: &str| match name {
        "path_with_escaped_slashes_action" => text(manager, name)
            .is_some_and(|action| matches!(action, "UNESCAPE_AND_REDIRECT" | "UNESCAPE_AND_FORWARD")),
        name => is_true(manager, name),
    };
    for name in ["normalize_path", "merge_slashes", "path_with_escaped_slashes_action"] {
        if is_changing(name)
            && let Some((_, path)) = field(manager, &at.path, name)
        {
            findings.push(Finding::warning(
                "path_normalization",
                at.at(path),
                "the path is changed before the filter sees it, so a signature over the original no longer fits",
                "remove it for these hosts: the filter refuses ambiguous paths itself",
            ));
        }
    }
    findings
}

/// What says whether two filters share a window in Redis; `None` for a filter that has none there.
fn shared_window(filter: &Value) -> Option<String> {
    let config = our_config(filter)?.tree()?;
    let store = config.pointer("/replay/store/redis")?;
    let prefix = text(store, "key_prefix").unwrap_or("twilio-guard");
    let namespace = config.pointer("/replay/namespace").and_then(Value::as_str).unwrap_or("default");
    let database = store.get("database").and_then(Value::as_u64).unwrap_or_default();
    let cluster = text(store, "cluster")?;
    Some(format!("{cluster} {database} {prefix} {namespace}"))
}

/// The route of an HTTP connection manager on which a request may be under way for the longest time, its tries included, and
/// for how many seconds. Routes without a timeout are for streams, which are answered when they begin.
pub(super) fn slowest_route(manager: &Value, at: &Location) -> Option<(u64, Location)> {
    let (config, path) = field(manager, &at.path, "route_config")?;
    let hosts = list(config, &path, "virtual_hosts").into_iter();
    let routes = hosts.flat_map(|(host, path)| list(host, &path, "routes"));
    let slow = routes.filter_map(|(route, path)| {
        let (action, path) = field(route, &path, "route")?;
        let timeout = match text(action, "timeout") {
            // Envoy's default.
            None => 15.0,
            Some(text) => text.strip_suffix('s')?.parse::<f64>().ok()?,
        };
        let tries = field(action, "", "retry_policy").map_or(1, |(policy, _)| {
            1 + field(policy, "", "num_retries").and_then(|(count, _)| bytes(count)).unwrap_or(1)
        });
        let whole = std::time::Duration::try_from_secs_f64(timeout).ok()?.as_secs();
        (timeout > 0.0).then(|| (whole.saturating_mul(tries), at.at(path)))
    });
    slow.max_by_key(|(seconds, _)| *seconds)
}

/// Inspects the patches of an Istio EnvoyFilter: only `INSERT_FIRST` puts the filter before all others.
pub(super) fn inspect_patches(spec: &Value, at: &Location) -> Vec<Finding> {
    let is_late = |patch: &Value| {
        let operation = text(patch, "operation").unwrap_or_default();
        let adds = matches!(operation, "ADD" | "INSERT_BEFORE" | "INSERT_AFTER");
        adds && patch.get("value").is_some_and(is_our_filter)
    };
    list(spec, &at.path, "config_patches")
        .into_iter()
        .filter(|(entry, _)| entry.get("applyTo").and_then(Value::as_str) == Some("HTTP_FILTER"))
        .filter_map(|(entry, path)| field(entry, &path, "patch"))
        .filter(|(patch, _)| is_late(patch))
        .map(|(_, path)| not_first(at.at(member(&path, "operation"))))
        .collect()
}

fn not_first(location: Location) -> Finding {
    Finding::warning(
        "filter_not_first",
        location,
        "other filters act on requests before they are verified",
        "put it first (INSERT_FIRST in an EnvoyFilter)",
    )
}

/// The largest limit by which a route or virtual host raises what the listener buffers.
pub(super) fn raised_buffer(node: &Value) -> Option<u64> {
    let own = ["request_body_buffer_limit", "per_request_buffer_limit_bytes"]
        .into_iter()
        .filter_map(|name| field(node, "", name).and_then(|(value, _)| bytes(value)));
    let inner = match node {
        Value::Array(items) => items.iter().filter_map(raised_buffer).max(),
        Value::Object(members) => members.values().filter_map(raised_buffer).max(),
        _ => None,
    };
    own.chain(inner).max()
}
