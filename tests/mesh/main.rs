//! The mesh YAML under `envoy/`: every document is executed, not only parsed.
//!
//! No Kubernetes and no control plane runs here. [`cluster`] does what a kubelet does with Secrets and volumes, [`istiod`] and
//! [`envoy_gateway`] do what the control planes do with their resources, as their source has it; what they make of the
//! examples is loaded into a real Envoy, and webhooks are sent through. What the documents say is also checked
//! against the schemas of their kinds ([`crds`]).
//!
//! A further example is a file in one of `examples::FOLDERS`, and a test that loads it beside the files that it needs; a further
//! kind is a row in `examples::KINDS` too.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod documents;
mod envoy_filter;
mod envoy_gateway;
mod istiod;
mod patches;
mod virtual_services;
mod webhooks;

mod crds;
mod examples;
mod gateway;
mod portable;
mod public_url;
mod redis;
mod running;
mod secrets;
mod strict;
