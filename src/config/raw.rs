//! The configuration as it is written: serde structures that know keys and types and nothing else.
//!
//! Keys are read by the functions of `shape`, so that a `null`, or a list in place of an object, is a wrong type and not a
//! silent default.

use serde::{Deserialize, Deserializer, de};

use super::replay::{RawReplay, RawRouteReplay};
use super::secret::Secret;
use super::shape::{given, given_object, given_objects, given_word, object, objects, word};
use super::units::{DurationText, Size};

/// Whether a refused request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A refused request is answered here and never reaches the upstream.
    Enforce,
    /// Verdicts are logged, counted and set as filter state; nobody is denied.
    Observe,
}

/// What is kept from the upstream until the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Head and body: the upstream sees no byte of an unverified request.
    Headers,
    /// The body only. The weaker fallback for hosts that cannot set `allow_on_headers_stop_iteration`.
    Body,
}

/// How a route or the default treats a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum Verify {
    Twilio,
    None,
    Deny,
    Sendgrid,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Scheme, host, optional port and path prefix exactly as entered at Twilio.
    pub(super) public_url: RawPublicUrl,
    /// Hosts that a verifying rule accepts; default: the host of public_url.
    #[serde(default, deserialize_with = "given")]
    pub(super) accept_hosts: Option<RawHosts>,
    /// Whose webhooks are accepted.
    #[serde(default, deserialize_with = "given_objects")]
    pub(super) accounts: Option<Vec<RawAccount>>,
    /// For a request that no route matches.
    #[serde(deserialize_with = "word")]
    pub(super) default: Verify,
    /// The first match wins.
    #[serde(default, deserialize_with = "objects")]
    pub(super) routes: Vec<RawRoute>,
    /// Whether a refused request is stopped; default: enforce.
    #[serde(default, deserialize_with = "given_word")]
    pub(super) mode: Option<Mode>,
    /// What is kept from the upstream until the verdict; default: headers.
    #[serde(default, deserialize_with = "given_word")]
    pub(super) hold: Option<Hold>,
    /// Limits of one request.
    #[serde(default, deserialize_with = "given_object")]
    pub(super) limits: Option<RawLimits>,
    /// The HTTP status of each class of refusal, 400 to 599.
    #[serde(default, deserialize_with = "given_object")]
    pub(super) statuses: Option<RawStatuses>,
    /// The header that tells the upstream what was verified; default: x-twilio-guard.
    #[serde(default, deserialize_with = "given")]
    pub(super) verified_header: Option<String>,
    /// Allows secrets as value instead of env.
    #[serde(default)]
    pub(super) allow_inline_secrets: bool,
    /// SharedKeys that a request may name.
    #[serde(default, deserialize_with = "given_objects")]
    pub(super) shared_keys: Option<Vec<RawSharedKey>>,
    /// Public keys of SendGrid's signed webhooks.
    #[serde(default, deserialize_with = "given_objects")]
    pub(super) sendgrid_keys: Option<Vec<RawSecret>>,
    /// How old a request may be, and how often a capture may pass.
    #[serde(default, deserialize_with = "given_object")]
    pub(super) replay: Option<RawReplay>,
    /// Keys by which the application mints callback URLs that end.
    #[serde(default, deserialize_with = "given_objects")]
    pub(super) mint_keys: Option<Vec<RawMintKey>>,
    /// What access logs and traces may show of requests, beyond the policy phi-default-v1.
    #[serde(default, deserialize_with = "given_object")]
    pub(super) redaction: Option<RawRedaction>,
    /// Whether the operator's log says what would have matched a refused signature.
    #[serde(default)]
    pub(super) explain: bool,
    #[serde(default, rename = "egress")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(skip))]
    _egress: Later,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) name: String,
    #[serde(rename = "match", deserialize_with = "object")]
    pub(super) matching: RawMatch,
    #[serde(deserialize_with = "word")]
    pub(super) verify: Verify,
    #[serde(default, deserialize_with = "given")]
    pub(super) profile: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) methods: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) require_params: Option<Vec<RawParam>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) public_url: Option<RawPublicUrl>,
    #[serde(default, deserialize_with = "given")]
    pub(super) accept_hosts: Option<RawHosts>,
    #[serde(default, deserialize_with = "given")]
    pub(super) accounts: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given_word")]
    pub(super) mode: Option<Mode>,
    #[serde(default, deserialize_with = "given_word")]
    pub(super) hold: Option<Hold>,
    #[serde(default, deserialize_with = "given_object")]
    pub(super) limits: Option<RawLimits>,
    #[serde(default, deserialize_with = "given_object")]
    pub(super) statuses: Option<RawStatuses>,
    #[serde(default, deserialize_with = "given_object")]
    pub(super) replay: Option<RawRouteReplay>,
    #[serde(default, deserialize_with = "given_object")]
    pub(super) redaction: Option<RawRedaction>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawMatch {
    #[serde(default, deserialize_with = "given")]
    pub(super) path: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) path_prefix: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) path_template: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) hosts: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) methods: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "not a public URL; write \"https://host\", {\"from\": \"request\"}, or {\"from\": \"forwarded\", \"trusted_peers\": [CIDR, ..]}"
)]
pub(super) enum RawPublicUrl {
    Fixed(String),
    Derived(#[serde(deserialize_with = "object")] RawDerivedUrl),
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawDerivedUrl {
    #[serde(deserialize_with = "word")]
    pub(super) from: RawUrlSource,
    #[serde(default, deserialize_with = "given")]
    pub(super) trusted_peers: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum RawUrlSource {
    Request,
    Forwarded,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "not a host list; write a list of host names, or \"any\"")]
pub(super) enum RawHosts {
    Word(#[serde(deserialize_with = "word")] RawAnyHost),
    List(Vec<String>),
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum RawAnyHost {
    Any,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawAccount {
    #[serde(default, deserialize_with = "given")]
    pub(super) sid: Option<String>,
    #[serde(deserialize_with = "objects")]
    pub(super) auth_tokens: Vec<RawSecret>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSharedKey {
    pub(super) id: String,
    #[serde(deserialize_with = "object")]
    pub(super) secret: RawSecret,
    #[serde(deserialize_with = "word")]
    pub(super) algorithm: super::Algorithm,
    #[serde(default, deserialize_with = "given")]
    pub(super) account: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawMintKey {
    pub(super) id: String,
    #[serde(deserialize_with = "object")]
    pub(super) secret: RawSecret,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    #[serde(default, deserialize_with = "given")]
    pub(super) env: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) value: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    pub(super) label: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "not a parameter; write its name, or {\"name\": \"SequenceNumber\", \"shape\": \"digits\"}"
)]
pub(super) enum RawParam {
    Name(String),
    Shaped(#[serde(deserialize_with = "object")] RawShapedParam),
}

#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawShapedParam {
    pub(super) name: String,
    #[serde(deserialize_with = "word")]
    pub(super) shape: super::params::ParamShape,
}

/// Limits as written at one level; what is absent there comes from the level above.
#[derive(Clone, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    #[serde(default, deserialize_with = "given")]
    pub(super) max_body: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) max_form: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) max_target: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) max_params: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) max_candidates: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) max_hashed_bytes: Option<Size>,
    #[serde(default, deserialize_with = "given")]
    pub(super) body_timeout: Option<DurationText>,
}

