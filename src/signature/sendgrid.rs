//! SendGrid's signed Event Webhook and Inbound Parse: ECDSA P-256 over timestamp and raw body.
//!
//! Spec twilio-signature, section 6. The signature covers neither URL nor method nor any other header. The timestamp must be exactly
//! ten digits, else bytes could move between it and the body under the same signature (section 5, attack 18).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Refused, Scheme, Signed, Tried, Verified};
use crate::config::{Limits, SendgridKey, SendgridRule, TimeFormat};
use crate::p256::Signature;
use crate::reject::Reject;
use crate::request::{Occurs, RequestHead, comparable_host};
use crate::times::read_time;

/// A head with one well-formed signature and timestamp; the body decides.
#[derive(Debug)]
pub(super) struct AwaitsBody {
    rule: Arc<SendgridRule>,
    signature: Signature,
    timestamp: [u8; 10],
    limit: usize,
}

impl AwaitsBody {
    /// Reads the head. Cheapest checks first.
    pub(super) fn read(
        rule: &Arc<SendgridRule>,
        limits: &Limits,
        head: &RequestHead<'_>,
    ) -> Result<Self, Reject> {
        if !rule.methods.iter().any(|method| method.as_bytes() == head.method) {
            return Err(Reject::MethodNotAllowed);
        }
        let host = comparable_host(head.authority).ok_or(Reject::HostNotAccepted)?;
        if !rule.hosts.accepts(&host) {
            return Err(Reject::HostNotAccepted);
        }
        if head.is_upgrade() {
            return Err(Reject::UnsignedBody);
        }
        let signature = match head.sendgrid_signature {
            Occurs::Absent | Occurs::Once(b"") => return Err(Reject::MissingSignature),
            Occurs::Repeated => return Err(Reject::RepeatedSignature),
            Occurs::Once(text) => Signature::from_base64(text).ok_or(Reject::MalformedSignature)?,
        };
        let timestamp = head.sendgrid_timestamp.once().filter(|text| text.iter().all(u8::is_ascii_digit));
        let timestamp = timestamp.and_then(|text| text.try_into().ok()).ok_or(Reject::MalformedTimestamp)?;
        if head.declares_more_than(limits.max_body) {
            return Err(Reject::BodyTooLarge);
        }
        Ok(Self { rule: Arc::clone(rule), signature, timestamp, limit: limits.max_body })
    }

    pub(super) fn check_length(&self, length: usize) -> Result<(), Reject> {
        if length > self.limit { Err(Reject::BodyTooLarge) } else { Ok(()) }
    }

    pub(super) fn judge(self, body: &[u8]) -> Result<Verified, Refused> {
        self.check_length(body.len())?;
        let keys = &self.rule.keys;
        for SendgridKey { name, key } in keys.keys() {
            match keys.verifier().verify(key, &self.signature, [&self.timestamp, body]) {
                Ok(true) => {
                    let signed = self.signed(key.der(), body);
                    return Ok(Verified {
                        scheme: Scheme::Sendgrid,
                        account: None,
                        key: Arc::clone(name),
                        signed,
                    });
                }
                Ok(false) => {}
                Err(_) => return Err(Reject::HostError.into()),
            }
        }
        let keys = keys.keys().iter().map(|key| Arc::clone(&key.name)).collect();
        Err(Refused { reject: Reject::Mismatch, tried: Some(Tried { account: None, keys }) })
    }

    /// The signature itself will not do as what all copies share: it has a twin, and can be encoded in two ways. The key belongs to
    /// it, because two webhooks may be sent the same events at the same time.
    fn signed(&self, key: &[u8], body: &[u8]) -> Signed {
        let digest = Sha256::new().chain_update(key).chain_update(self.timestamp).chain_update(body);
        Signed {
            computed: digest.finalize().to_vec(),
            is_event: true,
            times: vec![read_time(TimeFormat::Epoch, &self.timestamp)],
            ..Signed::default()
        }
    }
}
