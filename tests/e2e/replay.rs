//! Replay windows in a real Envoy: how often the application sees a capture, and what legal traffic gets.

mod attacker;
mod attacker_races;
mod attacker_survival;
mod cost;
mod legal;
mod lifecycle;
mod minted;
mod operations;
mod scene;
mod soak;

use crate::windows::replaying;
