//! Replay windows: how old a request may be, and how often its capture may pass (DESIGN section 6).

mod compile;
mod raw;
mod store;

pub(super) use compile::{Levels, compile_replay};
pub(super) use raw::{RawReplay, RawRouteReplay};
pub(super) use store::compile_store;
pub use store::{ColdStart, OnError, ReplayStore, SharedStore};

use std::time::Duration;

use serde::Deserialize;

/// What a rule demands of the time and the number of a request's copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// How old a request may be.
    pub freshness: Freshness,
    /// How often a capture may pass.
    pub dedupe: Dedupe,
    /// What is demanded of minted URLs.
    pub minted: Minted,
}

/// How old a request may be, where something says when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshness {
    /// Older is stale.
    pub max_age: Duration,
    /// Further ahead is from the future.
    pub max_skew: Duration,
    /// Whether a request without a signed time is refused.
    pub require: bool,
    /// Signed parameters that are times.
    pub params: Vec<TimeSource>,
    /// Headers that are times. Nothing signs them: they can only narrow.
    pub headers: Vec<TimeSource>,
    /// Whether the body is CloudEvents, each with its time.
    pub cloudevents: bool,
}

/// A parameter or header that is a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSource {
    /// Its name; that of a header in lower case.
    pub name: String,
    /// How it is written.
    pub format: TimeFormat,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TimeFormat {
    /// Any of the others.
    #[default]
    Auto,
    /// Ten digits: seconds since 1970.
    Epoch,
    /// Thirteen digits: milliseconds since 1970.
    EpochMs,
    /// `Sun, 22 Nov 2026 10:00:00 +0000`.
    Rfc2822,
    /// `2026-11-22T10:00:00Z`.
    Rfc3339,
}

/// How often a capture may pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dedupe {
    /// Which requests are counted.
    pub eligible: Eligible,
    /// How long a capture is remembered, from its first copy.
    pub window: Duration,
    /// How often it may be delivered.
    pub max_deliveries: u8,
    /// How often it may fail.
    pub max_attempts: u8,
    /// How long a request may be under way before it counts as an attempt.
    pub lease: Duration,
    /// What becomes of a capture that was delivered.
    pub on_replay: OnReplay,
    /// What happens where there is no room.
    pub on_full: OnFull,
}

/// Which requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Eligible {
    /// Those that identify one event.
    EventId,
    /// All.
    Always,
    /// None.
    None,
}

/// What becomes of a capture that was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnReplay {
    /// It is refused.
    Deny,
    /// It is answered 200 with an empty TwiML response, so that the sender is content.
    Acknowledge,
    /// It passes, marked `replay=repeated`.
    Flag,
}

/// What happens where the store has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// The capture that came first is forgotten now.
    EvictOldest,
    /// The request is refused.
    Deny,
}

/// What is demanded of minted URLs. Those that come are always checked, where there are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minted {
    /// Whether a URL that was not minted is refused.
    pub require: bool,
    /// Whether the minted part is taken out of the path that the upstream gets.
    pub strip: bool,
}
