//! SendGrid: public keys, and what a rule for its webhooks demands.

use std::fmt;
use std::sync::Arc;

use super::keys::is_label;
use super::raw::RawSecret;
use super::secret_ref::read_secret;
use super::{ConfigError, Environment, HostPolicy, KeyName};
use crate::p256::{self, PublicKey, Verifier};

/// A public key of the Event Webhook or Inbound Parse, with its name.
#[derive(Debug, Clone)]
pub struct SendgridKey {
    /// The label of the configuration and the fingerprint of the key's text.
    pub name: Arc<KeyName>,
    /// The key.
    pub key: PublicKey,
}

/// All configured keys, and who verifies with them.
#[derive(Clone)]
pub struct SendgridKeys {
    keys: Vec<SendgridKey>,
    verifier: Arc<dyn Verifier>,
}

impl SendgridKeys {
    /// The keys, in the order in which they are tried. Never empty.
    #[must_use]
    pub fn keys(&self) -> &[SendgridKey] {
        &self.keys
    }

    /// Who verifies.
    #[must_use]
    pub fn verifier(&self) -> &dyn Verifier {
        &*self.verifier
    }
}

impl fmt::Debug for SendgridKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendgridKeys").field(&self.keys).finish()
    }
}

/// What a SendGrid signature has to match. It covers time and body, neither URL nor method.
#[derive(Debug)]
pub struct SendgridRule {
    /// The methods that are let through.
    pub methods: Vec<String>,
    /// The hosts that a request may name.
    pub hosts: HostPolicy,
    /// The keys that may sign.
    pub keys: SendgridKeys,
}

/// Reads the key list, and proves that the host can verify. `None` where there is no list.
pub(super) fn compile(
    raw: Option<&[RawSecret]>,
    environment: &dyn Environment,
) -> Result<Option<SendgridKeys>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    let mut keys: Vec<SendgridKey> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("sendgrid_keys[{index}]");
        let label = raw.label.clone().unwrap_or_else(|| format!("key{index}"));
        if !is_label(&label, 32) || keys.iter().any(|other| other.name.parts().0 == label) {
            return Err(ConfigError::new(
                format!("{path}.label"),
                "not a label, or one that is used twice",
                "use 1 to 32 of a-z, 0-9, - and _",
            ));
        }
        // A public key is no secret: it may stand in the configuration.
        let Some(text) = read_secret(raw, &path, true, environment)? else { continue };
        let key = PublicKey::from_base64(text.reveal()).ok_or_else(|| {
            ConfigError::new(
                path,
                "not a P-256 public key",
                "give the key as SendGrid shows it: base64 of a DER SubjectPublicKeyInfo, without PEM lines",
            )
        })?;
        let name = Arc::new(KeyName::new(&label, text.reveal().as_bytes()));
        keys.push(SendgridKey { name, key });
    }
    if keys.is_empty() {
        return Err(ConfigError::new(
            "sendgrid_keys",
            "no key is available",
            "give at least one key whose environment variable is set",
        ));
    }
    let verifier = environment.p256().filter(|verifier| p256::self_test(&**verifier)).ok_or_else(|| {
        ConfigError::new(
            "sendgrid_keys",
            "this host cannot verify ECDSA P-256 signatures",
            "use an Envoy whose Wasm runtime has the foreign function verify_signature, or remove the keys",
        )
    })?;
    Ok(Some(SendgridKeys { keys, verifier }))
}
