//! The only module that knows the proxy.
//!
//! The SDK dispatches callbacks to contexts. Everything asked of the host goes through [`abi`], whose calls return a status,
//! because the SDK's own getters panic on an unexpected status or on bytes that are not UTF-8, and a panic kills
//! the worker's VM (envoy-facts 9).

mod abi;
mod calls;
mod counters;
mod ecdsa;
mod header_map;
mod held;
mod root;
mod shared;
mod shared_store;
mod shown;
mod store;
mod stream;
