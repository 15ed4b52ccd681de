//! Keys, kept as HMAC state that already took them in, and the names by which they may be spoken of.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Secret;

/// The public name of a key: what logs, metrics and the verified header may say of it.
///
/// Its text is `label#fingerprint`: the label of the configuration (`[a-z0-9_-]{1,32}`) and the first four hexadecimal
/// digits of the SHA-256 of the key. That is enough to see which key it is during a rotation, and far too little to
/// guess it (spec twilio-signature, section 8, rank 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    pub(super) fn new(label: &str, key: &[u8]) -> Self {
        let fingerprint: String =
            Sha256::digest(key).iter().take(2).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{label}#{fingerprint}"))
    }

    /// `label#fingerprint`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The label and the fingerprint.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('#').unwrap_or((&self.0, ""))
    }
}

/// The MAC algorithms of Twilio's schemes. Which one a key is for is said by the configuration, never by a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// HMAC-SHA1, the algorithm of auth tokens.
    HmacSha1,
    /// HMAC-SHA256.
    HmacSha256,
}

impl Algorithm {
    /// The number of characters of a MAC in base64.
    #[must_use]
    pub const fn signature_length(self) -> usize {
        match self {
            Self::HmacSha1 => 28,
            Self::HmacSha256 => MacText::LONGEST,
        }
    }
}

/// A key of one algorithm. `Debug` shows its name only.
#[derive(Clone)]
pub struct Key {
    name: Arc<KeyName>,
    state: KeyedMac,
}

impl Key {
    /// `None` for a key that the algorithm cannot take (HMAC takes every one).
    pub(super) fn new(label: &str, algorithm: Algorithm, secret: &Secret) -> Option<Self> {
        let secret = secret.reveal().as_bytes();
        let state = match algorithm {
            Algorithm::HmacSha1 => KeyedMac::Sha1(Hmac::new_from_slice(secret).ok()?),
            Algorithm::HmacSha256 => KeyedMac::Sha256(Hmac::new_from_slice(secret).ok()?),
        };
        Some(Self { name: Arc::new(KeyName::new(label, secret)), state })
    }

    /// The public name of this key.
    #[must_use]
    pub const fn name(&self) -> &Arc<KeyName> {
        &self.name
    }

    /// A fresh MAC under this key.
    #[must_use]
    pub fn mac(&self) -> KeyedMac {
        self.state.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// A MAC in the making.
#[derive(Clone)]
pub enum KeyedMac {
    /// HMAC-SHA1.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256.
    Sha256(Hmac<Sha256>),
}

impl KeyedMac {
    /// Takes in a piece of the text.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(piece),
            Self::Sha256(mac) => mac.update(piece),
        }
    }

    /// The MAC itself.
    pub(crate) fn digest(self) -> Vec<u8> {
        match self {
            Self::Sha1(mac) => mac.finalize().into_bytes().to_vec(),
            Self::Sha256(mac) => mac.finalize().into_bytes().to_vec(),
        }
    }

    /// The MAC as base64 text.
    #[must_use]
    pub fn finish(self) -> MacText {
        let mut text = [0; MacText::LONGEST];
        let length = match self {
            Self::Sha1(mac) => STANDARD.encode_slice(mac.finalize().into_bytes(), &mut text),
            Self::Sha256(mac) => STANDARD.encode_slice(mac.finalize().into_bytes(), &mut text),
        };
        // The buffer holds the longest MAC; an impossible failure leaves a text that nothing equals.
        MacText { text, length: length.unwrap_or(0) }
    }
}

impl fmt::Debug for KeyedMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedMac(..)")
    }
}

/// The canonical base64 text of a MAC. It never prints: for a known request it is a valid signature.
#[derive(Clone, Copy)]
pub struct MacText {
    text: [u8; Self::LONGEST],
    length: usize,
}

impl MacText {
    const LONGEST: usize = 44;

    /// Whether this is the given text, compared in constant time. Its length is public.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.length > 0 && self.text.get(..self.length).is_some_and(|own| own.ct_eq(other).into())
    }
}

impl fmt::Debug for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacText(..)")
    }
}

/// Names that become metric labels: a closed, harmless alphabet.
pub(super) fn is_label(text: &str, max_length: usize) -> bool {
    (1..=max_length).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm) -> Key {
        Key::new("current", algorithm, &Secret::from("a1b2c3d4e5f60718293a4b5c6d7e8f90".to_owned()))
            .expect("HMAC takes every key")
    }

    #[test]
    fn a_key_shows_its_name_and_nothing_else() {
        let shown = format!("{:?} {:?}", key(Algorithm::HmacSha1), key(Algorithm::HmacSha256).mac());
        assert!(shown.contains("current") && !shown.contains("a1b2c3d4"), "{shown}");
    }

    #[test]
    fn macs_have_the_length_of_their_algorithm() {
        for algorithm in [Algorithm::HmacSha1, Algorithm::HmacSha256] {
            let text = key(algorithm).mac().finish();
            assert_eq!(text.length, algorithm.signature_length());
            assert!(
                text.matches(&text.text[..text.length])
                    && !text.matches(b"")
                    && !text.matches(&text.text[1..])
            );
        }
    }
}
