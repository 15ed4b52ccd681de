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

use proptest::test_runner::{Config, RngSeed};

/// So many cases, and no file of failures beside the sources: a failure prints its minimal input. The cases are the
/// same in each run, so that a failure is the change's; `PROPTEST_RNG_SEED` gives others.
fn cases(count: u32) -> Config {
    let config = Config { failure_persistence: None, ..Config::with_cases(count) };
    match config.rng_seed {
        RngSeed::Random => Config { rng_seed: RngSeed::Fixed(1), ..config },
        RngSeed::Fixed(_) => config,
    }
}
