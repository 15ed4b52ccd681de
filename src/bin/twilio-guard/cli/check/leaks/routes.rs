//! Routes that rewrite the path: the router then stores the true path in `x-envoy-original-path`, over the redacted one,
//! unless it suppresses its headers.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::document::{element, field, list, member, text};

/// How a route action rewrites the path of the request that goes upstream.
const ROUTE: &[&str] = &["prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"];

/// How a redirect does. Of these too the router stores the true path; `path_redirect` and `host_redirect` leave it alone.
const REDIRECT: &[&str] = &["prefix_rewrite", "regex_rewrite"];

/// The rewriting routes under a node, as paths.
pub(super) fn rewriting(node: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    visit(node, path, &mut found);
    found
}

fn visit(node: &Value, path: &str, found: &mut Vec<String>) {
    match node {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &element(path, index), found);
            }
        }
        Value::Object(members) => {
            for (action, rewrites) in [("route", ROUTE), ("redirect", REDIRECT)] {
                if let Some((action, path)) = field(node, path, action) {
                    let is_set = |value: &Value| !value.is_null() && value.as_str() != Some("");
                    let mut rewrites = rewrites.iter().filter_map(|name| field(action, &path, name));
                    found.extend(rewrites.find(|(value, _)| is_set(value)).map(|(_, path)| path));
                }
            }
            for (key, value) in members {
                visit(value, &member(path, key), found);
            }
        }
        _ => {}
    }
}

/// The name of the routes that a connection manager gets by RDS.
pub(super) fn discovered(manager: &Value) -> Option<&str> {
    let (rds, _) = field(manager, "", "rds").or_else(|| field(manager, "", "scoped_routes"))?;
    Some(text(rds, "route_config_name").unwrap_or_default())
}

/// Route configurations that stand outside of a connection manager, by name, with their rewriting routes.
#[derive(Debug, Default)]
pub(super) struct Routes(BTreeMap<String, Vec<String>>);

impl Routes {
    /// Collects those of a document.
    pub(super) fn collect(&mut self, node: &Value, path: &str) {
        match node {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.collect(item, &element(path, index));
                }
            }
            Value::Object(_) if !list(node, "", "http_filters").is_empty() => {}
            Value::Object(members) => {
                if !list(node, "", "virtual_hosts").is_empty() {
                    let name = text(node, "name").unwrap_or_default();
                    self.0.entry(name.to_owned()).or_default().extend(rewriting(node, path));
                    return;
                }
                for (key, value) in members {
                    self.collect(value, &member(path, key));
                }
            }
            _ => {}
        }
    }

    pub(super) fn named(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }
}
