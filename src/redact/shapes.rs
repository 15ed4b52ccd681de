//! Shapes of text that identify an event, and shapes that identify a person (spec phi-redaction, section 8).

use uuid::Uuid;

/// Prefixes of SIDs that name an event or a part of the account, not a person (section 4.4). API keys are not among them.
const TRANSACTIONAL: &[&[u8; 2]] = &[
    b"AC", b"AP", b"CA", b"CF", b"CH", b"CJ", b"FN", b"FW", b"FX", b"GT", b"HX", b"IM", b"IS", b"KC", b"KI",
    b"KS", b"ME", b"MG", b"MM", b"MT", b"NO", b"PN", b"QU", b"RE", b"RM", b"SM", b"WA", b"WQ", b"WR", b"WS",
    b"WT", b"WW",
];

/// Whether a text is a SID: two capitals and 32 lower-case hexadecimal digits.
pub(super) fn is_sid(text: &[u8]) -> bool {
    is_sid_in_any_case(text) && !text.iter().skip(2).any(u8::is_ascii_uppercase)
}

/// The same with hexadecimal digits of either case.
pub(super) fn is_sid_in_any_case(text: &[u8]) -> bool {
    matches!(text.split_at_checked(2), Some((prefix, digits))
        if prefix.iter().all(u8::is_ascii_uppercase)
            && digits.len() == 32
            && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a SID names an event or a part of the account.
pub(super) fn is_transactional(sid: &[u8]) -> bool {
    TRANSACTIONAL.iter().any(|prefix| sid.starts_with(*prefix))
}

/// Whether a text is a UUID in its usual form.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36 && Uuid::try_parse_ascii(text).is_ok()
}

/// How many ASCII digits a text has.
pub(super) fn digits(text: &[u8]) -> usize {
    text.iter().filter(|b| b.is_ascii_digit()).count()
}

/// Whether a text is `-?[0-9]{1,6}(\.[0-9]{1,20})?`: a count, a code, a duration, a score.
pub(super) fn is_short_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = text.splitn(2, |&b| b == b'.');
    let is_number = |part: Option<&[u8]>, longest: usize| {
        part.is_none_or(|part| (1..=longest).contains(&part.len()) && part.iter().all(u8::is_ascii_digit))
    };
    is_number(parts.next(), 6) && is_number(parts.next(), 20)
}

/// Whether there is an IPv4 address anywhere.
pub(super) fn has_ipv4(text: &[u8]) -> bool {
    let octets: Vec<&[u8]> = text.split(|&b| b == b'.').collect();
    let number = |digits: &[u8]| {
        let is_octet = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        is_octet && digits.iter().fold(0u16, |value, b| value * 10 + u16::from(b - b'0')) <= 255
    };
    // The outer octets may touch other text: the longest octet at the dot's side counts.
    let ends_with = |text: &[u8]| text.last().is_some_and(u8::is_ascii_digit);
    let starts_with = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    octets.windows(4).any(|four| {
        matches!(four, [first, second, third, fourth]
            if ends_with(first) && number(second) && number(third) && starts_with(fourth))
    })
}

/// Whether there is a Medicare Beneficiary Identifier anywhere, with or without its dashes (CMS: eleven positions,
/// letters without S, L, O, I, B, Z).
pub(super) fn has_mbi(text: &[u8]) -> bool {
    // N: a digit, A: a letter, X: either, 1: a digit that is not zero.
    const POSITIONS: &[u8; 11] = b"1AXNAXNAANN";
    if digits(text) < 5 {
        return false;
    }
    let is_letter = |b: &u8| b.is_ascii_alphabetic() && !b"SLOIBZ".contains(&b.to_ascii_uppercase());
    let plain: Vec<u8> = text.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
    plain.windows(POSITIONS.len()).any(|window| {
        window.iter().zip(POSITIONS).all(|(b, position)| match position {
            b'1' => matches!(b, b'1'..=b'9'),
            b'N' => b.is_ascii_digit(),
            b'A' => is_letter(b),
            _ => b.is_ascii_digit() || is_letter(b),
        })
    })
}

