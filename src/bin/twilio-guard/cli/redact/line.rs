//! One access-log line: JSON, `name=value` fields, or text around a request line, as Envoy, Istio, nginx and Apache write it.
//!
//! What is not understood is not written.

use std::cmp::Ordering;

use twilio_guard::redact::{Policy, REDACTED};

use super::keys::{self, Kind};
use super::{field, json, shapes};

/// Words that may stand before JSON: time, stream and flag of a container runtime.
const MOST_PREFIX_WORDS: usize = 4;

/// What may be seen of a line.
pub(super) fn shown(policy: &Policy, line: &[u8]) -> String {
    // What is no ASCII is never shown, so how it reads does not matter.
    read(policy, &String::from_utf8_lossy(line), true)
}

/// What may be seen of a line inside a field of another.
pub(super) fn nested(policy: &Policy, text: &str) -> String {
    read(policy, text, false)
}

fn read(policy: &Policy, text: &str, is_outer: bool) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return String::new();
    }
    if let Some(start) = text.find('{')
        && let Some((prefix, object)) = text.split_at_checked(start)
        && prefix.split_whitespace().count() <= MOST_PREFIX_WORDS
        && (is_outer || prefix.is_empty())
        && let Some(object) = json::object(policy, object.trim_end())
    {
        let words = prefix.split_whitespace().map(|word| field::shown(policy, Kind::Any, None, word) + " ");
        return words.chain([object]).collect();
    }
    fields(policy, text).unwrap_or_else(|| REDACTED.to_owned())
}

/// A field of a text line.
#[derive(Debug, Clone, Copy)]
struct Field<'t> {
    /// What stands between it and the one before.
    before: &'t str,
    /// `name=`, where it has one.
    name: Option<&'t str>,
    text: &'t str,
    close: Close,
    /// What its place in the line says.
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    Bare,
    Quoted,
    Bracketed,
}

fn fields(policy: &Policy, text: &str) -> Option<String> {
    let mut fields = split(text)?;
    let request = request(&fields);
    if let Some(last) = request {
        place(&mut fields, last);
    }
    let is_named = |field: &Field<'_>| field.name.is_some_and(|name| keys::kind(name) != Kind::Any);
    if request.is_none() && !fields.iter().any(is_named) {
        return None;
    }
    Some(fields.iter().map(|field| field.before.to_owned() + &field.shown(policy)).collect())
}

