//! `check --leaks`: every sink of a configuration that would still print data of requests as they were sent.
//!
//! What is judged, and how, was measured on Envoy 1.36 to 1.40. What cannot be judged is named, not passed over.

mod copies;
mod data;
mod debug;
mod facts;
mod format;
mod gateway;
mod headers;
mod istio;
mod logs;
mod operators;
mod report;
mod routes;
mod scene;
mod tracing;
mod types;
mod walk;

use serde_json::Value;

use super::document::{self, Documents};
use super::find::{Gateway, Search};
use super::finding::{Finding, Location, Severity};
use super::rules;
use facts::Facts;
pub(super) use report::Report;

/// Findings of a check without `--leaks` that leave data unredacted. Here each of them is an error.
const SHARED: &[&str] =
    &["fail_open", "inline_secret", "upgrade_filters", "filter_disabled", "filter_not_first"];

/// Keys by which a text shows that it is YAML of a proxy or a mesh, as in a ConfigMap.
const EMBEDDED: &[&str] = &[
    "access_log",
    "accessLog",
    "http_filters",
    "httpFilters",
    "extensionProviders",
    "enableTracing",
    "tracing",
    "virtual_hosts",
];

/// A file that is being checked.
pub(super) struct File<'f> {
    pub(super) documents: &'f Documents,
    pub(super) search: &'f Search,
}

/// Examines files together: in a mesh, routes, telemetry and the filter stand in different ones.
pub(super) fn examine(files: &[File<'_>], allowed: &[String]) -> Vec<Report> {
    let mut facts = Facts::default();
    for file in files {
        roots(file.documents).iter().for_each(|root| facts.collect(root));
        file.search.places.iter().for_each(|place| facts.configuration(place.config.tree().as_ref()));
    }
    files.iter().map(|file| one(file, &facts, allowed)).collect()
}

fn one(file: &File<'_>, facts: &Facts, allowed: &[String]) -> Report {
    let allowed = allowed.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut walk = walk::Walk { facts, report: Report { allowed, ..Report::default() } };
    let roots = roots(file.documents);
    for (index, root) in roots.iter().enumerate() {
        let document = (roots.len() > 1).then(|| index.saturating_add(1));
        walk.document(root, &Location { document, path: String::new() });
    }
    let mut report = walk.report;
    let of_places =
        file.search.places.iter().flat_map(|place| rules::examine(place, None, Gateway::default()));
    let shared = of_places.chain(file.search.findings.iter().cloned());
    let shared = shared.filter(|finding| SHARED.contains(&finding.code));
    report.findings.extend(shared.map(|finding| Finding { severity: Severity::Error, ..finding }));
    if !report.is_about_sinks {
        report.findings.push(no_sinks(file.search.places.is_empty()));
    }
    report
}

fn no_sinks(knows_nothing: bool) -> Finding {
    let nowhere = Location { document: None, path: String::new() };
    let remedy = "check the file that configures logs and traces (Envoy's bootstrap, the mesh configuration, Telemetry, EnvoyProxy)";
    match knows_nothing {
        true => {
            Finding::error("sinks_not_found", nowhere, "this file configures no log and no trace", remedy)
        }
        false => Finding::warning(
            "sinks_not_found",
            nowhere,
            "this file configures the filter, but no log and no trace",
            remedy,
        ),
    }
}

fn roots(documents: &Documents) -> &[Value] {
    match documents {
        Documents::Json(root) => std::slice::from_ref(root),
        Documents::Yaml(roots) => roots,
    }
}

/// The documents of a text that is YAML itself; none if it is not.
fn embedded(text: &str) -> Vec<Value> {
    if !text.contains('\n') || !EMBEDDED.iter().any(|key| text.contains(key)) {
        return Vec::new();
    }
    let roots = match document::parse(text) {
        Ok(Documents::Json(root)) => vec![root],
        Ok(Documents::Yaml(roots)) => roots,
        Err(_) => Vec::new(),
    };
    roots.into_iter().filter(Value::is_object).collect()
}
