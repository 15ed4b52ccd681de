//! Replay windows, natively: the store against a plain model of it, also when workers race, and what a request is judged by.
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

mod admission;
mod capacity;
mod legal;
mod minted;
mod model;
mod races;
mod schedules;
mod shared;
