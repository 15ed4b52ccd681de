//! Shared data as the host has it: versions, compare-and-swap, no deletion.

use std::cell::RefCell;
use std::collections::HashMap;

use twilio_guard::replay::{Claim, Fingerprint, SharedData, Slot, StoreError};

/// Shared data that counts its keys and bytes.
#[derive(Default)]
pub(crate) struct Shared {
    values: RefCell<HashMap<String, (Vec<u8>, u32)>>,
    versions: RefCell<u32>,
}

impl Shared {
    pub(crate) fn keys(&self) -> usize {
        self.values.borrow().len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.borrow().values().map(|(value, _)| value.len()).sum()
    }

    /// Writes over a key, as a stranger would.
    pub(crate) fn scribble(&self, value: &[u8]) {
        for (own, _) in self.values.borrow_mut().values_mut() {
            *own = value.to_vec();
        }
    }
}

impl SharedData for Shared {
    fn get(&self, key: &str) -> Result<Slot, StoreError> {
        let found = self.values.borrow().get(key).cloned();
        Ok(found.map(|(value, version)| Slot { value: Some(value), version }).unwrap_or_default())
    }

    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
        let mut values = self.values.borrow_mut();
        let current = values.get(key).map(|(_, version)| *version);
        if current != read.value.as_ref().map(|_| read.version) {
            return Ok(false);
        }
        *self.versions.borrow_mut() += 1;
        values.insert(key.to_owned(), (value.to_vec(), *self.versions.borrow()));
        Ok(true)
    }
}

pub(crate) fn fingerprint(number: u64) -> Fingerprint {
    Fingerprint::of("test", &number.to_le_bytes())
}

/// A claim with the default bounds: one delivery, six attempts, ten minutes, a lease of one.
pub(crate) fn claim(number: u64) -> Claim {
    Claim {
        fingerprint: fingerprint(number),
        is_recorded: true,
        window: 600,
        lease: 60,
        max_deliveries: 1,
        max_attempts: 6,
        evicts: false,
        since: None,
    }
}