/// Where the request line ends: a field in quotes, or method and target as words.
fn request(fields: &[Field<'_>]) -> Option<usize> {
    let is_line = |field: &Field<'_>| {
        field.name.is_none() && field.close == Close::Quoted && field::is_request_line(field.text)
    };
    if let Some(quoted) = fields.iter().position(is_line) {
        return Some(quoted);
    }
    let is_request = |pair: &[Field<'_>]| matches!(pair, [method, target] if method.name.is_none() && shapes::is_method(method.text) && target.text.starts_with('/'));
    let target = fields.windows(2).position(is_request)?.saturating_add(1);
    let next = target.saturating_add(1);
    let has_protocol = fields.get(next).is_some_and(|field| shapes::is_protocol(field.text));
    Some(if has_protocol { next } else { target })
}

/// Says what the fields behind the request line are.
fn place(fields: &mut [Field<'_>], request: usize) {
    let (request, rest) = fields.split_at_mut(request.saturating_add(1));
    let Some(request) = request.last() else { return };
    let mut runs: Vec<&mut [Field<'_>]> = rest.chunk_by_mut(|a, b| a.is_quoted() == b.is_quoted()).collect();
    let of_envoy = runs.iter().position(|run| is_quoted(run) && run.len() == 5);
    let counts = runs.first().map_or(0, |run| run.len());
    let is_layout = request.close == Close::Quoted;
    let is_combined = counts == 2 && runs.get(1).is_some_and(|run| matches!(run.len(), 2 | 3));
    let kinds: &[Kind] = match of_envoy {
        Some(_) => &[Kind::Peer, Kind::UserAgent, Kind::RequestId, Kind::Host, Kind::Own],
        None if is_combined => &[Kind::Referer, Kind::UserAgent, Kind::Peer],
        None => &[],
    };
    let clients = of_envoy.unwrap_or(1);
    for (index, run) in runs.iter_mut().enumerate() {
        match index.cmp(&clients) {
            Ordering::Equal => run.iter_mut().zip(kinds).for_each(|(field, kind)| field.kind = *kind),
            Ordering::Greater if of_envoy.is_none() => {}
            // What the proxy writes itself: codes, counts (of bytes they may be long), details, names of its own.
            order => {
                for field in run.iter_mut().filter(|field| field.close == Close::Bare) {
                    let is_count = is_layout && order == Ordering::Less && shapes::is_number(field.text, 19);
                    field.kind = if is_count { Kind::Number } else { Kind::Bare };
                }
            }
        }
    }
}

fn is_quoted(run: &[Field<'_>]) -> bool {
    run.first().is_some_and(Field::is_quoted)
}

/// Splits a line at its blanks. `None` if a quote or bracket is not closed.
fn split(text: &str) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = text.trim_end();
    while !rest.is_empty() {
        let start = rest.trim_start_matches([' ', '\t', ',']);
        let (before, _) = rest.split_at_checked(rest.len().saturating_sub(start.len()))?;
        let (name, value) = name(start);
        let (text, close, after) = match value.chars().next() {
            Some('"') => quoted(value)?,
            Some('[') => bracketed(value)?,
            _ => bare(value),
        };
        fields.push(Field { before, name, text, close, kind: Kind::Any });
        rest = after;
    }
    Some(fields)
}

/// A name and the equals sign behind it.
fn name(text: &str) -> (Option<&str>, &str) {
    let word = text.find([' ', '\t', '"', '[', '=']).and_then(|end| text.split_at_checked(end));
    let named = word.and_then(|(name, rest)| Some((name, rest.strip_prefix('=')?)));
    match named {
        Some((name, value)) if keys::is_field_name(name) => (Some(name), value),
        _ => (None, text),
    }
}

fn quoted(text: &str) -> Option<(&str, Close, &str)> {
    let inner = text.strip_prefix('"')?;
    // Envoy escapes nothing, others write a backslash before a quote: a quote ends the field where a blank follows.
    let end = inner.match_indices('"').find(|(index, _)| {
        let after = inner.get(index.saturating_add(1)..).unwrap_or_default();
        after.is_empty() || after.starts_with([' ', ',', '\t', ']'])
    })?;
    let (content, after) = inner.split_at_checked(end.0)?;
    Some((content, Close::Quoted, after.strip_prefix('"')?))
}

fn bracketed(text: &str) -> Option<(&str, Close, &str)> {
    if let Some(after) = text.strip_prefix(REDACTED) {
        return Some((REDACTED, Close::Bare, after));
    }
    let (content, after) = text.strip_prefix('[')?.split_once(']')?;
    // An address such as [::1]:80 is one word.
    if after.starts_with(':') {
        return Some(bare(text));
    }
    Some((content, Close::Bracketed, after))
}

fn bare(text: &str) -> (&str, Close, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end).unwrap_or((text, ""));
    (word, Close::Bare, after)
}

impl Field<'_> {
    fn is_quoted(&self) -> bool {
        self.close == Close::Quoted && self.name.is_none()
    }

    fn shown(&self, policy: &Policy) -> String {
        let kind = self.name.map_or(self.kind, keys::kind);
        let shown = field::shown(policy, kind, self.name, self.text);
        let name = self.name.map(|name| format!("{name}=")).unwrap_or_default();
        match self.close {
            Close::Bare => format!("{name}{shown}"),
            Close::Quoted => format!("{name}\"{shown}\""),
            Close::Bracketed if shown == REDACTED => format!("{name}{shown}"),
            Close::Bracketed => format!("{name}[{shown}]"),
        }
    }
}
