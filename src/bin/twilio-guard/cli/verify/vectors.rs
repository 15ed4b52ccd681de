//! Files of conformance vectors, Twilio's (with SharedKey) and SendGrid's.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input;
use super::super::message::{Message, RawMessage};
use super::super::outcome::{Failure, Outcome};
use super::keys::Hosts;
use super::{judge, keys};

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    #[serde(flatten)]
    message: RawMessage,
    #[serde(flatten)]
    keys: keys::OwnKeys,
    valid: bool,
    #[serde(default)]
    optional: bool,
}

/// Judges every vector; those that are not optional must all get their verdict.
pub(super) fn run(path: &Path) -> Result<Outcome, Failure> {
    let text = input::read_text(path)?;
    let file: File = serde_json::from_str(&text).map_err(|error| {
        Failure::new(
            format!("{} is not a vector file (line {} column {})", path.display(), error.line(), error.column()),
            "give {\"vectors\": [{\"name\": .., \"method\": .., \"url\": .., \"headers\": {..}, \"valid\": .., ..}]}",
        )
    })?;
    if file.vectors.is_empty() {
        return Err(Failure::new(format!("{} has no vectors", path.display()), "give at least one"));
    }
    let mut lines = Vec::new();
    let mut disagreements: Vec<Value> = Vec::new();
    let mut wrong = 0_usize;
    for vector in &file.vectors {
        let reason = refusal(vector)?;
        if reason.is_none() == vector.valid {
            continue;
        }
        wrong = wrong.saturating_add(usize::from(!vector.optional));
        let expected = if vector.valid { "verified" } else { "refused" };
        let got = reason.as_ref().map_or("verified".to_owned(), |reason| format!("refused ({reason})"));
        let kind = if vector.optional { "differs, as it may" } else { "disagrees" };
        lines.push(format!("{}: {kind}: expected {expected}, got {got}", vector.name));
        disagreements.push(json!({
            "name": vector.name, "optional": vector.optional, "expected": expected,
            "got": if reason.is_none() { "verified" } else { "refused" }, "reason": reason,
        }));
    }
    let (count, optional) = (file.vectors.len(), disagreements.len().saturating_sub(wrong));
    lines.push(format!("{count} vectors, {wrong} disagree, {optional} optional ones differ"));
    Ok(Outcome {
        ok: wrong == 0,
        text: lines.join("\n"),
        note: None,
        json: json!({"vectors": count, "disagree": wrong, "optional_differ": optional, "disagreements": disagreements}),
    })
}

/// Why a vector is refused; `None` where it is verified.
fn refusal(vector: &Vector) -> Result<Option<String>, Failure> {
    let named =
        |failure: Failure| Failure::new(format!("vector {}: {failure}", vector.name), "correct the file");
    let mut message = vector.message.read().map_err(named)?;
    forget_unseen_upgrade(&mut message);
    let public_url = keys::vector_url(&message.url);
    let plan = match keys::for_keys(&vector.keys, &public_url, &message, Hosts::OfPublicUrl) {
        Ok(plan) => plan,
        // Under a configuration without a usable key nothing is accepted.
        Err(error) => return Ok(Some(format!("configuration: {}", error.problem()))),
    };
    let verdict = judge::judge(&plan, &message, None, |_, _, _| ());
    Ok(verdict.reason.map(|reason| reason.code().to_owned()))
}

/// A vector's URL is the text that a verifier hashes. With `https` and an upgrade it is the mistake of not seeing the upgrade,
/// which the filter cannot make: it always takes an upgrade as `wss`. Such a vector is judged as what is seen then.
fn forget_unseen_upgrade(message: &mut Message) {
    if message.url.scheme.to_ascii_lowercase().starts_with("http") {
        message.headers.retain(|(name, _)| {
            !name.eq_ignore_ascii_case("upgrade") && !name.eq_ignore_ascii_case("connection")
        });
    }
}
