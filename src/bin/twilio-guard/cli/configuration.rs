//! A configuration of the filter in a file: alone, or inside YAML of a proxy or mesh.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use twilio_guard::config::{Environment, Plan, Secret};
use twilio_guard::native::NativeEnvironment;
use twilio_guard::p256::Verifier;

use super::check::{Placeholders, configurations};
use super::outcome::Failure;

/// The configuration at a place, as `check` prints it, with the secrets of the environment.
pub(crate) fn plan(path: &Path, place: Option<&str>) -> Result<Plan, Failure> {
    let text = text(path, place)?;
    parse(&text, &NativeEnvironment(|name: &str| std::env::var(name).ok()))
}

/// The same for its redaction alone: of the secrets, only keys of pseudonyms are asked for.
pub(crate) fn plan_to_redact(path: &Path, place: Option<&str>) -> Result<Plan, Failure> {
    let text = text(path, place)?;
    let tree = serde_json::from_slice(&text).unwrap_or(Value::Null);
    let mut keys = BTreeSet::new();
    hash_keys(&tree, &mut keys);
    parse(&text, &OnlyHashKeys { keys, others: Placeholders::for_config(&tree) })
}

fn parse(text: &[u8], environment: &dyn Environment) -> Result<Plan, Failure> {
    Plan::parse(text, environment).map_err(|error| {
        Failure::new(format!("the configuration is refused: {error}"), "see twilio-guard check")
    })
}

fn text(path: &Path, place: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut found = configurations(path)?;
    if let Some(place) = place {
        found.retain(|(own, _)| own == place);
    }
    match <[_; 1]>::try_from(found) {
        Ok([(_, text)]) => Ok(text),
        Err(found) if found.is_empty() => Err(Failure::new(
            "there is no such configuration of this filter in the file",
            "see twilio-guard check, which prints where each one is",
        )),
        Err(found) => Err(Failure::new(
            format!("the file has {} configurations of this filter", found.len()),
            "choose one with --place PATH, as twilio-guard check prints it",
        )),
    }
}

/// An environment in which every variable is set to something, but for keys of pseudonyms: a key that anybody knows would be
/// worse than none.
struct OnlyHashKeys {
    keys: BTreeSet<String>,
    others: Placeholders,
}

impl Environment for OnlyHashKeys {
    fn variable(&self, name: &str) -> Option<Secret> {
        if self.keys.contains(name) {
            return std::env::var(name).ok().map(Secret::from);
        }
        self.others.variable(name)
    }

    fn p256(&self) -> Option<Arc<dyn Verifier>> {
        self.others.p256()
    }
}

fn hash_keys(node: &Value, found: &mut BTreeSet<String>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| hash_keys(item, found)),
        Value::Object(members) => {
            let variable = members.get("hash_key").and_then(|key| key.get("env")).and_then(Value::as_str);
            found.extend(variable.map(str::to_owned));
            members.values().for_each(|value| hash_keys(value, found));
        }
        _ => {}
    }
}
