//! The parameters of a query, for the rules that read them. The signature itself covers the raw query.

use std::borrow::Cow;

/// The decoded name and value of each parameter of a raw query, in order. `+` is a space; a broken escape stays
/// as it is written, because nothing here is taken for what it is not: names are compared with fixed words.
pub(super) fn pairs(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    query.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let mut halves = pair.splitn(2, |&b| b == b'=');
        (decode(halves.next().unwrap_or_default()), decode(halves.next().unwrap_or_default()))
    })
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_leniently() {
        let pairs: Vec<_> = pairs(b"a=1&&b&c=x%3Dy+z&%zz=%4&d=e=f")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let expected: Vec<(Vec<u8>, Vec<u8>)> =
            [("a", "1"), ("b", ""), ("c", "x=y z"), ("%zz", "%4"), ("d", "e=f")]
                .map(|(name, value)| (name.into(), value.into()))
                .into();
        assert_eq!(pairs, expected);
    }
}
