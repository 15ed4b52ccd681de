//! Envoy Gateway: the EnvoyProxy resource.

use serde_json::Value;

use super::super::document::{field, is_true, list, member, text};
use super::super::finding::Location;
use super::facts::Facts;
use super::logs;
use super::report::{Report, Use};
use super::tracing;

/// EnvoyProxy. Without settings it logs to standard output in a default format of its own.
pub(super) fn proxy(spec: &Value, at: &Location, facts: &Facts, report: &mut Report) {
    let scene = facts.scene();
    report.is_about_sinks = true;
    let nothing = (&Value::Null, member(&at.path, "telemetry"));
    let (telemetry, path) = field(spec, &at.path, "telemetry").unwrap_or(nothing);
    let (log, log_path) =
        field(telemetry, &path, "access_log").unwrap_or((&Value::Null, member(&path, "accessLog")));
    let settings = list(log, &log_path, "settings");
    if settings.is_empty() && !is_true(log, "disable") {
        report.sink("access_log", at.at(log_path.clone()));
        report.default_format(at.at(log_path.clone()), &scene);
    }
    for (setting, path) in settings.into_iter().filter(|_| !is_true(log, "disable")) {
        let sinks = list(setting, &path, "sinks");
        let is_als = |sink: &Value| text(sink, "type") == Some("ALS");
        for (sink, path) in sinks.iter().filter(|(sink, _)| is_als(sink)) {
            report.sink("access_log", at.at(path.clone()));
            let kind = field(sink, "", "als").and_then(|(als, _)| text(als, "type"));
            let row = if kind == Some("TCP") { logs::GRPC_TCP } else { logs::GRPC };
            report.add(at.at(path.clone()), "the gRPC access log", row);
        }
        // The format is that of the other sinks; ALS takes none.
        if sinks.is_empty() || sinks.iter().any(|(sink, _)| !is_als(sink)) {
            report.sink("access_log", at.at(path.clone()));
            match field(setting, &path, "format") {
                Some((format, path)) => report.formats(format, &at.at(path), &scene, Use::Log),
                None => report.default_format(at.at(path), &scene),
            }
        }
    }
    if let Some((tracing, path)) = field(telemetry, &path, "tracing") {
        tracing::inspect(&tracing::mapped_tags(tracing, &path), false, &at.at(path), &scene, report);
    }
}
