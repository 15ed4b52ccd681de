//! The second net, under the name rule: which values of kept names are written (spec phi-redaction, section 4.4).

use super::{shapes, split};

/// Whether a decoded value of a kept name may be written. `key` is the folded name.
pub(super) fn passes(key: &str, value: &[u8]) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    if key == "apiversion" {
        return is_api_version(value);
    }
    if stem.ends_with("sid") {
        return shapes::is_sid_in_any_case(value);
    }
    if is_region(key) {
        return (2..=3).contains(&value.len()) && value.iter().all(u8::is_ascii_alphabetic);
    }
    if (stem.ends_with("contenttype") || key == "payloadtype") && is_content_type(value) {
        return true;
    }
    let is_plain = (1..=64).contains(&value.len())
        && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !is_plain {
        return false;
    }
    if shapes::is_sid_in_any_case(value) || shapes::is_uuid(value) || shapes::is_short_number(value) {
        return true;
    }
    let identifies = shapes::digits(value) >= 7
        || value.starts_with(b"eyJ")
        || shapes::has_ipv4(value)
        || shapes::has_mbi(value)
        || shapes::has_vin(value)
        || shapes::has_token(value);
    !identifies
}

/// Whether a text is a version of Twilio's API.
pub(super) fn is_api_version(text: &[u8]) -> bool {
    matches!(text, b"2010-04-01" | b"2008-08-01")
}

/// Whether a name is the state or country of a number. Smaller areas are identifiers (45 CFR 164.514(b)(2)(i)(B)).
fn is_region(key: &str) -> bool {
    let party = key.strip_suffix("state").or_else(|| key.strip_suffix("country"));
    matches!(party, Some("from" | "to" | "caller" | "called" | "calledvia"))
}

/// `[a-z]{1,20}/[A-Za-z0-9.+-]{1,60}` with fewer than seven digits.
fn is_content_type(value: &[u8]) -> bool {
    let (kind, subtype) = split(value, b'/');
    let subtype = subtype.unwrap_or_default();
    (1..=20).contains(&kind.len())
        && kind.iter().all(u8::is_ascii_lowercase)
        && (1..=60).contains(&subtype.len())
        && subtype.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))
        && shapes::digits(value) < 7
}
