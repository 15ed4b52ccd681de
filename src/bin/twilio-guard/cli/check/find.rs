//! Finds every place in a file where the filter is configured, at any depth, and what the surroundings do to it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::chain;
use super::document::{self, Documents, bytes, element, field, is_true, list, member, text};
use super::finding::{Finding, Location};
use super::generated::{Generated, Patch};
use super::place::{self, Buffer, Configured, HeaderHold, Place, is_our_config, is_our_name};
use super::store_path;

/// The type of Envoy's HTTP filter for Wasm, without its prefix.
const WASM_FILTER: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// What policies of Envoy Gateway do to listeners, whichever file they stand in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway {
    /// The largest body that a listener may hold.
    pub(super) buffer: Option<u64>,
    /// A patch sets `allow_on_headers_stop_iteration`.
    pub(super) holds_headers: bool,
}

impl Gateway {
    /// What both say.
    pub(super) fn and(self, other: Self) -> Self {
        let holds_headers = self.holds_headers || other.holds_headers;
        Self { buffer: self.buffer.max(other.buffer), holds_headers }
    }
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) places: Vec<Place>,
    pub(super) findings: Vec<Finding>,
    /// What Envoy Gateway policies say about listeners.
    pub(super) gateway: Gateway,
    /// What Envoy Gateway generates from the resources.
    pub(super) generated: Generated,
    /// The patches that give its filter the flag.
    pub(super) patches: Vec<Patch>,
    /// The names of our filters in filter chains.
    names: BTreeSet<String>,
    /// Filters that a route or virtual host turns off: name and place.
    disabled: Vec<(String, Location)>,
}

impl Search {
    /// Searches all documents of a file; `text` is the file itself.
    pub(super) fn documents(text: &str, documents: &Documents) -> Self {
        let mut search = Self::default();
        let (documents, is_json) = match documents {
            Documents::Json(root) => (std::slice::from_ref(root), true),
            Documents::Yaml(roots) => (roots.as_slice(), false),
        };
        for (index, root) in documents.iter().enumerate() {
            let document = (documents.len() > 1).then(|| index.saturating_add(1));
            let at = Location { document, path: String::new() };
            if is_our_config(root) && root.get("kind").is_none() {
                // JSON is parsed as it stands: the parser of the filter sees what a tree no longer shows.
                let config = if is_json {
                    Configured::Text(text.as_bytes().to_vec())
                } else {
                    Configured::Object(root.clone())
                };
                search.places.push(Place {
                    kind: "configuration",
                    location: at,
                    config,
                    environment: None,
                    fails_open: None,
                    header_hold: HeaderHold::Available,
                    buffer: Buffer::Unknown,
                    slowest: None,
                });
            } else {
                search.node(root, &at, &Buffer::Unknown);
            }
        }
        search.report_disabled_routes();
        search
    }

    fn node(&mut self, node: &Value, at: &Location, buffer: &Buffer) {
        match node {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(item, &at.at(element(&at.path, index)), buffer);
                }
            }
            Value::Object(members) => {
                let own_buffer = field(node, "", "filter_chains").map(|_| place::listener_buffer(node, at));
                let mut buffer = own_buffer.as_ref().unwrap_or(buffer).clone();
                if self.resource(node, at) || self.filter(node, at, &buffer) {
                    return;
                }
                if field(node, "", "http_filters").is_some() {
                    self.findings.extend(chain::inspect(node, at));
                    if let Some(raised) = chain::raised_buffer(node)
                        && let Buffer::Listener(_, place) = &buffer
                    {
                        buffer = Buffer::Listener(Some(raised), place.clone());
                    }
                }
                if let Some((Value::Object(filters), path)) = field(node, &at.path, "typed_per_filter_config")
                {
                    for (name, _) in filters.iter().filter(|(_, config)| is_true(config, "disabled")) {
                        self.disabled.push((name.clone(), at.at(member(&path, name))));
                    }
                }
                let known = self.places.len();
                for (key, value) in members {
                    self.node(value, &at.at(member(&at.path, key)), &buffer);
                }
                let own = self.places.iter().skip(known);
                self.findings.extend(own.flat_map(|place| store_path::inspect(node, at, place)));
                if let Some(slowest) = chain::slowest_route(node, at) {
                    let own = self.places.iter_mut().skip(known);
                    own.for_each(|place| place.slowest = Some(slowest.clone()));
                }
            }
            // A ConfigMap, a patch: Envoy's YAML inside a text.
            Value::String(text) if text.contains(WASM_FILTER) && text.contains('\n') => {
                match document::parse(text) {
                    Ok(Documents::Json(root)) => self.node(&root, at, buffer),
                    Ok(Documents::Yaml(roots)) => roots.iter().for_each(|root| self.node(root, at, buffer)),
                    Err(_) => {}
                }
            }
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A Kubernetes resource. `true` if nothing else is to be looked for in it.
    fn resource(&mut self, node: &Value, at: &Location) -> bool {
        let (Some(kind), Some((spec, path))) = (text(node, "kind"), field(node, &at.path, "spec")) else {
            return false;
        };
        let name = node.get("metadata").and_then(|metadata| text(metadata, "name"));
        match kind {
            "WasmPlugin" => self.places.extend(place::istio("wasm_plugin", name, spec, &at.at(path))),
            "TrafficExtension" => {
                if let Some((wasm, path)) = field(spec, &path, "wasm") {
                    self.places.extend(place::istio("traffic_extension", name, wasm, &at.at(path)));
                }
            }
            "EnvoyExtensionPolicy" => {
                for (position, (entry, path)) in list(spec, &path, "wasm").into_iter().enumerate() {
                    if let Some(place) = place::gateway(name, entry, &at.at(path)) {
                        self.places.push(place);
                        self.generated.filter(node, position);
                    }
                }
            }
            "ClientTrafficPolicy" => self.raise_gateway_buffer(spec.pointer("/connection/bufferLimit")),
            "BackendTrafficPolicy" => self.raise_gateway_buffer(spec.pointer("/requestBuffer/limit")),
            "EnvoyPatchPolicy" => {
                let patches = list(spec, &path, "json_patches").into_iter();
                let patches = patches.filter(|(patch, _)| sets_hold_flag(patch));
                self.patches.extend(patches.map(|(patch, path)| Patch::new(patch, at, &path)));
                self.gateway.holds_headers |= !self.patches.is_empty();
                return false;
            }
            "Gateway" => {
                self.generated.gateway(node, spec);
                return false;
            }
            "EnvoyFilter" => {
                self.findings.extend(chain::inspect_patches(spec, &at.at(path)));
                return false;
            }
            _ => return false,
        }
        true
    }

