//! Replay windows: the stores against a plain model of them, also when workers race, and what a request is judged by. Native, but for the
//! scripts, which run in a real Redis.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../core_support/mod.rs"]
mod core_support;
#[path = "../support/mod.rs"]
mod support;

mod admission;
mod asking;
mod capacity;
mod legal;
mod minted;
mod model;
mod races;
mod replicas;
mod resp;
mod schedules;
mod scripted;
mod scripts;
mod shared;
