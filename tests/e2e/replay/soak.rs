//! Requests at a steady rate over many windows: the store forgets as it remembers, and memory stays as it is.
//!
//! The short form runs with the other tests; `make soak` runs the long one. `SOAK_WINDOWS` and `SOAK_RATE` change it.
#![allow(clippy::print_stdout, reason = "the long form is run for its figures")]

use serde_json::json;

use super::replaying;
use crate::support::Result;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::module;
use crate::support::runner::Runner;
use crate::support::upstream::Upstream;
use crate::windows::legal::sustain;
use crate::windows::site::Site;

const WINDOW: u32 = 5;

/// What Envoy's memory may grow by after the second window, in KiB: buffers of connections and statistics, not entries.
/// The entries of the long form alone would be over 5 MiB, were they kept.
const TOLERANCE: u64 = 3 << 10;

#[tokio::test]
async fn memory_is_flat_over_three_windows() -> Result<()> {
    soak(3, 150).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn memory_is_flat_over_many_windows() -> Result<()> {
    let number = |name: &str, default| std::env::var(name).map_or(Ok(default), |text| text.parse());
    soak(number("SOAK_WINDOWS", 24)?, number("SOAK_RATE", 400)?).await
}

async fn soak(windows: u32, rate: u32) -> Result<()> {
    // What the start-up line promises: a window's requests, and those of the second for which it lasts longer.
    let capacity = (rate * (WINDOW + 1)).max(1024);
    let mut plugin = replaying(json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
    ]));
    plugin["replay"] = json!({
        "dedupe": {"window": format!("{WINDOW}s"), "lease": format!("{WINDOW}s")},
        "store": {"local": {"capacity": capacity}},
    });
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &plugin);
    // It is Envoy's memory that is read, not func-e's.
    let config = EnvoyConfig::new(upstream.address()).filter(filter).concurrency(2).runner(Runner::Envoy);
    let site = Site::of_proxies(upstream, vec![Envoy::start(&config).await?], None);
    let envoy = &site.envoys[0];
    let mut resident = vec![envoy.resident_kib()?];
    for _ in 0..windows {
        sustain(&site, rate, WINDOW).await?;
        resident.push(envoy.resident_kib()?);
    }
    let evictions = envoy.stat("wasmcustom.twilio_guard_replay_evictions").await?;
    println!("{rate}/s, {windows} windows of {WINDOW} s, capacity {capacity}: KiB resident {resident:?}");
    assert_eq!(evictions, 0);
    let (settled, last) = (resident[2], resident[resident.len() - 1]);
    assert!(last <= settled + TOLERANCE, "{resident:?}");
    site.assert_alive().await
}
