//! The `replay` block as it is written.

use serde::Deserialize;

use super::{ColdStart, Eligible, OnError, OnFull, OnReplay, TimeFormat};
use crate::config::raw::RawSecret;
use crate::config::shape::{given, given_object, given_objects, given_word};
use crate::config::units::{DurationText, Size};

/// `replay` of the top level.
#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawReplay {
    /// How old a request may be, where something says when it was made.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) freshness: Option<RawFreshness>,
    /// How often a capture may pass.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) dedupe: Option<RawDedupe>,
    /// Callback URLs that the application made to end.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) minted: Option<RawMinted>,
    /// Where captures are remembered.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) store: Option<RawStore>,
    /// Filters with equal namespaces (and vm_id) share what they remember; default: default.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) namespace: Option<String>,
    /// What a store that is younger than a window lets pass; default: allow.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) cold_start: Option<ColdStart>,
}

/// `replay` of a route.
#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRouteReplay {
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) freshness: Option<RawFreshness>,
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) dedupe: Option<RawDedupe>,
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) minted: Option<RawMinted>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawFreshness {
    /// Older than this is stale; default: 300s.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) max_age: Option<DurationText>,
    /// Further ahead than this is from the future; default: 60s.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) max_skew: Option<DurationText>,
    /// Whether a request without a signed time is refused.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) require: Option<bool>,
    /// Where times are looked for.
    #[serde(default, deserialize_with = "given_objects")]
    pub(in crate::config) sources: Option<Vec<RawTimeSource>>,
}

/// One of `param`, `header` and `body`.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawTimeSource {
    /// A signed parameter.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) param: Option<String>,
    /// A header, which nothing signs: it can only narrow.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) header: Option<String>,
    /// The times in a signed JSON body.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) body: Option<RawBodyTimes>,
    /// How the time is written; default: auto.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) format: Option<TimeFormat>,
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum RawBodyTimes {
    Cloudevents,
}

#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDedupe {
    /// Which requests are counted; default: event_id.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) eligible: Option<Eligible>,
    /// How long a capture is remembered, from its first copy; default: 600s.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) window: Option<DurationText>,
    /// How often a capture may be delivered; default: 1.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) max_deliveries: Option<Size>,
    /// How often it may fail; default: 6, and 100 for SendGrid and Event Streams, which try for hours.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) max_attempts: Option<Size>,
    /// How long a request may be under way; default: 60s.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) lease: Option<DurationText>,
    /// What becomes of a capture that was delivered; default: deny.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) on_replay: Option<OnReplay>,
    /// What happens where there is no room; default: evict_oldest.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) on_full: Option<OnFull>,
}

#[derive(Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawMinted {
    /// Whether a URL that was not minted is refused.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) require: Option<bool>,
    /// Whether the minted part is taken out of the path that the upstream gets.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) strip: Option<bool>,
}

/// One of both at least.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawStore {
    /// In the memory of this proxy; always there, and asked first.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) local: Option<RawLocalStore>,
    /// In a Redis that replicas share.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) redis: Option<RawRedis>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawLocalStore {
    /// Live entries; default: 131072.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) capacity: Option<Size>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawRedis {
    /// The proxy's cluster that the calls go to.
    pub(in crate::config) cluster: String,
    /// How long an answer may take; default: 100ms.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) timeout: Option<DurationText>,
    /// What every key begins with; default: twilio-guard. In braces, Redis Cluster keeps all keys in one slot.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) key_prefix: Option<String>,
    /// The ACL user, where the filter itself signs in and not the proxy's `redis_proxy`.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) username: Option<RawSecret>,
    /// The password, where the filter itself signs in.
    #[serde(default, deserialize_with = "given_object")]
    pub(in crate::config) password: Option<RawSecret>,
    /// The database; default: 0, the only one that works behind `redis_proxy`.
    #[serde(default, deserialize_with = "given")]
    pub(in crate::config) database: Option<u16>,
    /// What becomes of a request that Redis cannot tell anything about; default: deny.
    #[serde(default, deserialize_with = "given_word")]
    pub(in crate::config) on_error: Option<OnError>,
}
