//! What is collected on the way through a file.

use serde_json::Value;

use super::super::document::{element, member};
use super::super::finding::{Finding, Location, Severity};
use super::data::{self, Data, Row, Scene};
use super::format::{self, Operator};
use super::operators;

/// A place where data of requests leaves the proxy.
#[derive(Debug)]
pub(in super::super) struct Sink {
    pub(in super::super) kind: &'static str,
    pub(in super::super) location: Location,
}

/// Sinks and what they would print.
#[derive(Debug, Default)]
pub(in super::super) struct Report {
    pub(in super::super) sinks: Vec<Sink>,
    pub(in super::super) findings: Vec<Finding>,
    /// Whether something was seen that says what is logged, be it nothing.
    pub(super) is_about_sinks: bool,
    /// Headers that the user vouches for, in lower case.
    pub(super) allowed: Vec<String>,
}

/// Where the text that a format makes goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Into a log, a span or a metric.
    Log,
    /// To the client, and through every proxy on the way.
    Response,
    /// Upstream, or into some other place.
    Copy,
}

impl Report {
    pub(super) fn sink(&mut self, kind: &'static str, location: Location) {
        self.is_about_sinks = true;
        self.sinks.push(Sink { kind, location });
    }

    /// Adds a finding: `subject` is what prints, in front of the row's problem.
    pub(super) fn add(&mut self, location: Location, subject: &str, row: Row) {
        let problem = format!("{subject} {}", row.problem);
        let finding =
            Finding { severity: row.severity, ..Finding::error(row.code, location, &problem, row.remedy) };
        self.findings.push(finding);
    }

    /// What a log without a format of its own prints: the formats of Envoy, Istio and Envoy Gateway have the same
    /// operators for what the client sent.
    pub(super) fn default_format(&mut self, at: Location, scene: &Scene) {
        for data in [Data::OriginalPath, Data::UserAgent, Data::RequestId] {
            let row = data::row(data, scene).filter(|row| {
                // One warning about the cases in which the filter never ran is enough.
                data == Data::OriginalPath || row.severity == Severity::Error || !is_fallback(data, scene)
            });
            if let Some(row) = row {
                let subject = match data {
                    Data::UserAgent => "the default format with %REQ(USER-AGENT)%",
                    Data::RequestId => "the default format with %REQ(X-REQUEST-ID)%",
                    _ => "the default format with %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
                };
                self.add(at.clone(), subject, row);
            }
        }
    }

    /// All format strings in a tree: a text, or the values of a JSON format.
    pub(super) fn formats(&mut self, node: &Value, at: &Location, scene: &Scene, used: Use) {
        match node {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.formats(item, &at.at(element(&at.path, index)), scene, used);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    self.formats(value, &at.at(member(&at.path, key)), scene, used);
                }
            }
            Value::String(text) => self.format(text, at, scene, used),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A format string.
    pub(super) fn format(&mut self, text: &str, at: &Location, scene: &Scene, used: Use) {
        let format = format::parse(text);
        let mut seen = Vec::new();
        for operator in &format.operators {
            for data in operators::judge(operator, &self.allowed) {
                let subject = subject(operator, data);
                if seen.contains(&(subject.clone(), data)) {
                    continue;
                }
                seen.push((subject.clone(), data));
                if let Some(row) = row(data, scene, used) {
                    self.add(at.clone(), &subject, row);
                }
            }
        }
        if !format.is_valid && used == Use::Log && !scene.is_elsewhere {
            let problem = "the format has a percent sign that begins no operator, so Envoy refuses it";
            let finding =
                Finding::warning("format_invalid", at.clone(), problem, "write %% for a percent sign");
            self.findings.push(finding);
        }
    }
}

fn row(data: Data, scene: &Scene, used: Use) -> Option<Row> {
    match used {
        Use::Log => data::row(data, scene),
        Use::Response if data.is_raw() => Some(Row {
            severity: Severity::Error,
            code: "raw_response",
            problem: "repeats raw data in the answer, for the client and every proxy on the way",
            remedy: "remove the operator, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
        }),
        Use::Copy if data.is_raw() => Some(Row {
            severity: Severity::Warning,
            code: "raw_copy",
            problem: "copies raw data to a place that the filter does not redact",
            remedy: "make sure that nothing logs the copy, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
        }),
        Use::Response | Use::Copy => None,
    }
}

/// Whether the row speaks of nothing but requests that the filter never sees.
fn is_fallback(data: Data, scene: &Scene) -> bool {
    let raw = if data == Data::RequestId { scene.raw_request_id } else { scene.raw_headers };
    raw == data::RawHeaders::Unhandled
}

/// An operator as it is named in a finding. Arguments of others than these may hold anything.
fn subject(operator: &Operator, data: Data) -> String {
    let name = &operator.name;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '?' | ':' | '.');
    let shows = operator.arguments.len() <= 80 && operator.arguments.chars().all(is_plain);
    match (operator.arguments.is_empty(), data) {
        (true, _) => format!("%{name}%"),
        (_, Data::Expression | Data::Secret | Data::UnknownOperator) => format!("%{name}(..)%"),
        _ if shows => format!("%{name}({})%", operator.arguments),
        _ => format!("%{name}(..)%"),
    }
}
