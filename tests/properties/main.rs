//! What holds for every request, not only for those that somebody thought of.
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

mod accounts;
mod answers;
mod bits;
mod bytes;
mod path_model;
mod path_rules;
mod path_spellings;
mod signing;
