//! Secrets that stand in a file, and variables that do not reach the filter.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use twilio_guard::config::{Environment, Secret};
use twilio_guard::native::NativeEnvironment;
use twilio_guard::p256::Verifier;

use super::document::{element, member};
use super::finding::Finding;
use super::place::Place;

/// A P-256 public key of nobody, where a configuration takes one from the environment.
const SOME_PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvY7FM3D98pf61k0hNUz7ft2iNitmWrYRRUzuwBMcpaIo3K5hSNKZvdwHiVNAoWFtUATCMOXdNFHvYYGqyudOZw==";

/// An environment in which every variable is set, each to another value.
pub(crate) struct Placeholders {
    public_keys: BTreeSet<String>,
}

impl Placeholders {
    pub(crate) fn for_config(config: &Value) -> Self {
        let references = references(config).into_iter();
        let of_public_keys = references.filter(|reference| reference.is_public_key);
        Self { public_keys: of_public_keys.map(|reference| reference.variable).collect() }
    }
}

impl Environment for Placeholders {
    fn variable(&self, name: &str) -> Option<Secret> {
        let value = match self.public_keys.contains(name) {
            true => SOME_PUBLIC_KEY.to_owned(),
            false => format!("placeholder-that-is-long-enough-for-{name}"),
        };
        Some(Secret::from(value))
    }

    fn p256(&self) -> Option<Arc<dyn Verifier>> {
        NativeEnvironment(|_: &str| None).p256()
    }
}

/// A variable that a configuration names.
struct Reference {
    path: String,
    variable: String,
    optional: bool,
    is_public_key: bool,
}

fn references(config: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    visit(config, "", &mut |node, path| {
        if let Some(variable) = node.get("env").and_then(Value::as_str) {
            found.push(Reference {
                path: member(path, "env"),
                variable: variable.to_owned(),
                optional: node.get("optional") == Some(&Value::Bool(true)),
                is_public_key: path.starts_with("sendgrid_keys"),
            });
        }
    });
    found
}

fn visit(node: &Value, path: &str, see: &mut impl FnMut(&Value, &str)) {
    match node {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &element(path, index), see);
            }
        }
        Value::Object(members) => {
            see(node, path);
            for (key, value) in members {
                visit(value, &member(path, key), see);
            }
        }
        _ => {}
    }
}

/// Secrets in the configuration, in `public_url`, or in the variables that the host is told to set.
pub(super) fn inline(place: &Place, config: &Value) -> Vec<Finding> {
    let mut paths = Vec::new();
    visit(config, "", &mut |node, path| {
        // A public key is no secret.
        if node.get("value").is_some_and(Value::is_string) && !path.starts_with("sendgrid_keys") {
            paths.push(member(path, "value"));
        }
        if let Some(url) = node.get("public_url").and_then(Value::as_str)
            && url
                .split_once("://")
                .and_then(|(_, rest)| rest.split('/').next())
                .is_some_and(|host| host.contains('@'))
        {
            paths.push(member(path, "public_url"));
        }
    });
    let finding = |path: String| {
        let problem = "a secret stands in the file, and in every config dump of the proxy";
        Finding::error("inline_secret", place.location.clone(), problem, "use {\"env\": NAME}").within(path)
    };
    let mut findings: Vec<Finding> = paths.into_iter().map(finding).collect();
    if config.get("allow_inline_secrets") == Some(&Value::Bool(true)) && findings.is_empty() {
        let problem = "secrets are allowed to stand in the configuration, and none does";
        let finding =
            Finding::warning("inline_secrets_allowed", place.location.clone(), problem, "remove it");
        findings.push(finding.within("allow_inline_secrets"));
    }
    let secret: BTreeSet<String> = references(config)
        .into_iter()
        .filter(|reference| !reference.is_public_key)
        .map(|reference| reference.variable)
        .collect();
    for (name, location) in place.environment.iter().flat_map(|passed| &passed.inline) {
        if secret.contains(name) {
            findings.push(Finding::error(
                "inline_secret",
                location.clone(),
                "the value of a secret stands in the file, and in every config dump of the proxy",
                "pass the variable on from the environment of the proxy instead",
            ));
        }
    }
    findings
}

/// Variables that the configuration names and the host does not pass on.
pub(super) fn not_passed(place: &Place, config: &Value) -> Vec<Finding> {
    let Some(passed) = &place.environment else { return Vec::new() };
    let is_passed =
        |name: &str| passed.names.contains(name) || passed.inline.iter().any(|(inline, _)| inline == name);
    let mut findings = Vec::new();
    for reference in references(config) {
        if is_passed(&reference.variable) {
            continue;
        }
        let finding = if reference.optional { Finding::warning } else { Finding::error };
        let problem = "the proxy does not pass this variable on, so for the filter it is not set";
        findings.push(
            finding("env_not_passed", passed.location.clone(), problem, passed.remedy).within(reference.path),
        );
    }
    findings
}
