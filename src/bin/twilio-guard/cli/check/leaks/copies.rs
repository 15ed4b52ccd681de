//! Header mutations: copies of raw data, and mutations of the very headers that the filter has redacted.

use serde_json::Value;

use super::super::document::{field, list, member, text};
use super::super::finding::{Finding, Location};
use super::data::{Data, Scene};
use super::facts::children;
use super::headers;
use super::report::{Report, Use};
use super::{format, operators};

/// `request_headers_to_add`: each entry names a header and a format.
pub(super) fn request(value: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for (entry, at) in children(value, at) {
        request_entry(entry, &at, scene, report);
    }
}

fn request_entry(entry: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    let (header, path) = field(entry, &at.path, "header").unwrap_or((entry, at.path.clone()));
    let name = text(header, "key").unwrap_or_default();
    if let Some((Value::String(value), path)) = field(header, &path, "value") {
        request_header(name, value, &at.at(path), scene, report);
    }
}

/// `headers.request.set` and `.add` of a VirtualService: a map of headers to formats.
pub(super) fn request_map(value: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        let at = at.at(member(&at.path, name));
        if let Some(value) = value.as_str() {
            request_header(name, value, &at, scene, report);
        }
    }
}

fn request_header(name: &str, value: &str, at: &Location, scene: &Scene, report: &mut Report) {
    let operators = format::parse(value).operators;
    let is_raw = operators.iter().flat_map(|one| operators::judge(one, &report.allowed)).any(Data::is_raw);
    let printed = !matches!(
        headers::request(&name.to_ascii_lowercase()),
        Data::UnlistedHeader | Data::UrlHeader | Data::Override | Data::Credential | Data::Signature
    );
    if is_raw && printed && !scene.is_elsewhere {
        report.findings.push(Finding::error(
            "redaction_undone",
            at.clone(),
            "raw data is written into a header that logs print, after the filter has redacted it",
            "remove it, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
        ));
    } else {
        report.format(value, at, scene, Use::Copy);
    }
}

/// Headers that are removed before the request goes upstream: without the redacted path, logs fall back to the raw one.
pub(super) fn removed(value: &Value, at: &Location, report: &mut Report) {
    for (name, at) in children(value, at) {
        removed_header(name, at, report);
    }
}

fn removed_header(name: &Value, at: Location, report: &mut Report) {
    if name.as_str().is_some_and(|name| name.eq_ignore_ascii_case("x-envoy-original-path")) {
        report.findings.push(Finding::error(
            "redaction_undone",
            at,
            "the header with the redacted path is removed, and logs that print it fall back to the raw path",
            "keep it, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)% in every log",
        ));
    }
}

/// The mutations of the filter `header_mutation`.
pub(super) fn mutations(value: &Value, at: &Location, scene: &Scene, report: &mut Report) {
    for (mutation, path) in list(value, &at.path, "request_mutations") {
        if let Some((append, path)) = field(mutation, &path, "append") {
            request_entry(append, &at.at(path), scene, report);
        }
        if let Some((name, path)) = field(mutation, &path, "remove") {
            removed_header(name, at.at(path), report);
        }
    }
    for (mutation, path) in list(value, &at.path, "response_mutations") {
        report.formats(mutation, &at.at(path), scene, Use::Response);
    }
}
