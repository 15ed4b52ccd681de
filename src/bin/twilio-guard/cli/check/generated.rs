//! Whether the patch that gives Envoy Gateway's filter its flag names what Envoy Gateway generates: the listener of the Gateway and
//! the filter of the policy that are given together with it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::{field, list, member, text};
use super::finding::{Finding, Location};

/// The names that Envoy Gateway gives to what it generates.
#[derive(Debug, Default, Clone)]
pub(super) struct Generated {
    /// By namespace, Gateway and listener; and by protocol and port.
    listeners: BTreeSet<String>,
    /// Namespace, policy and position of our filters.
    filters: BTreeSet<String>,
}

/// A patch that sets the flag.
#[derive(Debug)]
pub(super) struct Patch {
    listener: Option<(String, Location)>,
    filter: Option<(String, Location)>,
}

impl Generated {
    /// Adds the listeners of a Gateway. One without a namespace is wherever it is applied to, so nothing is known of it.
    pub(super) fn gateway(&mut self, gateway: &Value, spec: &Value) {
        let is_gateway_api = text(gateway, "apiVersion")
            .is_some_and(|version| version.starts_with("gateway.networking.k8s.io/"));
        let Some((namespace, name)) = identity(gateway).filter(|_| is_gateway_api) else { return };
        for (listener, _) in list(spec, "", "listeners") {
            if let Some(listener) = text(listener, "name") {
                self.listeners.insert(format!("{namespace}/{name}/{listener}"));
            }
            if let Some((port, _)) = field(listener, "", "port") {
                self.listeners.insert(format!("tcp-{port}"));
            }
        }
    }

    /// Adds our filter at this position of a policy.
    pub(super) fn filter(&mut self, policy: &Value, position: usize) {
        if let Some((namespace, name)) = identity(policy) {
            self.filters.insert(format!("envoyextensionpolicy/{namespace}/{name}/wasm/{position}"));
        }
    }

    /// What both name.
    pub(super) fn and(mut self, other: &Self) -> Self {
        self.listeners.extend(other.listeners.iter().cloned());
        self.filters.extend(other.filters.iter().cloned());
        self
    }

    /// What a patch names and these do not. Where nothing is known of listeners or filters, nothing is said of them.
    pub(super) fn misses(&self, patch: &Patch) -> Vec<Finding> {
        let listener = patch
            .listener
            .iter()
            .filter(|(name, _)| !self.listeners.is_empty() && !self.listeners.contains(name));
        let listener = listener.map(|(_, at)| {
            miss(
                at,
                "no Gateway given here has a listener of this name",
                "write <namespace>/<gateway>/<listener>, or with XDSNameSchemeV2 tcp-<port>",
            )
        });
        let filter = patch.filter.iter().filter(|(path, _)| {
            let mut names =
                path.split(['\'', '"']).filter(|name| name.contains("envoyextensionpolicy/")).peekable();
            let is_known = !self.filters.is_empty() && names.peek().is_some();
            is_known && !names.any(|name| self.filters.iter().any(|filter| name.ends_with(filter)))
        });
        let filter = filter.map(|(_, at)| {
            miss(
                at,
                "no policy given here has the filter at this place",
                "write envoyextensionpolicy/<namespace>/<policy>/wasm/<position>",
            )
        });
        listener.chain(filter).collect()
    }
}

impl Patch {
    /// Reads a patch.
    pub(super) fn new(patch: &Value, at: &Location, path: &str) -> Self {
        let operation = field(patch, path, "operation");
        let json_path = operation.and_then(|(operation, path)| field(operation, &path, "json_path"));
        let owned = |value: &Value, path: String| Some((value.as_str()?.to_owned(), at.at(path)));
        let name = patch.get("name").and_then(|name| owned(name, member(path, "name")));
        Self { listener: name, filter: json_path.and_then(|(value, path)| owned(value, path)) }
    }
}

fn miss(at: &Location, problem: &str, remedy: &str) -> Finding {
    let problem =
        format!("{problem}: the patch does not apply, and every request with a body is answered 503");
    Finding::error("patch_misses", at.clone(), &problem, remedy)
}

fn identity(resource: &Value) -> Option<(&str, &str)> {
    let metadata = resource.get("metadata")?;
    Some((text(metadata, "namespace")?, text(metadata, "name")?))
}
