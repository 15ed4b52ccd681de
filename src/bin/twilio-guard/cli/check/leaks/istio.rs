//! Istio: the mesh configuration and Telemetry.

use serde_json::Value;

use super::super::document::{field, is_true, list, text};
use super::super::finding::Location;
use super::data::Scene;
use super::facts::Facts;
use super::logs;
use super::report::{Report, Use};
use super::tracing;

/// Keys that only a mesh configuration has.
const MESH: &[&str] = &[
    "access_log_file",
    "access_log_format",
    "access_log_encoding",
    "extension_providers",
    "default_providers",
    "enable_tracing",
    "enable_envoy_access_log_service",
];

/// Whether a node is a mesh configuration (`meshConfig` of IstioOperator or Helm, `mesh` of the ConfigMap).
pub(super) fn is_mesh_config(node: &Value) -> bool {
    MESH.iter().any(|name| field(node, "", name).is_some())
}

/// The mesh configuration.
pub(super) fn mesh(node: &Value, at: &Location, facts: &Facts, report: &mut Report) {
    let scene = facts.scene();
    report.is_about_sinks = true;
    if let Some((format, path)) = field(node, &at.path, "access_log_format")
        && format.as_str() != Some("")
    {
        report.sink("access_log", at.at(path.clone()));
        report.formats(format, &at.at(path), &scene, Use::Log);
    } else if let Some((file, path)) = field(node, &at.path, "access_log_file")
        && file.as_str() != Some("")
    {
        report.sink("access_log", at.at(path.clone()));
        report.default_format(at.at(path), &scene);
    }
    if let Some((Value::Bool(true), path)) = field(node, &at.path, "enable_envoy_access_log_service") {
        report.sink("access_log", at.at(path.clone()));
        report.add(at.at(path), "the gRPC access log", logs::GRPC);
    }
    for (provider, path) in list(node, &at.path, "extension_providers") {
        self::provider(provider, &at.at(path), &scene, report);
    }
    let defaults =
        field(node, &at.path, "default_config").and_then(|(config, path)| field(config, &path, "tracing"));
    let providers =
        field(node, &at.path, "default_providers").and_then(|(all, path)| field(all, &path, "tracing"));
    let enabled = is_true(node, "enable_tracing").then(|| field(node, &at.path, "enable_tracing")).flatten();
    // The tags of the mesh, or of the Telemetry that stands beside it.
    if let Some((tracing, path)) = defaults.or(providers).or(enabled)
        && !facts.has_url_tag
    {
        tracing::inspect(&tracing::mapped_tags(tracing, &path), false, &at.at(path), &scene, report);
    }
    if let Some((names, path)) =
        field(node, &at.path, "default_providers").and_then(|(all, path)| field(all, &path, "access_logging"))
    {
        for (name, at) in super::facts::children(names, &at.at(path)) {
            if let Some(name) = name.as_str() {
                named(name, at, facts, report);
            }
        }
    }
}

/// An extension provider that logs.
fn provider(provider: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for (name, row) in [("envoy_http_als", logs::GRPC), ("envoy_tcp_als", logs::GRPC_TCP)] {
        if let Some((_, path)) = field(provider, &at.path, name) {
            report.sink("access_log", at.at(path.clone()));
            report.add(at.at(path), "the gRPC access log", row);
        }
    }
    for name in ["envoy_file_access_log", "envoy_otel_als"] {
        let Some((log, path)) = field(provider, &at.path, name) else { continue };
        report.sink("access_log", at.at(path.clone()));
        match field(log, &path, "log_format") {
            Some((format, path)) => report.formats(format, &at.at(path), scene, Use::Log),
            None => report.default_format(at.at(path), scene),
        }
    }
    if let Some((_, path)) = field(provider, &at.path, "stackdriver") {
        report.sink("access_log", at.at(path.clone()));
        report.add(at.at(path), "the provider", logs::NOT_KNOWN);
    }
}

/// Telemetry.
pub(super) fn telemetry(spec: &Value, at: &Location, facts: &Facts, report: &mut Report) {
    let scene = facts.scene();
    report.is_about_sinks = true;
    for (entry, path) in list(spec, &at.path, "access_logging") {
        if is_true(entry, "disabled") {
            continue;
        }
        let providers = list(entry, &path, "providers");
        if providers.is_empty() {
            named("envoy", at.at(path), facts, report);
        }
        for (provider, path) in providers {
            named(text(provider, "name").unwrap_or_default(), at.at(path), facts, report);
        }
    }
    for (entry, path) in list(spec, &at.path, "tracing") {
        if !is_true(entry, "disable_span_reporting") {
            tracing::inspect(&tracing::mapped_tags(entry, &path), false, &at.at(path), &scene, report);
        }
    }
}

/// A provider that is named here and defined in the mesh configuration.
fn named(name: &str, at: Location, facts: &Facts, report: &mut Report) {
    report.sink("access_log", at.clone());
    match name {
        // It writes by the format of the mesh, which is judged where it stands.
        "envoy" if facts.has_mesh_format => {}
        "envoy" => report.default_format(at, &facts.scene()),
        name if facts.providers.contains(name) => {}
        _ => report.findings.push(tracing::not_defined(at)),
    }
}
