//! Who has to have signed a request.

use std::sync::Arc;

use super::{Scheme, Tried};
use crate::config::{Account, Key, SharedKey};

/// The owner of the keys that may have signed.
pub(super) enum Signer<'a> {
    /// An account, with its auth tokens.
    Account(&'a Account),
    /// The SharedKey that the request names.
    Shared(&'a SharedKey),
}

impl Signer<'_> {
    pub(super) fn keys(&self) -> &[Key] {
        match self {
            Self::Account(account) => &account.keys,
            Self::Shared(shared) => std::slice::from_ref(&shared.key),
        }
    }

    pub(super) const fn account(&self) -> Option<&Arc<str>> {
        match self {
            Self::Account(account) => account.sid.as_ref(),
            Self::Shared(shared) => shared.account.as_ref(),
        }
    }

    pub(super) const fn scheme(&self) -> Scheme {
        match self {
            Self::Account(_) => Scheme::Twilio,
            Self::Shared(_) => Scheme::SharedKey,
        }
    }

    pub(super) fn tried(&self) -> Tried {
        let keys = self.keys().iter().map(|key| Arc::clone(key.name())).collect();
        Tried { account: self.account().cloned(), keys }
    }
}
