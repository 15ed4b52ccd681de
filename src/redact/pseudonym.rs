//! Keyed pseudonyms: the same person, the same text, as long as the key is the same (spec phi-redaction, section 2).
//!
//! A safeguard, not de-identification: a code that is derived from what it stands for is still an identifier
//! (45 CFR 164.514(c)). Never without a key: all phone numbers can be tried in seconds.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::decode::trim;
use super::dictionary::Class;
use super::split;

/// `[h:` with 16 hexadecimal digits and `]`.
pub(super) fn pseudonym(key: &Hmac<Sha256>, class: Class, value: &[u8]) -> String {
    let (name, value) = match class {
        Class::Address => ("address", normal_address(value)),
        Class::Id => ("id", trim(value).to_vec()),
    };
    let mac = key.clone().chain_update(b"phi-v1\0").chain_update(name).chain_update(b"\0");
    let digest = mac.chain_update(&value).finalize().into_bytes();
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("[h:{number:016x}]")
}

/// The spelling of an address that all its spellings share.
fn normal_address(value: &[u8]) -> Vec<u8> {
    let value = trim(value).to_ascii_lowercase();
    let rest = without_scheme(&value);
    let is_number = rest.iter().all(|b| b.is_ascii_digit() || b" ().+-".contains(b));
    let digits = || rest.iter().copied().filter(u8::is_ascii_digit).collect();
    if is_number { digits() } else { rest.to_vec() }
}

/// Without one leading `scheme:` (letters, then digits).
fn without_scheme(value: &[u8]) -> &[u8] {
    let (scheme, rest) = split(value, b':');
    let letters = scheme.iter().take_while(|b| b.is_ascii_lowercase()).count();
    let is_scheme = letters > 0 && scheme.iter().skip(letters).all(u8::is_ascii_digit);
    rest.filter(|_| is_scheme).unwrap_or(value)
}
