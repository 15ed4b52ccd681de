//! The harness that proves the module in a real Envoy.
//!
//! A test starts an [`upstream::Upstream`] (what the application would be), an [`envoy::Envoy`] built from an
//! [`config::EnvoyConfig`], and speaks to it with [`client`] (well-formed HTTP/1.1 and HTTP/2), [`raw`] (HTTP/1.1
//! bytes under the test's control) or [`hostile`] (HTTP/2 fields that no library would send). What is asserted is
//! seen from outside: the response, what the upstream received, Envoy's statistics and its access log.
//!
//! Servers bind 127.0.0.1 on free ports and stop when their value is dropped. Nothing sleeps to synchronise: what
//! takes time is polled with [`eventually`], under a deadline.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test, and each test crate uses a part of the harness only"
)]

pub mod access_log;
pub mod binary;
pub mod client;
pub mod config;
pub mod container;
pub mod envoy;
pub mod guarded;
pub mod hardened;
pub mod hostile;
pub mod http;
pub mod image;
pub mod install;
pub mod listener;
pub mod module;
pub mod pages;
pub mod process;
pub mod quickstart;
pub mod raw;
pub mod redis;
pub mod redis_cluster;
pub mod replay_redis;
pub mod runner;
pub mod scenarios;
pub mod scenes;
pub mod sendgrid;
pub mod sign;
pub mod since;
pub mod tls;
pub mod upstream;

use std::time::Duration;

/// Whatever went wrong in the harness, as one line for a person.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of a harness operation.
pub type Result<T> = std::result::Result<T, Error>;

/// The deadline of every wait and every exchange: generous, because a loaded machine is slow, yet finite, because
/// a hung request is a finding that has to be reported.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Polls `check` until it yields a value; fails with `what` once the deadline has passed.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let poll = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within(what, async { Ok(poll.await) }).await
}

/// Runs one exchange under the deadline.
pub async fn within<T>(what: &str, exchange: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(DEADLINE, exchange).await {
        Ok(result) => result,
        Err(_) => Err(format!("gave up after {DEADLINE:?} waiting for: {what}").into()),
    }
}

/// The project's root directory.
pub fn project_root() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
