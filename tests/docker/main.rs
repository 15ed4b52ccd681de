//! `envoy/docker/compose.yaml` in a real Docker: Envoy with the filter twice, the application and Redis, seen from outside;
//! and the module's own image.
//! Where no Docker engine answers, or there is no Compose, one line says that this is skipped.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod file;
mod image;
mod promises;
mod removal;
mod stack;
