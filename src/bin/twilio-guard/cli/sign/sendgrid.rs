//! SendGrid's signature: ECDSA P-256 over timestamp and raw body.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use zeroize::Zeroizing;

use super::super::input;
use super::super::message::Message;
use super::super::outcome::Failure;

pub(super) const SIGNATURE: &str = "X-Twilio-Email-Event-Webhook-Signature";
pub(super) const TIMESTAMP: &str = "X-Twilio-Email-Event-Webhook-Timestamp";

/// A signature with the time that it covers.
pub(super) struct Signed {
    pub(super) signature: String,
    pub(super) timestamp: String,
}

/// Signs the body with the private key of a file.
pub(super) fn sign(message: &Message, key: &Path, timestamp: Option<&str>) -> Result<Signed, Failure> {
    let key = private_key(key)?;
    let timestamp = match timestamp {
        Some(text) if text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit()) => text.to_owned(),
        Some(_) => {
            return Err(Failure::new("--timestamp is not a time", "give seconds since 1970 as ten digits"));
        }
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| Failure::new("the clock stands before 1970", "set it, or give --timestamp"))?
            .as_secs()
            .to_string(),
    };
    let text = [timestamp.as_bytes(), &message.body].concat();
    let signature: Signature = key.sign(&text);
    Ok(Signed { signature: STANDARD.encode(signature.to_der()), timestamp })
}

/// Reads PEM or base64 of DER, PKCS #8 or SEC 1.
fn private_key(path: &Path) -> Result<SigningKey, Failure> {
    let secret = input::secret_file(path, "--sendgrid-key")?;
    let text = secret.reveal();
    let key = if text.contains("-----BEGIN") {
        SecretKey::from_pkcs8_pem(text).ok().or_else(|| SecretKey::from_sec1_pem(text).ok())
    } else {
        let compact: Zeroizing<String> = Zeroizing::new(text.split_ascii_whitespace().collect());
        let der = STANDARD.decode(compact.as_bytes()).map(Zeroizing::new).ok();
        der.and_then(|der| SecretKey::from_pkcs8_der(&der).or_else(|_| SecretKey::from_sec1_der(&der)).ok())
    };
    key.map(SigningKey::from).ok_or_else(|| {
        Failure::new(
            "the file of --sendgrid-key is not a P-256 private key",
            "give PKCS #8 as PEM or base64 of DER (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)",
        )
    })
}
