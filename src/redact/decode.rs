//! Percent-decoding as far as a lenient reader would go.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::percent::Plus;

/// How often a reader might decode; what is still escaped then is refused by its `%`.
const ROUNDS: usize = 3;

/// Decodes up to three times, until nothing changes. `+` is a space in the first round, where it is one at all. An invalid
/// escape stays as it is (spec phi-redaction, section 4.2).
pub(super) fn decode(raw: &[u8], plus: Plus) -> Cow<'_, [u8]> {
    let mut text = Cow::Borrowed(raw);
    if plus == Plus::Space && raw.contains(&b'+') {
        text = Cow::Owned(raw.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect());
    }
    for _ in 0..ROUNDS {
        if !text.contains(&b'%') {
            break;
        }
        let decoded: Vec<u8> = percent_decode(&text).collect();
        if decoded.len() == text.len() {
            break;
        }
        text = Cow::Owned(decoded);
    }
    text
}

/// Without what surrounds a name or an address by accident: space, tab, CR, LF, NUL.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0);
    let start = text.iter().position(|b| !is_blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_blank(b)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rounds_and_plus_in_the_first() {
        assert_eq!(&*decode(b"%25252B1", Plus::Space), b"+1");
        assert_eq!(&*decode(b"%2525252B1", Plus::Space), b"%2B1");
        assert_eq!(&*decode(b"a+b%2Bc", Plus::Space), b"a b+c");
        assert_eq!(&*decode(b"a+b", Plus::Literal), b"a+b");
        assert_eq!(&*decode(b"100%&%ZZ", Plus::Literal), b"100%&%ZZ");
    }

    #[test]
    fn only_blanks_at_the_ends_are_trimmed() {
        assert_eq!(trim(b" \0a b\r\n"), b"a b");
        assert_eq!(trim(b"\t "), b"");
    }
}
