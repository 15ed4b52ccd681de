//! `check`: every configuration of the filter in a file, with all that would keep it from protecting; and with `--leaks`
//! every sink that would still print raw data.

mod chain;
mod document;
mod find;
mod finding;
mod generated;
mod leaks;
mod place;
mod redis_cluster;
mod rules;
mod secrets;
mod store_path;

use std::path::Path;

use serde_json::{Value, json};
use twilio_guard::config::Environment;
use twilio_guard::native::NativeEnvironment;

use super::args::CheckArgs;
use super::input;
use super::outcome::{Failure, Outcome};
use document::Documents;
use find::{Gateway, Search};
use finding::{Finding, Location, Severity};
use generated::Generated;
pub(crate) use secrets::Placeholders;

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let answers = if args.leaks { leaking(args)? } else { configured(args)? };
    let mut lines = Vec::new();
    let mut files = Vec::new();
    let mut ok = true;
    for (path, answer) in args.files.iter().zip(answers) {
        let count = |severity| answer.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        ok &= errors == 0 && (warnings == 0 || !args.deny_warnings);
        let name = path.display().to_string();
        lines.extend(answer.findings.iter().map(|finding| format!("{name}: {finding}")));
        lines.extend(answer.seen.iter().map(|(kind, location)| {
            let location = location.to_string();
            let location = if location.is_empty() { String::new() } else { format!(" at {location}") };
            format!("{name}: {} ({kind}){location}", answer.name)
        }));
        lines.push(format!(
            "{name}: {}, {}, {}",
            counted(answer.seen.len(), answer.name),
            counted(errors, "error"),
            counted(warnings, "warning")
        ));
        files.push(answer.to_json(&name));
    }
    Ok(Outcome { ok, text: lines.join("\n"), note: None, json: json!({"files": files}) })
}

/// What is said of one file.
struct Answer {
    /// What was looked for.
    name: &'static str,
    /// What was found of it: kind and place.
    seen: Vec<(&'static str, Location)>,
    findings: Vec<Finding>,
}

impl Answer {
    fn to_json(&self, file: &str) -> Value {
        let seen = |(kind, location): &(&str, Location)| {
            let Location { document, path } = location;
            json!({"kind": kind, "document": document, "path": path})
        };
        let seen: Vec<Value> = self.seen.iter().map(seen).collect();
        let findings: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
        let mut json = json!({"file": file, "findings": findings});
        if let Some(object) = json.as_object_mut() {
            object.insert(format!("{}s", self.name), seen.into());
        }
        json
    }
}

/// The configurations of the filter in each file.
fn configured(args: &CheckArgs) -> Result<Vec<Answer>, Failure> {
    let real = NativeEnvironment(|name: &str| std::env::var(name).ok());
    let environment: Option<&dyn Environment> = if args.env { Some(&real) } else { None };
    let searches = args.files.iter().map(|path| Ok(search(path)?.1)).collect::<Result<Vec<_>, _>>()?;
    // A policy and the filter often stand in different files.
    let gateway = searches.iter().fold(Gateway::default(), |all, search| all.and(search.gateway));
    let generated = searches.iter().fold(Generated::default(), |all, search| all.and(&search.generated));
    let is_anywhere = searches.iter().any(|search| !search.places.is_empty());
    let answer = |search: Search| {
        let is_about_it = is_anywhere && search.gateway != Gateway::default();
        let findings = match search.places.is_empty() && !is_about_it {
            true => vec![not_found()],
            false => examine(&search, environment, gateway, &generated),
        };
        let seen = search.places.into_iter().map(|place| (place.kind, place.location)).collect();
        Answer { name: "configuration", seen, findings }
    };
    Ok(searches.into_iter().map(answer).collect())
}

/// The sinks in each file.
fn leaking(args: &CheckArgs) -> Result<Vec<Answer>, Failure> {
    let searched: Vec<_> = args.files.iter().map(|path| search(path)).collect::<Result<_, _>>()?;
    let file = |(documents, search)| leaks::File { documents, search };
    let files: Vec<_> = searched.iter().map(|(documents, search)| file((documents, search))).collect();
    let answer = |report: leaks::Report| Answer {
        name: "sink",
        seen: report.sinks.into_iter().map(|sink| (sink.kind, sink.location)).collect(),
        findings: report.findings,
    };
    Ok(leaks::examine(&files, &args.allowed_headers).into_iter().map(answer).collect())
}

/// Every configuration in a file, each with its place (as `check` prints it) and the bytes that the filter would get.
pub(crate) fn configurations(path: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let places = search(path)?.1.places.into_iter();
    Ok(places
        .filter_map(|place| place.config.bytes().map(|bytes| (place.location.to_string(), bytes)))
        .collect())
}

fn search(path: &Path) -> Result<(Documents, Search), Failure> {
    let text = input::read_text(path)?;
    let documents = document::parse(&text).map_err(|problem| {
        Failure::new(
            format!("{}: {problem}", path.display()),
            "give plain YAML or JSON (render templates first, with helm template or kustomize build)",
        )
    })?;
    let search = Search::documents(&text, &documents);
    Ok((documents, search))
}

fn not_found() -> Finding {
    Finding::error(
        "filter_not_found",
        Location { document: None, path: String::new() },
        "the filter is configured nowhere in this file",
        "check another file; a plugin is known by its configuration, or by twilio-guard in its name, root id or module",
    )
}

fn examine(
    search: &Search,
    environment: Option<&dyn Environment>,
    gateway: Gateway,
    generated: &Generated,
) -> Vec<Finding> {
    let of_places = search.places.iter().flat_map(|place| rules::examine(place, environment, gateway));
    let of_patches = search.patches.iter().flat_map(|patch| generated.misses(patch));
    of_places.chain(search.findings.iter().cloned()).chain(of_patches).collect()
}

fn counted(count: usize, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}
