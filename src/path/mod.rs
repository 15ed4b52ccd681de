//! Paths as bytes on the wire, as routes match them, and as applications might read them.

mod loose;

pub use loose::{LoosePath, LoosePattern};

use std::borrow::Cow;
use std::fmt;

use crate::percent::{Plus, decode_into};

/// In bytes. Nobody routes by a longer path, and to compare one in every reading would cost milliseconds.
const LONGEST: usize = 8192;

/// A path after one percent-decoding: the form in which routes match.
pub struct CanonicalPath<'a> {
    /// The decoded path; the raw one where it cannot be decoded.
    pub text: Cow<'a, [u8]>,
    /// Whether the raw path can be read in more than one way ([`is_ambiguous_path`]).
    pub ambiguous: bool,
}

impl fmt::Debug for CanonicalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanonicalPath").field("ambiguous", &self.ambiguous).finish_non_exhaustive()
    }
}

impl<'a> CanonicalPath<'a> {
    /// Decodes a raw path.
    #[must_use]
    pub fn of(path: &'a [u8]) -> Self {
        if path.len() > LONGEST {
            return Self { text: Cow::Borrowed(path), ambiguous: true };
        }
        if !path.contains(&b'%') {
            return Self { text: Cow::Borrowed(path), ambiguous: is_ambiguous(path, path) };
        }
        let mut decoded = Vec::with_capacity(path.len());
        match decode_into(path, Plus::Literal, &mut decoded) {
            Ok(()) => Self { ambiguous: is_ambiguous(path, &decoded), text: Cow::Owned(decoded) },
            Err(_) => Self { text: Cow::Borrowed(path), ambiguous: true },
        }
    }
}

/// Whether a raw path can be read in more than one way.
///
/// That is the case for a path that does not begin with a slash; has an empty segment before its end, a dot
/// segment, a backslash, a semicolon, a question mark or a control character, plain or percent-encoded; has an encoded slash
/// or a broken escape; is still encoded after one decoding; is not UTF-8 when decoded; or is longer than 8 KiB.
#[must_use]
pub fn is_ambiguous_path(path: &[u8]) -> bool {
    CanonicalPath::of(path).ambiguous
}

fn is_ambiguous(path: &[u8], decoded: &[u8]) -> bool {
    let slashes = |text: &[u8]| text.iter().filter(|&&b| b == b'/').count();
    let mut segments = decoded.split(|&b| b == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if matches!(segment, b"." | b"..") || (segment.is_empty() && !is_last) {
            return true;
        }
    }
    path.first() != Some(&b'/')
        || slashes(decoded) != slashes(path)
        || decoded.iter().any(|&b| b < 0x20 || matches!(b, b'\\' | b';' | b'#' | b'?' | 0x7f))
        || has_escape(decoded)
        || std::str::from_utf8(decoded).is_err()
}

fn has_escape(text: &[u8]) -> bool {
    text.windows(3).any(
        |window| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_not_ambiguous() {
        for plain in
            ["/", "/sms", "/sms/", "/calls/CA1/status", "/a%20b", "/caf%C3%A9", "/a.b/..c/d..", "/a:b@c,d"]
        {
            assert!(!is_ambiguous_path(plain.as_bytes()), "{plain}");
        }
    }

    #[test]
    fn a_path_that_is_too_long_to_compare_is_ambiguous() {
        assert!(!is_ambiguous_path(&[&b"/"[..], &[b'a'; LONGEST - 1]].concat()));
        assert!(is_ambiguous_path(&[&b"/"[..], &[b'a'; LONGEST]].concat()));
    }

    #[test]
    fn paths_with_two_readings_are_ambiguous() {
        for two in [
            "",
            "*",
            "sms",
            "//sms",
            "/a//b",
            "/sms//",
            "/./sms",
            "/a/..",
            "/a/../b",
            "/%2e/sms",
            "/a/%2E%2e/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a%3bb",
            "/a%00",
            "/a\u{1}",
            "/a%7f",
            "/a%252fb",
            "/a%zz",
            "/a%",
            "/a#b",
            "/a%c0%af",
            "/a%3fb",
            "/..;/sms",
        ] {
            assert!(is_ambiguous_path(two.as_bytes()), "{two}");
        }
    }
}
