//! Where captures are remembered.

use serde::Deserialize;

use super::raw::RawReplay;
use crate::config::ConfigError;
use crate::config::keys::is_label;
use crate::config::units::Size;

const DEFAULT_CAPACITY: usize = 131_072;

/// The store that all rules of a plugin share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayStore {
    /// Live entries.
    pub capacity: usize,
    /// Filters with equal namespaces (and VM id) share what they remember.
    pub namespace: String,
    /// What a store that is younger than a window lets pass.
    pub cold_start: ColdStart,
}

/// What a store that is younger than a window lets pass. It cannot know what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// Everything that it does not know.
    Allow,
    /// Only what a signed time shows to be younger than the store.
    Strict,
}

pub(in crate::config) fn compile_store(raw: Option<&RawReplay>) -> Result<ReplayStore, ConfigError> {
    let capacity = raw.and_then(|raw| raw.store.as_ref()).and_then(|store| store.local.capacity);
    let capacity = match capacity {
        None => DEFAULT_CAPACITY,
        Some(Size(own)) if (1024..=2_097_152).contains(&own) => own,
        Some(_) => {
            return Err(ConfigError::new(
                "replay.store.local.capacity",
                "out of range",
                "give a number from 1024 to 2097152; an entry takes about 45 bytes",
            ));
        }
    };
    let namespace = raw.and_then(|raw| raw.namespace.as_deref()).unwrap_or("default");
    if !is_label(namespace, 32) {
        return Err(ConfigError::new(
            "replay.namespace",
            "not a namespace",
            "use 1 to 32 of a-z, 0-9, - and _",
        ));
    }
    let cold_start = raw.and_then(|raw| raw.cold_start).unwrap_or(ColdStart::Allow);
    Ok(ReplayStore { capacity, namespace: namespace.to_owned(), cold_start })
}
