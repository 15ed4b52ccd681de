//! SendGrid's side of a signed webhook: an independent signer, for tests and the demo.
//!
//! ECDSA P-256 over the SHA-256 of timestamp and body, as SendGrid describes it. Nothing of the library under test is
//! called.

use super::http::Request;
use super::sign;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePublicKey;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The header that carries the signature.
pub const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";

/// The header that carries the signed time.
pub const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";

/// When the tests and the demo sign: when they began.
pub static TIME: LazyLock<String> = LazyLock::new(|| sign::now().to_string());

/// The private key of the tests and the demo: made up and public, so it must never be configured anywhere else.
const KEY: [u8; 32] = *b"twilio-guard: test key, not safe";

/// A second one.
const OTHER_KEY: [u8; 32] = *b"twilio-guard: another test key..";

/// A sender of events that has a private key.
#[derive(Clone, Debug)]
pub struct Sendgrid(SigningKey);

impl Sendgrid {
    /// The genuine sender.
    pub fn genuine() -> Self {
        Self::new(&KEY)
    }

    /// A sender with another key.
    pub fn stranger() -> Self {
        Self::new(&OTHER_KEY)
    }

    fn new(scalar: &[u8; 32]) -> Self {
        Self(SigningKey::from_slice(scalar).expect("a number below the order"))
    }

    /// The public key as SendGrid shows it.
    pub fn public_key(&self) -> String {
        public_key(self.0.verifying_key())
    }

    /// The signature over a time and a body.
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> Signature {
        let hash = Sha256::new().chain_update(timestamp).chain_update(body).finalize();
        self.0.sign_prehash(&hash).expect("a hash of the right length")
    }

    /// A signed post, of events or of an inbound mail.
    pub fn post(&self, target: &str, content_type: &str, body: impl Into<Bytes>) -> Request {
        self.post_at(&TIME, target, content_type, body)
    }

    /// The same, signed at another time.
    pub fn post_at(&self, time: &str, target: &str, content_type: &str, body: impl Into<Bytes>) -> Request {
        let body = body.into();
        let signature = encode(&self.sign(time, &body));
        Request::post(target, content_type, body).header(SIGNATURE, signature).header(TIMESTAMP, time)
    }

    /// A signed post of events.
    pub fn events(&self, target: &str, body: impl Into<Bytes>) -> Request {
        self.post(target, "application/json;charset=utf-8", body)
    }
}

/// Base64 of the DER of a public key.
pub fn public_key(key: &VerifyingKey) -> String {
    STANDARD.encode(key.to_public_key_der().expect("a point that is not at infinity"))
}

/// A signature as the header carries it: base64 of its DER.
pub fn encode(signature: &Signature) -> String {
    STANDARD.encode(signature.to_der())
}
