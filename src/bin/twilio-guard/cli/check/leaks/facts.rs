//! What the files say together: in a mesh, routes, telemetry, providers and the filter stand in different resources.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::document::{element, field, is_true, list, member, text};
use super::super::finding::Location;
use super::data::{RawHeaders, Scene};
use super::routes::{self, Routes};
use super::{istio, scene, tracing, types};

/// Facts of all files.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Route configurations outside of a connection manager.
    pub(super) routes: Routes,
    /// Names of the access log and tracing providers of meshes.
    pub(super) providers: BTreeSet<String>,
    /// A mesh has an access log format of its own.
    pub(super) has_mesh_format: bool,
    /// A Telemetry replaces the span tag of the URL.
    pub(super) has_url_tag: bool,
    /// Which requests keep their own headers, by the configurations in the files; `None` without any.
    pub(super) raw_headers: Option<RawHeaders>,
    is_gateway: bool,
    has_envoy_headers: bool,
    suppresses_by_patch: bool,
    has_rewrites: bool,
}

impl Facts {
    /// Adds the facts of a document.
    pub(super) fn collect(&mut self, node: &Value) {
        self.routes.collect(node, "");
        self.visit(node);
    }

    fn visit(&mut self, node: &Value) {
        match node {
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Value::Object(members) => {
                if let (Some(kind), Some(spec)) = (text(node, "kind"), node.get("spec")) {
                    self.resource(kind, spec);
                }
                let version = text(node, "api_version").unwrap_or_default();
                self.is_gateway |= version.starts_with("gateway.envoyproxy.io/");
                if istio::is_mesh_config(node) {
                    self.has_mesh_format |=
                        text(node, "access_log_format").is_some_and(|text| !text.is_empty());
                    let providers = list(node, "", "extension_providers").into_iter();
                    self.providers
                        .extend(providers.filter_map(|(one, _)| text(one, "name").map(str::to_owned)));
                }
                members.values().for_each(|value| self.visit(value));
            }
            Value::String(text) => super::embedded(text).iter().for_each(|root| self.visit(root)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn resource(&mut self, kind: &str, spec: &Value) {
        match kind {
            "EnvoyFilter" => {
                let suppresses = |(patch, _): (&Value, String)| {
                    let value = patch.get("patch").and_then(|patch| patch.get("value"));
                    value.is_some_and(|value| {
                        types::is_router(value)
                            && types::typed(value, "")
                                .is_some_and(|typed| is_true(typed.value, "suppress_envoy_headers"))
                    })
                };
                self.suppresses_by_patch |= list(spec, "", "config_patches").into_iter().any(suppresses);
            }
            "ClientTrafficPolicy" => {
                self.has_envoy_headers |= field(spec, "", "headers")
                    .is_some_and(|(headers, _)| is_true(headers, "enable_envoy_headers"));
            }
            "Telemetry" => {
                let entries = list(spec, "", "tracing").into_iter();
                self.has_url_tag |= entries
                    .into_iter()
                    .any(|(entry, _)| tracing::covers_url(&tracing::mapped_tags(entry, "")));
            }
            _ => {}
        }
        self.has_rewrites |= !mesh_rewrites(kind, spec, "").is_empty();
    }

    /// Adds what a configuration of the filter does with headers.
    pub(super) fn configuration(&mut self, config: Option<&Value>) {
        self.raw_headers = self.raw_headers.max(Some(scene::of_configuration(config)));
    }

    /// Whether the routers of a mesh leave the redacted header alone. Envoy Gateway's do by default, Istio's only by an
    /// EnvoyFilter.
    pub(super) fn mesh_suppresses(&self) -> bool {
        self.suppresses_by_patch || (self.is_gateway && !self.has_envoy_headers)
    }

    /// The scene of a sink that is no part of a connection manager.
    pub(super) fn scene(&self) -> Scene {
        let rewritten = self.has_rewrites && !self.mesh_suppresses();
        scene::unknown(rewritten, self.raw_headers.unwrap_or(RawHeaders::Unverified))
    }
}

/// Routes of a mesh that rewrite the path, as paths: of Istio, of the Gateway API, or a patch of Envoy's.
pub(super) fn mesh_rewrites(kind: &str, spec: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    match kind {
        "VirtualService" => {
            for (route, path) in list(spec, path, "http") {
                if let Some((rewrite, path)) = field(route, &path, "rewrite")
                    && ["uri", "uri_regex_rewrite"].iter().any(|name| field(rewrite, "", name).is_some())
                {
                    found.push(path);
                }
            }
        }
        "HTTPRoute" => {
            for (rule, path) in list(spec, path, "rules") {
                for (filter, path) in list(rule, &path, "filters") {
                    let rewrites = field(filter, "", "url_rewrite")
                        .is_some_and(|(rewrite, _)| rewrite.get("path").is_some())
                        || filter
                            .pointer("/requestRedirect/path/type")
                            .is_some_and(|kind| kind == "ReplacePrefixMatch");
                    if rewrites {
                        found.push(path);
                    }
                }
            }
        }
        "EnvoyFilter" => found = routes::rewriting(spec, path),
        _ => {}
    }
    found
}

/// The members of a node with their paths.
pub(super) fn children<'v>(node: &'v Value, at: &Location) -> Vec<(&'v Value, Location)> {
    match node {
        Value::Array(items) => {
            let item = |(index, item)| (item, at.at(element(&at.path, index)));
            items.iter().enumerate().map(item).collect()
        }
        Value::Object(members) => {
            members.iter().map(|(key, value)| (value, at.at(member(&at.path, key)))).collect()
        }
        _ => Vec::new(),
    }
}
