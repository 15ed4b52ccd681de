//! What an operator relies on: configuration and its updates, rules, accounts, modes, answers, logs and statistics.

mod accounts;
mod ambiguity;
mod answers;
mod hold_body;
mod instances;
mod log_lines;
mod log_view;
mod observe;
mod parallel;
mod params;
mod public_url;
mod redirects;
pub(crate) mod refusals;
mod rules;
mod secrets;
pub(crate) mod start_up;
mod stats;
mod updates;
mod verified_header;

use std::collections::BTreeMap;

use crate::support::Result;
use crate::support::envoy::Envoy;
use crate::support::scenarios::MESSAGE;
use crate::support::sign::body_sha256;

/// The filter's counters, by their names without the prefix.
pub(crate) async fn counters(envoy: &Envoy) -> Result<BTreeMap<String, u64>> {
    const PREFIX: &str = "wasmcustom.";
    let stats = envoy.stats_matching(PREFIX).await?;
    let stats = stats.into_iter().map(|(name, value)| (name.replacen(PREFIX, "", 1), value));
    // The store's are for its own tests.
    Ok(stats.filter(|(name, _)| !name.starts_with("twilio_guard_replay_")).collect())
}

/// The name of the counter of a verdict.
pub(crate) fn requests(outcome: &str, reason: &str, route: &str) -> String {
    format!("twilio_guard_requests.outcome={outcome}.reason={reason}.route={route}")
}

/// What the filter tells of a token: the first four digits of its SHA-256.
pub(crate) fn fingerprint(token: &str) -> String {
    body_sha256(token.as_bytes()).chars().take(4).collect()
}

/// The usual message from another account.
fn message_of(sid: &str) -> Vec<(&'static str, &str)> {
    MESSAGE.iter().map(|&(name, value)| (name, if name == "AccountSid" { sid } else { value })).collect()
}