/// Statuses as written at one level; what is absent there comes from the level above.
#[derive(Clone, Default, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawStatuses {
    #[serde(default, deserialize_with = "given")]
    pub(super) missing_signature: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) invalid_signature: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) denied: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) stale: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) timeout: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) replayed: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) in_flight: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) too_large: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) method: Option<u16>,
    #[serde(default, deserialize_with = "given")]
    pub(super) undecidable: Option<u16>,
}

/// Redaction as written at one level; what is absent there comes from the level above.
#[derive(Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedaction {
    /// Parameters whose values are shown where they pass the guard.
    #[serde(default, deserialize_with = "given")]
    pub(super) allow_params: Option<Vec<String>>,
    /// Parameters that are left out, name and value.
    #[serde(default, deserialize_with = "given")]
    pub(super) drop_params: Option<Vec<String>>,
    /// Path segments that are steps of a flow, so that what follows is none of a person's identifiers.
    #[serde(default, deserialize_with = "given")]
    pub(super) route_words: Option<Vec<String>>,
    /// Words of path segments after which people are named.
    #[serde(default, deserialize_with = "given")]
    pub(super) sensitive_nouns: Option<Vec<String>>,
    /// What becomes of SIDs of events, but for the account's own; default: keep.
    #[serde(default, deserialize_with = "given_word")]
    pub(super) sid_action: Option<super::SidAction>,
    /// The key of pseudonyms, 32 bytes or more; without it, what would be a pseudonym is masked.
    #[serde(default, deserialize_with = "given_object")]
    pub(super) hash_key: Option<RawSecret>,
    /// Whose user-agent, x-request-id and referer are replaced; default: protected.
    #[serde(default, deserialize_with = "given_word")]
    pub(super) rewrite_headers: Option<super::RewriteHeaders>,
}

/// A key of a later version. Its presence is an error, whatever its value: a setting that has no effect would
/// be a false promise.
#[derive(Default)]
pub(super) struct Later;

impl<'de> Deserialize<'de> for Later {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(de::Error::custom("not available in this version; remove it"))
    }
}
