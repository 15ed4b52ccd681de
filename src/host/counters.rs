//! Counters in the proxy's stats. Every part of a name comes from a closed set: codes, and names of the configuration.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use super::abi;
use crate::config::Rule;
use crate::guard::Report;

/// The counters of one plugin on one worker; the proxy sums them over workers.
pub(super) struct Counters {
    requests: RefCell<BTreeMap<Verdict, Counter>>,
    keys: RefCell<BTreeMap<String, Counter>>,
    dropped_log_lines: Named,
}

/// A rule, an outcome and a reason.
type Verdict = (usize, &'static str, &'static str);

/// A counter of the host; `None` where the host will not have it, and it is then not asked again.
pub(super) type Counter = Option<u32>;

/// A counter of a fixed name, which the host is asked for when it is first needed.
pub(super) struct Named {
    name: &'static str,
    id: OnceCell<Counter>,
}

impl Named {
    /// The counter of this name.
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, id: OnceCell::new() }
    }

    /// Passes of which a store was not told, be it the one of this process or the shared one.
    pub(super) const fn failed_settlements() -> Self {
        Self::new("twilio_guard_replay_settlements_failed")
    }

    /// Counts one more.
    pub(super) fn increment(&self) {
        self.add(1);
    }

    /// Counts so many more.
    pub(super) fn add(&self, amount: usize) {
        let id = *self.id.get_or_init(|| define(self.name));
        if let (Some(id), Ok(amount @ 1..)) = (id, i64::try_from(amount)) {
            abi::add(id, amount);
        }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: RefCell::default(),
            keys: RefCell::default(),
            dropped_log_lines: Named::new("twilio_guard_log_lines_dropped"),
        }
    }
}

impl Counters {
    /// Forgets which counters belong to which rules, for a new configuration. The counts stay with the host.
    pub(super) fn forget(&self) {
        self.requests.borrow_mut().clear();
    }

    /// Counts a verdict, and the key that signed.
    pub(super) fn count(&self, rule: &Arc<Rule>, report: &Report<'_>) {
        // A rule lives as long as its configuration, so its address is its identity; names need not be compared.
        let identity = Arc::as_ptr(rule).addr();
        let mut requests = self.requests.borrow_mut();
        let id = requests.entry((identity, report.outcome, report.reason_code())).or_insert_with(|| {
            define(&format!(
                "twilio_guard_requests.outcome={}.reason={}.route={}",
                report.outcome,
                report.reason_code(),
                report.route
            ))
        });
        increment(*id);
        let Some(key) = report.verified.map(|verified| verified.key()) else { return };
        let mut keys = self.keys.borrow_mut();
        if let Some(id) = keys.get(key.as_str()) {
            increment(*id);
            return;
        }
        let (label, fingerprint) = key.parts();
        let id = define(&format!("twilio_guard_signatures.key={label}.fingerprint={fingerprint}"));
        increment(id);
        keys.insert(key.as_str().to_owned(), id);
    }

    /// Counts a log line that was not written.
    pub(super) fn count_dropped_log_line(&self) {
        self.dropped_log_lines.increment();
    }
}

/// Defines (or finds) a counter.
pub(super) fn define(name: &str) -> Counter {
    abi::counter(name).ok()
}

/// Counts one more.
pub(super) fn increment(counter: Counter) {
    if let Some(id) = counter {
        abi::add(id, 1);
    }
}
