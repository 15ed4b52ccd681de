//! `check`: every configuration of the filter in a file, with all that would keep it from protecting.

mod chain;
mod document;
mod find;
mod finding;
mod place;
mod rules;
mod secrets;

use std::path::Path;

use serde_json::{Value, json};
use twilio_guard::config::Environment;
use twilio_guard::native::NativeEnvironment;

use super::args::CheckArgs;
use super::input;
use super::outcome::{Failure, Outcome};
use find::Search;
use finding::{Finding, Location, Severity};

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let real = NativeEnvironment(|name: &str| std::env::var(name).ok());
    let environment: Option<&dyn Environment> = if args.env { Some(&real) } else { None };
    let mut lines = Vec::new();
    let mut files = Vec::new();
    let mut ok = true;
    for path in &args.files {
        let search = search(path)?;
        let findings = examine(&search, environment);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        ok &= errors == 0 && (warnings == 0 || !args.deny_warnings);
        let name = path.display().to_string();
        lines.extend(findings.iter().map(|finding| format!("{name}: {finding}")));
        lines.extend(search.places.iter().map(|place| {
            let location = place.location.to_string();
            let location = if location.is_empty() { String::new() } else { format!(" at {location}") };
            format!("{name}: configuration ({}){location}", place.kind)
        }));
        lines.push(format!(
            "{name}: {}, {}, {}",
            counted(search.places.len(), "configuration"),
            counted(errors, "error"),
            counted(warnings, "warning")
        ));
        files.push(to_json(&name, &search, &findings));
    }
    Ok(Outcome { ok, text: lines.join("\n"), note: None, json: json!({"files": files}) })
}

/// Every configuration in a file, each with its place (as `check` prints it) and the bytes that the filter would get.
pub(crate) fn configurations(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let places = search(path)?.places.into_iter();
    Ok(places
        .filter_map(|place| place.config.bytes().map(|bytes| (place.location.to_string(), bytes)))
        .collect())
}

fn search(path: &Path) -> Result<Search, Failure> {
    let text = input::read_text(path)?;
    let documents = document::parse(&text).map_err(|problem| {
        Failure::new(
            format!("{}: {problem}", path.display()),
            "give plain YAML or JSON (render templates first, with helm template or kustomize build)",
        )
    })?;
    Ok(Search::documents(&text, &documents))
}

fn examine(search: &Search, environment: Option<&dyn Environment>) -> Vec<Finding> {
    if search.places.is_empty() {
        let nowhere = Location { document: None, path: String::new() };
        return vec![Finding::error(
            "filter_not_found",
            nowhere,
            "the filter is configured nowhere in this file",
            "check another file; a plugin is known by its configuration, or by twilio-guard in its name, root id or module",
        )];
    }
    let of_places =
        search.places.iter().flat_map(|place| rules::examine(place, environment, search.gateway_buffer));
    of_places.chain(search.findings.iter().cloned()).collect()
}

fn counted(count: usize, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

fn to_json(name: &str, search: &Search, findings: &[Finding]) -> Value {
    let places: Vec<Value> = search
        .places
        .iter()
        .map(|place| {
            let Location { document, path } = &place.location;
            json!({"kind": place.kind, "document": document, "path": path})
        })
        .collect();
    let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
    json!({"file": name, "configurations": places, "findings": findings})
}
