//! SharedKeys of Twilio's webhook configuration: secrets that a request names by id (spec twilio-signature, section 3.5).

use std::sync::Arc;

use super::accounts::is_account_sid;
use super::raw::RawSharedKey;
use super::secret_ref::read_secret;
use super::{Account, Algorithm, ConfigError, Environment, Key};

/// A SharedKey. The request names its id; the algorithm is the configuration's, because the header that names both is
/// not signed.
#[derive(Debug)]
pub struct SharedKey {
    /// The id as Twilio shows it.
    pub id: String,
    /// The algorithm it was made for.
    pub algorithm: Algorithm,
    /// The account that every signed `AccountSid` must name.
    pub account: Option<Arc<str>>,
    /// The key itself.
    pub key: Key,
}

/// Reads the list of SharedKeys. A key without `account` belongs to the only account there is.
pub(super) fn compile(
    raw: &[RawSharedKey],
    accounts: &[Arc<Account>],
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<Vec<Arc<SharedKey>>, ConfigError> {
    let mut keys: Vec<Arc<SharedKey>> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("shared_keys[{index}]");
        if !is_key_id(&raw.id) {
            return Err(ConfigError::new(
                format!("{path}.id"),
                "not a key id",
                "give the id as Twilio shows it: 1 to 64 letters, digits, - and _",
            ));
        }
        if keys.iter().any(|other| other.id == raw.id) {
            return Err(ConfigError::new(format!("{path}.id"), "the id is used twice", "keep one of them"));
        }
        let account = match (&raw.account, accounts) {
            (Some(sid), _) if is_account_sid(sid) => Some(Arc::from(sid.as_str())),
            (Some(_), _) => {
                return Err(ConfigError::new(
                    format!("{path}.account"),
                    "not an account SID",
                    "give AC and 32 hexadecimal digits",
                ));
            }
            (None, [only]) => only.sid.clone(),
            (None, []) => None,
            (None, _) => {
                return Err(ConfigError::new(
                    format!("{path}.account"),
                    "with several accounts each key must be bound to its account",
                    "add the account's SID",
                ));
            }
        };
        let secret = read_secret(&raw.secret, &format!("{path}.secret"), allow_inline, environment)?;
        let label = raw.secret.label.as_deref().unwrap_or(&raw.id);
        let key = secret.and_then(|secret| Key::new(label, raw.algorithm, &secret));
        if let Some(key) = key {
            keys.push(Arc::new(SharedKey { id: raw.id.clone(), algorithm: raw.algorithm, account, key }));
        }
    }
    Ok(keys)
}

fn is_key_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}
