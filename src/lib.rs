//! A proxy-wasm HTTP filter that stands between Twilio and an application, inside Envoy.
//!
//! It verifies that a webhook was signed by Twilio over the very bytes that the proxy received, and lets
//! nothing of an unverified request reach the upstream. Of every request, verified or not, the proxy's access logs get to see what is
//! no personal data.
//!
//! The modules form one direction of knowledge: `host -> guard -> {signature, redact, replay, route} -> {request, config}`.
//! All but `host` are pure: time, randomness, environment and the proxy come in as parameters, so every rule
//! can be tested natively. `host` is the only module that names the proxy, and it exists on wasm alone.

pub mod config;
mod event;
pub mod guard;
pub mod headers;
pub mod limiter;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod p256;
pub mod path;
mod percent;
pub mod redact;
pub mod reject;
pub mod replay;
pub mod request;
pub mod route;
pub mod signature;
mod times;

#[cfg(target_arch = "wasm32")]
mod host;
