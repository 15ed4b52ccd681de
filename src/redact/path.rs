//! The path of a target: identifiers in paths have no names, so words decide (spec phi-redaction, section 5).

use super::Policy;
use super::decode::decode;
use super::dictionary::Class;
use super::pair;
use super::words::{is_noun, is_route_word, words};
use super::{REDACTED, TRUNCATED, guard, join, shapes, template};
use crate::percent::Plus;

/// In bytes. Beyond it, whole segments are cut.
const LONGEST: usize = 2048;

const EXTENSIONS: &[&[u8]] = &[b".json", b".xml", b".csv", b".mp3", b".wav"];

/// What may be seen of a path.
pub(super) fn redact(policy: &Policy, path: &[u8]) -> String {
    let (kept, is_cut) = cut(path);
    let masked = template::variables(policy.templates(), path);
    let mut out = String::with_capacity(kept.len());
    let mut sticky = false;
    for (index, segment) in kept.split(|&b| b == b'/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        if masked.contains(&index) && !segment.is_empty() {
            out.push_str(REDACTED);
            continue;
        }
        let mut pieces = segment.split(|&b| b == b';');
        sticky = write_head(policy, pieces.next().unwrap_or_default(), sticky, &mut out);
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            join(&mut out, ';', |out| pair::write(policy, piece, Plus::Literal, out));
        }
    }
    if is_cut {
        out.push('/');
        out.push_str(TRUNCATED);
    }
    out
}

/// The path up to its limit, and whether something is missing.
fn cut(path: &[u8]) -> (&[u8], bool) {
    let Some(head) = path.get(..LONGEST).filter(|_| path.len() > LONGEST) else { return (path, false) };
    let end = head.iter().rposition(|&b| b == b'/').unwrap_or(0);
    (head.get(..end).unwrap_or_default(), true)
}

/// Writes what may be seen of a segment before its parameters. `sticky` says whether a word before it was one after which
/// people are named; the result says so for the next segment.
fn write_head(policy: &Policy, raw: &[u8], sticky: bool, out: &mut String) -> bool {
    let decoded = decode(raw, Plus::Literal);
    let head = &*decoded;
    if head.iter().any(|b| !matches!(b, 33..=126)) {
        out.push_str(REDACTED);
        return sticky;
    }
    let sid = EXTENSIONS.iter().find_map(|extension| head.strip_suffix(*extension)).unwrap_or(head);
    if shapes::is_sid(sid) && shapes::is_transactional(sid) {
        let extension = head.get(sid.len()..).and_then(|text| std::str::from_utf8(text).ok());
        policy.write_sid(sid, out);
        out.push_str(extension.unwrap_or_default());
        return false;
    }
    if shapes::is_sid(sid) {
        policy.write_pseudonym(Class::Id, sid, out);
        return sticky;
    }
    if shapes::is_uuid(head) {
        policy.write_pseudonym(Class::Id, &head.to_ascii_lowercase(), out);
        return sticky;
    }
    let Ok(text) = std::str::from_utf8(head) else {
        out.push_str(REDACTED);
        return sticky;
    };
    let mut write = |shown: &str, sticky: bool| {
        out.push_str(shown);
        sticky
    };
    if matches!(text, "" | "." | "..") {
        return write(text, sticky);
    }
    if is_version(head) {
        return write(text, false);
    }
    if !is_word_shaped(head) {
        return write(REDACTED, sticky);
    }
    let stem = without_extension(text);
    if is_route_word(policy, &stem.to_ascii_lowercase()) {
        return write(text, false);
    }
    let words = words(stem);
    let nouns = words.iter().filter(|word| is_noun(policy, word)).count();
    if nouns > 0 && (!sticky || nouns == words.len()) {
        return write(text, true);
    }
    if sticky { write(REDACTED, true) } else { write(text, false) }
}

/// `v` and one or two digits, or a version of Twilio's API.
fn is_version(head: &[u8]) -> bool {
    let is_short = |digits: &[u8]| matches!(digits.len(), 1 | 2) && digits.iter().all(u8::is_ascii_digit);
    head.strip_prefix(b"v").is_some_and(is_short) || guard::is_api_version(head)
}

/// `[A-Za-z0-9][A-Za-z0-9_.~-]{0,63}` with at most three digits and no Medicare number.
fn is_word_shaped(head: &[u8]) -> bool {
    head.first().is_some_and(u8::is_ascii_alphanumeric)
        && head.len() <= 64
        && head.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'~' | b'-'))
        && shapes::digits(head) <= 3
        && !shapes::has_mbi(head)
}

/// Without an extension of one to five letters and digits.
fn without_extension(text: &str) -> &str {
    let is_extension =
        |end: &str| (1..=5).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_alphanumeric());
    text.rsplit_once('.').filter(|(_, end)| is_extension(end)).map_or(text, |(stem, _)| stem)
}