    fn raise_gateway_buffer(&mut self, limit: Option<&Value>) {
        self.gateway.buffer = self.gateway.buffer.max(limit.and_then(bytes));
    }

    /// An HTTP filter of a chain. `true` if it is a Wasm filter.
    fn filter(&mut self, node: &Value, at: &Location, buffer: &Buffer) -> bool {
        let Some((plugin, path)) = wasm_plugin(node, &at.path) else { return false };
        let name = text(node, "name");
        if let Some(place) = place::envoy(name, plugin, &at.at(path), buffer.clone()) {
            self.names.extend(name.map(str::to_owned));
            self.places.push(place);
            if is_true(node, "disabled") {
                self.findings.push(Finding::warning(
                    "filter_disabled",
                    at.at(member(&at.path, "disabled")),
                    "the filter is off except where a route turns it on",
                    "remove disabled, and let routes of the configuration say what needs no signature",
                ));
            }
        }
        true
    }

    fn report_disabled_routes(&mut self) {
        for (name, location) in std::mem::take(&mut self.disabled) {
            if self.names.contains(&name) || is_our_name(&name) {
                self.findings.push(Finding::warning(
                    "filter_disabled",
                    location,
                    "the filter is off here: nothing is verified or redacted",
                    "remove it, and say verify: none for the path in the configuration",
                ));
            }
        }
    }
}

/// Whether a JSON patch gives a filter the flag by which the host holds headers.
fn sets_hold_flag(patch: &Value) -> bool {
    let operation = patch.get("operation").unwrap_or(&Value::Null);
    let adds = matches!(text(operation, "op"), Some("add" | "replace"));
    let path = text(operation, "path").unwrap_or_default();
    adds && is_true(operation, "value") && path.ends_with("allow_on_headers_stop_iteration")
}

/// The plugin configuration of a Wasm filter, plain or as a TypedStruct; with its path.
pub(super) fn wasm_plugin<'v>(filter: &'v Value, path: &str) -> Option<(&'v Value, String)> {
    let (typed, path) = field(filter, path, "typed_config")?;
    let is_wasm = |kind: Option<&str>| kind.is_some_and(|kind| kind.ends_with(WASM_FILTER));
    if is_wasm(text(typed, "@type")) {
        return field(typed, &path, "config");
    }
    if is_wasm(text(typed, "type_url")) {
        let (value, path) = field(typed, &path, "value")?;
        return field(value, &path, "config");
    }
    None
}

/// Whether an entry of a filter chain is this filter.
pub(super) fn is_our_filter(filter: &Value) -> bool {
    match wasm_plugin(filter, "") {
        Some(_) => our_config(filter).is_some(),
        // Discovered by ECDS: only the name is known.
        None => text(filter, "name").is_some_and(is_our_name),
    }
}

/// The configuration in an entry of a filter chain, if that is this filter.
pub(super) fn our_config(filter: &Value) -> Option<Configured> {
    let at = Location { document: None, path: String::new() };
    let (plugin, _) = wasm_plugin(filter, "")?;
    place::envoy(text(filter, "name"), plugin, &at, Buffer::Unknown).map(|place| place.config)
}
