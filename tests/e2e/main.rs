//! The module in a real Envoy. Each test asserts from outside: the response, what the upstream received, Envoy's
//! statistics and its access log.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;
#[path = "../windows/mod.rs"]
mod windows;

mod operations;
mod replay;
mod schemes;
mod wire;

use support::guarded;
