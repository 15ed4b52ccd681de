//! Replay windows: a captured webhook is bounded in time where something signed says when, and in count where it identifies one
//! event (DESIGN section 6).
//!
//! Twilio's signature has no time and no nonce, so both bounds come from what is signed: times and ids among the
//! parameters, and the signature itself, which is the same for every copy of a capture. Nothing that is not signed can
//! widen a bound.

mod bucket;
mod entry;
mod fingerprint;
mod freshness;
mod local;
mod mint;
mod redis;

pub use entry::{Claim, Entry, Outcome, Repetition, Reservation, Ticket};
pub use fingerprint::Fingerprint;
pub use freshness::{check_freshness, event_times};
pub use local::{Geometry, LocalStore, Reserved, SharedData, Slot, StoreError};
pub use mint::{check_minted, mint, strip_minted};
pub use redis::{Batch, Login, RedisStore, Settlements, SharedError, Told};
