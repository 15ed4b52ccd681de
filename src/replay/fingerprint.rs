//! What all copies of one capture have in common.

use std::fmt;

use sha2::{Digest, Sha256};

/// 16 bytes that stand for one signed text under one key.
///
/// Computed from the MAC, never from header text that could be spelled in two ways, and one-way: it is no signature, and does
/// not lead to one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; Self::LENGTH]);

impl Fingerprint {
    /// Its length in bytes.
    pub const LENGTH: usize = 16;

    /// The fingerprint of what a scheme computed over a request.
    #[must_use]
    pub fn of(scheme: &str, computed: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"twilio-guard replay v1\0")
            .chain_update(scheme)
            .chain_update(b"\0")
            .chain_update(computed)
            .finalize();
        let mut bytes = [0; Self::LENGTH];
        bytes.iter_mut().zip(digest).for_each(|(own, byte)| *own = byte);
        Self(bytes)
    }

    /// A fingerprint that a store kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// For a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(..)")
    }
}