/// Whether there is a vehicle identification number anywhere: 17 characters, the ninth of which is their check digit.
pub(super) fn has_vin(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    text.windows(WEIGHTS.len()).any(|window| {
        let sum = window
            .iter()
            .zip(WEIGHTS)
            .try_fold(0, |sum, (b, weight)| Some(sum + vin_value(b.to_ascii_uppercase())? * weight));
        let check = window.get(8).map(u8::to_ascii_uppercase);
        match (sum.map(|sum| sum % 11), check) {
            (Some(10), Some(b'X')) => true,
            (Some(rest), Some(digit)) => digit.is_ascii_digit() && u32::from(digit - b'0') == rest,
            _ => false,
        }
    })
}

/// The value of a VIN's character; `None` for I, O, Q and whatever is no letter or digit.
fn vin_value(character: u8) -> Option<u32> {
    match character {
        b'0'..=b'9' => Some(u32::from(character - b'0')),
        b'A'..=b'H' => Some(u32::from(character - b'A') + 1),
        b'J'..=b'N' => Some(u32::from(character - b'J') + 1),
        b'P' => Some(7),
        b'R' => Some(9),
        b'S'..=b'Z' => Some(u32::from(character - b'S') + 2),
        _ => None,
    }
}

/// Whether there is a run of letters and digits that looks like a token: over 32 of them, or 20 that mix both.
pub(super) fn has_token(text: &[u8]) -> bool {
    text.split(|b| !b.is_ascii_alphanumeric())
        .any(|run| run.len() > 32 || (run.len() >= 20 && (1..run.len()).contains(&digits(run))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_told_from_person_sids_and_keys() {
        let sid = |prefix: &str| format!("{prefix}{}", "0a".repeat(16));
        for (prefix, transactional) in [("CA", true), ("SM", true), ("US", false), ("SK", false)] {
            let sid = sid(prefix);
            assert!(is_sid(sid.as_bytes()));
            assert_eq!(is_transactional(sid.as_bytes()), transactional, "{prefix}");
        }
        assert!(!is_sid(sid("CA").to_uppercase().as_bytes()));
        assert!(is_sid_in_any_case(sid("CA").to_uppercase().as_bytes()));
        assert!(!is_sid(&sid("CA").as_bytes()[1..]));
    }

    #[test]
    fn medicare_numbers_are_found_with_and_without_dashes() {
        for text in ["1EG4TE5MK73", "1EG4-TE5-MK73", "x1eg4te5mk73y"] {
            assert!(has_mbi(text.as_bytes()), "{text}");
        }
        assert!(!has_mbi(b"1SG4TE5MK73"));
        assert!(!has_mbi(b"0EG4TE5MK73"));
    }

    #[test]
    fn vehicle_numbers_need_their_check_digit() {
        assert!(has_vin(b"1M8GDM9AXKP042788"));
        assert!(!has_vin(b"1M8GDM9A1KP042788"));
        assert!(!has_vin(b"participantjoined"));
    }

    #[test]
    fn addresses_are_found_in_other_text() {
        for text in ["198.51.100.23", "1.2.3.4", "v1.2.3.4", "x-10.0.0.1-y", "1.2.3.4.5"] {
            assert!(has_ipv4(text.as_bytes()), "{text}");
        }
        for text in ["1.2.3", "1.999.3.4", "1..2.3", "a.b.c.d", "application-vnd.ms-word"] {
            assert!(!has_ipv4(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn short_numbers() {
        for text in ["0", "-12", "123456", "0.9554443", "30003"] {
            assert!(is_short_number(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "1234567", "1.", ".5", "1.2.3", "1e5", "+1"] {
            assert!(!is_short_number(text.as_bytes()), "{text}");
        }
    }
}
