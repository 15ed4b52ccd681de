//! In what the supported versions of Envoy differ, as far as a promise depends on it: the first minor version that was seen to
//! do something. 1.38 was not run. A test that meets a difference asserts what its version does.

/// Builds a new VM where only the variables that a configuration sets have changed.
pub const NEW_VM_FOR_VARIABLES: u32 = 39;

/// Passes on what arrives after a filter let a request go by the clock.
pub const LATE_BODIES: u32 = 39;

/// Knows `allow_paths` of the admin interface, and `value` of a span's tag.
pub const HARDENED_FILE: u32 = 37;

/// Has a `redis_proxy` that survives what is no Redis behind it.
pub const SOUND_REDIS_PROXY: u32 = 40;
