//! One replay window for several replicas: real Envoys with the shipped file, and a real Redis.
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

mod attacker;
mod calls;
mod cluster;
mod cold;
mod cost;
mod errors;
mod garbage;
mod hops;
mod keys;
mod leaks;
mod legal;
mod lifecycle;
mod line;
mod login;
mod races;
mod replicas;
mod ring;
mod scene;
mod sentinel;
mod settling;
mod survival;
mod updates;
mod window;
mod wiring;
