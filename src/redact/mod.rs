//! What may be seen of a request in access logs and traces: policy `phi-default-v1`
//! (spec phi-redaction; 45 CFR 164.502(b), minimum necessary).
//!
//! An allow-list: what is not known to be harmless is masked. The result is printable ASCII without quotes and backslashes,
//! so it can stand in a text line or a JSON string as it is. It is still a record of a contact, and stays PHI.

mod decode;
mod dictionary;
mod guard;
mod headers;
mod pair;
mod path;
mod policy;
mod pseudonym;
mod query;
mod shapes;
mod template;
mod words;

pub use crate::config::RedactionPolicy as Policy;
pub use headers::{origin_of, shown_request_id, shown_user_agent};

/// Stands for whatever must not be seen.
pub const REDACTED: &str = "[REDACTED]";

/// Stands for what was beyond a limit.
const TRUNCATED: &str = "[TRUNCATED]";

impl Policy {
    /// What may be seen of a request target (`:path`) as it was received.
    ///
    /// Takes any bytes, never fails, and costs time in proportion to the limits, not to the input. What cannot be judged
    /// is `[REDACTED]` as a whole.
    #[must_use]
    pub fn target(&self, target: &[u8]) -> String {
        if matches!(target, b"" | b"*") {
            return String::from_utf8_lossy(target).into_owned();
        }
        if target.first() != Some(&b'/') {
            return REDACTED.to_owned();
        }
        let (target, fragment) = split(target, b'#');
        let (path, query) = split(target, b'?');
        let mut out = path::redact(self, path);
        if let Some(query) = query {
            join(&mut out, '?', |out| out.push_str(&query::redact(self, query)));
        }
        if fragment.is_some() {
            out.push('#');
            out.push_str(REDACTED);
        }
        if is_writable(&out) { out } else { REDACTED.to_owned() }
    }
}

/// The last doubt: nothing but characters that the rules write.
fn is_writable(text: &str) -> bool {
    let is_mark = |b| {
        matches!(
            b,
            b'[' | b']' | b'/' | b'?' | b'&' | b'=' | b';' | b'#' | b'_' | b'.' | b'~' | b'-' | b'+' | b':'
        )
    };
    text.bytes().all(|b: u8| b.is_ascii_alphanumeric() || is_mark(b))
}

/// Appends a separator and what is written after it, or neither.
fn join(out: &mut String, separator: char, write: impl FnOnce(&mut String)) {
    let before = out.len();
    let is_first = out.is_empty();
    if !is_first {
        out.push(separator);
    }
    let start = out.len();
    write(out);
    if out.len() == start {
        out.truncate(before);
    }
}

/// What stands before and after the first of a byte; nothing after it where there is none.
fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut halves = text.splitn(2, |&b| b == at);
    (halves.next().unwrap_or_default(), halves.next())
}
