//! Conformance: targets and what the policy shows of them.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use twilio_guard::config::Secret;
use twilio_guard::redact::Policy;

use super::super::input;
use super::super::outcome::{Failure, Outcome};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

/// Not `Debug`: what it holds is what must not be shown.
#[derive(Deserialize)]
struct Case {
    id: String,
    input: String,
    expected: String,
    hash_key: Option<String>,
}

/// Redacts every target of a file, each with its own key.
pub(super) fn run(path: &Path) -> Result<Outcome, Failure> {
    let file: File = serde_json::from_str(&input::read_text(path)?).map_err(|error| {
        Failure::new(
            format!("not a file of redaction cases (line {} column {})", error.line(), error.column()),
            "give {\"cases\": [{\"id\", \"input\", \"expected\", \"hash_key\"}]}",
        )
    })?;
    let differs = |case: &&Case| {
        let policy = match &case.hash_key {
            Some(key) => Policy::default().with_hash_key(&Secret::from(key.clone())),
            None => Policy::default(),
        };
        policy.target(case.input.as_bytes()) != case.expected
    };
    let disagreements: Vec<&str> = file.cases.iter().filter(differs).map(|case| case.id.as_str()).collect();
    let mut lines: Vec<String> = disagreements.iter().map(|id| format!("{id}: differs")).collect();
    lines.push(format!("{} vectors, {} disagree", file.cases.len(), disagreements.len()));
    let json: Value = json!({
        "vectors": file.cases.len(),
        "disagree": disagreements.len(),
        "disagreements": disagreements,
    });
    Ok(Outcome { ok: disagreements.is_empty(), text: lines.join("\n"), note: None, json })
}
