//! Percent-decoding, once, of one component.
//!
//! The `percent-encoding` and `form_urlencoded` crates keep a broken escape as literal text. The application
//! behind the proxy may drop it or fail instead, so a verifier has to see the difference: this decoder
//! reports it (spec twilio-signature, section 5, attack 15).

/// A `%` that is not followed by two hexadecimal digits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BrokenEscape;

/// Whether `+` stands for a space (form bodies, queries) or for itself (paths).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Space,
    Literal,
}

/// Appends the decoded form of `source` to `out`. What was appended before an error stays there.
pub(crate) fn decode_into(source: &[u8], plus: Plus, out: &mut Vec<u8>) -> Result<(), BrokenEscape> {
    let mut rest = source.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'+' if plus == Plus::Space => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_value).ok_or(BrokenEscape)?;
                let low = rest.next().and_then(hex_value).ok_or(BrokenEscape)?;
                high << 4 | low
            }
            other => other,
        });
    }
    Ok(())
}

fn hex_value(digit: &u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(source: &str, plus: Plus) -> Result<Vec<u8>, BrokenEscape> {
        let mut out = Vec::new();
        decode_into(source.as_bytes(), plus, &mut out).map(|()| out)
    }

    #[test]
    fn decodes_escapes_of_both_cases() {
        assert_eq!(decode("a%2Fb%2fc%00", Plus::Literal), Ok(b"a/b/c\0".to_vec()));
    }

    #[test]
    fn plus_is_a_space_only_where_asked() {
        assert_eq!(decode("a+b", Plus::Space), Ok(b"a b".to_vec()));
        assert_eq!(decode("a+b", Plus::Literal), Ok(b"a+b".to_vec()));
    }

    #[test]
    fn decodes_once_only() {
        assert_eq!(decode("%2541", Plus::Space), Ok(b"%41".to_vec()));
    }

    #[test]
    fn broken_escapes_are_errors() {
        for broken in ["%", "%4", "%zz", "%4g", "100%", "%%41"] {
            assert_eq!(decode(broken, Plus::Space), Err(BrokenEscape), "{broken}");
        }
    }
}
