//! Keys of minted callback URLs.

use std::fmt;

use super::keys::is_label;
use super::raw::RawMintKey;
use super::secret_ref::read_secret;
use super::{Algorithm, ConfigError, Environment, Key, KeyedMac, Secret};

/// In bytes: whoever has the key decides how long a capture is good for.
const SHORTEST_KEY: usize = 32;

/// A key by which the application mints callback URLs. `Debug` shows its id only.
#[derive(Clone)]
pub struct MintKey {
    id: String,
    key: Key,
}

impl MintKey {
    /// A key with its id. `None` where the id is not 1 to 32 of a-z, 0-9, `-` and `_`, or the secret has fewer than
    /// 32 bytes.
    #[must_use]
    pub fn new(id: &str, secret: &Secret) -> Option<Self> {
        let fits = is_label(id, 32) && secret.reveal().len() >= SHORTEST_KEY;
        let key = Key::new(id, Algorithm::HmacSha256, secret).filter(|_| fits)?;
        Some(Self { id: id.to_owned(), key })
    }

    /// The id that a minted URL names.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A fresh MAC under this key.
    pub(crate) fn mac(&self) -> KeyedMac {
        self.key.mac()
    }
}

impl fmt::Debug for MintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MintKey").field(&self.id).finish()
    }
}

pub(super) fn compile(
    raw: &[RawMintKey],
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<Vec<MintKey>, ConfigError> {
    let mut keys: Vec<MintKey> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("mint_keys[{index}]");
        if !is_label(&raw.id, 32) {
            return Err(ConfigError::new(
                format!("{path}.id"),
                "not a key id",
                "use 1 to 32 of a-z, 0-9, - and _",
            ));
        }
        if keys.iter().any(|other| other.id == raw.id) {
            return Err(ConfigError::new(format!("{path}.id"), "the id is used twice", "keep one of them"));
        }
        let secret = read_secret(&raw.secret, &format!("{path}.secret"), allow_inline, environment)?;
        let Some(secret) = secret else { continue };
        let key = MintKey::new(&raw.id, &secret).ok_or_else(|| {
            ConfigError::new(
                format!("{path}.secret"),
                format!("shorter than {SHORTEST_KEY} bytes"),
                "make one with: openssl rand -hex 32",
            )
        })?;
        keys.push(key);
    }
    Ok(keys)
}
