//! `envoy/hardened.yaml` does what its comments say, with only addresses and folders replaced. Where a test changes a
//! value beyond that (a small bucket, a short timeout), it does so at a place that the file has to have.
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

mod application;
mod check;
mod floods;
mod hello;
mod logs;
mod requests;
mod shipped;
mod transport;
