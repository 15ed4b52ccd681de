//! Configuration: JSON text or a protobuf Struct -> raw serde structures -> a checked, compiled, immutable [`Plan`].
//!
//! Everything unexpected is refused: an unknown key, a wrong type, a `null`, a secret that is absent or empty, a
//! route that can never match. A refusal is one line that names the path of the fault and the remedy, and it
//! never prints a value, because the value may be a secret put in the wrong place.

mod accounts;
mod base;
mod compile;
mod error;
mod hosts;
mod keys;
mod limits;
mod matcher;
mod mint_keys;
mod overlap;
mod params;
mod plan;
mod profile;
mod raw;
mod redaction;
mod replay;
mod rule_parts;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
mod secret;
mod secret_ref;
mod sendgrid;
mod shape;
mod shared_keys;
mod strict;
mod text;
mod units;

pub use accounts::Account;
pub use error::ConfigError;
pub use hosts::{HostPolicy, PublicUrl, UrlBases};
pub use keys::{Algorithm, Key, KeyName, KeyedMac, MacText};
pub use limits::{Limits, Statuses};
pub use matcher::{Matcher, PathPattern};
pub use mint_keys::MintKey;
pub use params::{ParamShape, RequiredParam};
pub use plan::{Plan, Protection, Rule, TwilioRule};
pub use raw::{Hold, Mode};
pub(crate) use redaction::fold_name;
pub use redaction::{PathTemplate, RedactionPolicy, RewriteHeaders, SidAction};
pub use replay::{
    ColdStart, Dedupe, Eligible, Freshness, Minted, OnError, OnFull, OnReplay, Replay, ReplayStore,
    SharedStore, TimeFormat, TimeSource,
};
#[cfg(not(target_arch = "wasm32"))]
pub use schema::json_schema;
pub use secret::Secret;
pub use sendgrid::{SendgridKey, SendgridKeys, SendgridRule};
pub use shared_keys::SharedKey;

use std::sync::Arc;

use crate::p256::Verifier;

/// What a configuration needs of the host: secrets, from the environment that it gives to the module, and the
/// arithmetic that it does better than the module could.
///
/// A parameter, so that the core has neither of its own.
pub trait Environment {
    /// The value of a variable, or `None` where it is not set.
    fn variable(&self, name: &str) -> Option<Secret>;

    /// Who verifies ECDSA P-256 signatures here, if anybody does.
    fn p256(&self) -> Option<Arc<dyn Verifier>> {
        None
    }
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn variable(&self, name: &str) -> Option<Secret> {
        self(name).map(Secret::from)
    }
}
