//! One `name=value` of a query, or of the parameters of a path segment (spec phi-redaction, section 4).

use std::borrow::Cow;

use super::decode::{decode, trim};
use super::dictionary::Action;
use super::guard;
use super::shapes;
use super::{Policy, REDACTED, split};
use crate::config::fold_name;
use crate::percent::Plus;

/// Writes what may be seen of a piece, or nothing.
pub(super) fn write(policy: &Policy, piece: &[u8], plus: Plus, out: &mut String) {
    let (raw_name, raw_value) = split(piece, b'=');
    let decoded = decode(raw_name, plus);
    let name = Name::of(policy, &decoded);
    // Drops come first: where only the stem of a name is known, what follows it could be anything.
    if name.action == Some(Action::Drop) {
        return;
    }
    let Some(raw_value) = raw_value else {
        match (name.action, &name.display) {
            (Some(_), display) => out.push_str(display.unwrap_or(REDACTED)),
            (None, _) if is_event(&decoded) => policy.write_sid(&decoded, out),
            (None, _) => out.push_str(REDACTED),
        }
        return;
    };
    out.push_str(name.display.unwrap_or(REDACTED));
    out.push('=');
    if raw_value.is_empty() {
        return;
    }
    let value = || decode(raw_value, plus);
    match name.action {
        Some(Action::Keep) => write_kept(policy, &name.key, &value(), out),
        Some(Action::Hash(class)) => policy.write_pseudonym(class, &value(), out),
        Some(Action::Mask | Action::Drop) => out.push_str(REDACTED),
        None => match value() {
            sid if is_event(&sid) && name.display.is_some() => policy.write_sid(&sid, out),
            _ => out.push_str(REDACTED),
        },
    }
}

fn write_kept(policy: &Policy, key: &str, value: &[u8], out: &mut String) {
    match std::str::from_utf8(value) {
        Ok(_) if !guard::passes(key, value) => out.push_str(REDACTED),
        Ok(_) if shapes::is_sid_in_any_case(value) => policy.write_sid(value, out),
        Ok(text) => out.push_str(text),
        Err(_) => out.push_str(REDACTED),
    }
}

fn is_event(decoded: &[u8]) -> bool {
    shapes::is_sid(decoded) && shapes::is_transactional(decoded)
}

/// A name: how it is looked up, what becomes of its value, and how it is shown, if it may be.
struct Name<'a> {
    key: Cow<'static, str>,
    action: Option<Action>,
    display: Option<&'a str>,
}

impl<'a> Name<'a> {
    fn of(policy: &Policy, decoded: &'a [u8]) -> Self {
        let display = trim(decoded);
        let base = without_indexes(display);
        let is_structure = |b: &u8| matches!(b, b'[' | b']' | b'=' | b'&' | b';' | b'?' | b'%' | b'#' | b'/');
        let is_readable = base.is_ascii() && !base.iter().any(is_structure);
        let key = if is_readable { Cow::Owned(fold_name(base)) } else { Cow::Borrowed("") };
        let action = if is_readable { policy.action(&key) } else { None };
        Self { key, action, display: std::str::from_utf8(display).ok().filter(|_| is_showable(display)) }
    }
}

/// Without the `[]` and `[0]` at the end by which lists are written.
fn without_indexes(name: &[u8]) -> &[u8] {
    let mut base = name;
    while let Some(open) = base.strip_suffix(b"]") {
        let number = open.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let Some((rest, _)) = open.split_at_checked(open.len().saturating_sub(number)) else { break };
        let Some(rest) = rest.strip_suffix(b"[") else { break };
        base = rest;
    }
    base
}

/// Whether a name may be written: names can be identifiers too.
fn is_showable(display: &[u8]) -> bool {
    let is_name_char = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'[' | b']');
    display.first().is_some_and(u8::is_ascii_alphabetic)
        && display.len() <= 64
        && display.iter().all(is_name_char)
        && shapes::digits(display) <= 3
        && !shapes::has_mbi(display)
}
