//! ECDSA over P-256 with SHA-256: the encodings, checked strictly here, and the arithmetic, done by whoever can.
//!
//! In the proxy the host verifies (its foreign function takes 40 us where the same in wasm takes 640 us, envoy-facts 12);
//! natively a crate does. Libraries differ in how lenient they are about encodings (spec twilio-signature, section 6),
//! so nothing reaches them that is not canonical.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Verifies one ECDSA P-256 signature over the SHA-256 of a message.
pub trait Verifier: Send + Sync {
    /// Whether `signature` is one by `key` over the concatenation of `message`.
    ///
    /// # Errors
    /// The verifier could not do its work; that says nothing about the signature.
    fn verify(
        &self,
        key: &PublicKey,
        signature: &Signature,
        message: [&[u8]; 2],
    ) -> Result<bool, Unavailable>;
}

/// The verifier could not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// What precedes the 64 bytes of the point in the DER SubjectPublicKeyInfo of an uncompressed P-256 key (RFC 5480):
/// the algorithm id-ecPublicKey with the named curve secp256r1, the bit string and the point's form.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// The order of the curve's group (FIPS 186-4, D.1.2.3), big endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// An uncompressed P-256 public key as DER SubjectPublicKeyInfo. Whether the point is on the curve is for the verifier to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads canonical base64 of the DER, as SendGrid shows it; no PEM armour, no other curve.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let der = STANDARD.decode(text).ok()?;
        (der.len() == SPKI_PREFIX.len() + 64 && der.starts_with(&SPKI_PREFIX)).then_some(Self(der))
    }

    /// The DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

/// A signature as strict DER: two minimal, positive integers in the range from 1 to the order less one, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// Reads canonical base64 of strict DER.
    #[must_use]
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        Self::from_der(&STANDARD.decode(text).ok()?)
    }

    /// Reads strict DER.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (content, rest) = element(0x30, der)?;
        let (r, content) = element(0x02, content)?;
        let (s, content) = element(0x02, content)?;
        let is_canonical = rest.is_empty() && content.is_empty() && is_scalar(r) && is_scalar(s);
        is_canonical.then(|| Self(der.to_vec()))
    }

    /// The DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

/// Splits off an element with a short-form length; every part of a P-256 signature is shorter than 128 bytes.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    match der {
        [first, length @ 0..=127, rest @ ..] if *first == tag => rest.split_at_checked(usize::from(*length)),
        _ => None,
    }
}

/// Whether the content of a DER integer is minimal, positive, not zero and below the order.
fn is_scalar(integer: &[u8]) -> bool {
    let magnitude = match integer {
        [0, rest @ ..] if rest.first().is_some_and(|&first| first >= 0x80) => rest,
        [1..=0x7f, ..] => integer,
        _ => return false,
    };
    // Without a leading zero a shorter number is smaller, and equal lengths compare as text.
    magnitude.len() < ORDER.len() || (magnitude.len() == ORDER.len() && magnitude < ORDER.as_slice())
}

/// Whether a verifier accepts a known good signature and refuses the same over another message: proof that it does this
/// work at all, and is no rubber stamp.
#[must_use]
pub fn self_test(verifier: &dyn Verifier) -> bool {
    let key = PublicKey::from_base64(
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvY7FM3D98pf61k0hNUz7ft2iNitmWrYRRUzuwBMcpaIo3K5hSNKZvdwHiVNAoWFtUATCMOXdNFHvYYGqyudOZw==",
    );
    let signature = Signature::from_base64(
        b"MEQCIC8tXezukqgNeQU/kHmsmcgSlHB/leFufFyTGsiflmi/AiB6qyft8VnFMNrHT17htPwLa4MClvISmct/FEc6RcdR9Q==",
    );
    let (Some(key), Some(signature)) = (key, signature) else { return false };
    let body = b"[{\"email\":\"user5550100@example.com\",\"event\":\"delivered\",\"timestamp\":1700555010,\"smtp-id\":\"<x@example.com>\",\"sg_event_id\":\"abc\",\"sg_message_id\":\"def\"}]\r\n";
    verifier.verify(&key, &signature, [b"1700555010", body]) == Ok(true)
        && verifier.verify(&key, &signature, [b"1700555011", body]) == Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
        let integer = |bytes: &[u8]| [&[0x02, u8::try_from(bytes.len()).unwrap()], bytes].concat();
        let content = [integer(r), integer(s)].concat();
        [&[0x30, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    }

    #[test]
    fn integers_are_minimal_and_in_range() {
        let order_less_one = [&[0][..], &ORDER[..31], &[0x50]].concat();
        let order = [&[0][..], &ORDER].concat();
        for good in [&[1][..], &[0x7f], &[0, 0x80], &[0x7f; 32], &order_less_one] {
            assert!(Signature::from_der(&der(good, &[1])).is_some(), "{good:x?}");
            assert!(Signature::from_der(&der(&[1], good)).is_some(), "{good:x?}");
        }
        for bad in [
            &[][..],
            &[0],
            &[0, 1],
            &[0x80],
            &[0, 0, 0x80],
            &order,
            &[0x7f; 33],
            &[0, 0xff, 0xff],
            &[0xff; 33],
        ] {
            let accepted = Signature::from_der(&der(bad, &[1])).is_some();
            assert_eq!(accepted, bad == [0, 0xff, 0xff], "{bad:x?}");
        }
    }

    #[test]
    fn nothing_may_follow_or_be_missing() {
        let good = der(&[1], &[2]);
        assert!(Signature::from_der(&good).is_some());
        for length in 0..good.len() {
            assert!(Signature::from_der(&good[..length]).is_none());
        }
        assert!(Signature::from_der(&[good.as_slice(), &[0]].concat()).is_none());
        let long_form = [&[0x30, 0x81], &good[1..]].concat();
        assert!(Signature::from_der(&long_form).is_none());
    }
}
