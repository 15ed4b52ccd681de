//! What the requests of one plugin on one worker share.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use uuid::{Builder, Uuid};

use super::abi::{self, Level};
use super::counters::Counters;
use crate::guard::Report;
use crate::limiter::TokenBucket;
use crate::signature::explain::Hint;

/// Lines about refusals: a burst, then a few each second, for each worker.
const LOG_BURST: u32 = 50;
const LOG_INTERVAL: Duration = Duration::from_millis(100);

/// Explanations, which cost hundreds of signatures each: a burst, then one each second, for each worker.
const EXPLAIN_BURST: u32 = 5;
const EXPLAIN_INTERVAL: Duration = Duration::from_secs(1);

/// What the requests of one plugin on one worker share.
pub(super) struct Shared {
    pub(super) counters: Counters,
    /// Whether this host has delivered a body while a head was held.
    pub(super) bodies_follow_held_heads: Cell<bool>,
    log_lines: RefCell<TokenBucket>,
    explanations: RefCell<TokenBucket>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            counters: Counters::default(),
            bodies_follow_held_heads: Cell::new(false),
            log_lines: RefCell::new(TokenBucket::new(LOG_BURST, LOG_INTERVAL)),
            explanations: RefCell::new(TokenBucket::new(EXPLAIN_BURST, EXPLAIN_INTERVAL)),
        }
    }
}

impl Shared {
    /// Writes the line about a refusal, unless there were too many of late.
    ///
    /// `explain`, where there is something to explain, is asked for hints unless there were too many of those.
    pub(super) fn log(
        &self,
        report: &Report<'_>,
        request_id: Uuid,
        explain: Option<impl FnOnce() -> Vec<Hint>>,
    ) {
        let now = abi::now().unwrap_or_default();
        match self.log_lines.borrow_mut().take(now) {
            Some(dropped) => {
                let granted = explain.filter(|_| self.explanations.borrow_mut().take(now).is_some());
                let hints = granted.map(|explain| explain()).unwrap_or_default();
                let line = report.log_line(request_id, dropped, &hints);
                abi::log(Level::Warn, &format!("twilio-guard {line}"));
            }
            None => self.counters.count_dropped_log_line(),
        }
    }
}

/// A random (version 4) request id.
pub(super) fn random_request_id() -> Uuid {
    let mut bytes = [0u8; 16];
    // Without randomness the id is constant: still no request data, and the refusal stands.
    let _ = getrandom::fill(&mut bytes);
    Builder::from_random_bytes(bytes).into_uuid()
}

/// A random number.
pub(super) fn random_u32() -> u32 {
    // Without randomness the number is constant: passes of one capture are then not told apart, and no further one is let through
    // for it.
    getrandom::u32().unwrap_or_default()
}
