//! Access loggers.

use serde_json::Value;

use super::super::document::{element, field, member, text};
use super::super::finding::{Finding, Location, Severity};
use super::data::{Row, Scene};
use super::report::{Report, Use};
use super::types;

/// Loggers that write lines by a format, or by Envoy's own.
const LINES: &[&str] = &[
    "access_loggers.file.v3.FileAccessLog",
    "access_loggers.stream.v3.StdoutAccessLog",
    "access_loggers.stream.v3.StderrAccessLog",
];

/// Loggers that send what their formats say and nothing else of the request.
const FORMATTED: &[&str] = &[
    "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
    "access_loggers.fluentd.v3.FluentdAccessLogConfig",
    "access_loggers.stats.v3.Config",
];

/// What a gRPC access log service gets.
pub(super) const GRPC: Row = Row {
    severity: Severity::Error,
    code: "grpc_access_log",
    problem: "sends the path and query, and the headers that it is told to, as they were sent; no filter can change that",
    remedy: "use an OpenTelemetry or file logger with %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
};

/// What it gets of a TCP connection.
pub(super) const GRPC_TCP: Row = Row {
    severity: Severity::Warning,
    code: "sink_not_known",
    problem: "sends no path, but what other filters noted (dynamic metadata), which is not known",
    remedy: "make sure that it is nothing of the request",
};

pub(super) const NOT_KNOWN: Row = Row {
    severity: Severity::Warning,
    code: "sink_not_known",
    problem: "prints what its own code says, which is not known",
    remedy: "make sure that it prints no path, query or header as it was sent",
};

/// A list of access loggers, or one.
pub(super) fn inspect_all(value: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                inspect(item, &at.at(element(&at.path, index)), scene, report);
            }
        }
        Value::Object(_) => inspect(value, at, scene, report),
        _ => {}
    }
}

fn inspect(logger: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    report.sink("access_log", at.clone());
    if scene.is_elsewhere {
        return;
    }
    let Some(typed) = types::typed(logger, &at.path) else {
        return report.add(at.clone(), "the access logger", NOT_KNOWN);
    };
    let at = at.at(typed.path);
    if LINES.contains(&typed.name) {
        lines(typed.value, &at, scene, report);
    } else if FORMATTED.contains(&typed.name) {
        report.formats(typed.value, &at, scene, Use::Log);
    } else if typed.name == "access_loggers.grpc.v3.HttpGrpcAccessLogConfig" {
        report.add(at, "the gRPC access log", GRPC);
    } else if typed.name == "access_loggers.grpc.v3.TcpGrpcAccessLogConfig" {
        report.add(at, "the gRPC access log", GRPC_TCP);
    } else {
        report.add(at, "the access logger", NOT_KNOWN);
    }
}

/// A logger of lines: `log_format`, or the older fields beside it.
fn lines(config: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for name in ["json_format", "typed_json_format"] {
        if let Some((format, path)) = field(config, &at.path, name) {
            return report.formats(format, &at.at(path), scene, Use::Log);
        }
    }
    if let Some(format) = text(config, "format").filter(|format| !format.is_empty()) {
        return report.format(format, &at.at(member(&at.path, "format")), scene, Use::Log);
    }
    match field(config, &at.path, "log_format") {
        Some((format, path)) => substitution(format, &at.at(path), scene, Use::Log, report),
        None => report.default_format(at.clone(), scene),
    }
}

/// A `SubstitutionFormatString`.
pub(super) fn substitution(format: &Value, at: &Location, scene: &Scene, used: Use, report: &mut Report) {
    for name in ["text_format", "json_format"] {
        if let Some((format, path)) = field(format, &at.path, name) {
            report.formats(format, &at.at(path), scene, used);
        }
    }
    let Some((source, path)) = field(format, &at.path, "text_format_source") else { return };
    match field(source, &path, "inline_string") {
        Some((format, path)) => report.formats(format, &at.at(path), scene, used),
        None => report.findings.push(Finding::warning(
            "sink_not_known",
            at.at(path),
            "the format stands outside of this file",
            "write it as inline_string, so that it can be checked",
        )),
    }
}
