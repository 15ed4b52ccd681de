//! The local replay store, in the shared data of the proxy.

use std::cell::{Cell, OnceCell};

use super::abi::{self, HostError};
use super::counters::{Counter, define, increment};
use super::shared::random_u32;
use crate::config::{Plan, ReplayStore};
use crate::guard::Store;
use crate::replay::{Claim, Geometry, LocalStore, Outcome, Reserved, SharedData, Slot, StoreError, Ticket};

/// The store of one plugin on one worker: what it remembers is in the proxy, for all workers.
pub(super) struct HostStore {
    store: LocalStore,
    longest_window: u64,
    is_warm: Cell<bool>,
    /// Asked of the host once: it never changes.
    born: Cell<Option<u32>>,
    metrics: Metrics,
}

#[derive(Default)]
struct Metrics {
    evictions: OnceCell<Counter>,
    evicted_early: OnceCell<Option<u32>>,
    to_full_protection: OnceCell<Option<u32>>,
    failed_settlements: OnceCell<Counter>,
}

struct Host;

impl SharedData for Host {
    fn get(&self, key: &str) -> Result<Slot, StoreError> {
        match abi::shared_data(key) {
            Ok(Some((value, version))) => Ok(Slot { value: Some(value), version }),
            Ok(None) => Ok(Slot::default()),
            Err(HostError) => Err(StoreError::Unusable),
        }
    }

    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
        let version = read.value.as_ref().map(|_| read.version);
        abi::swap_shared_data(key, version, value).map_err(|HostError| StoreError::Unusable)
    }
}

impl HostStore {
    /// The store that a configuration asks for.
    pub(super) fn new(plan: &Plan) -> Self {
        let ReplayStore { capacity, namespace, .. } = plan.replay_store();
        Self {
            store: LocalStore::new(namespace, Geometry::for_capacity(*capacity)),
            // A capture is remembered one second longer than its window says.
            longest_window: plan.longest_window().map_or(0, |window| window.as_secs().saturating_add(1)),
            is_warm: Cell::new(false),
            born: Cell::new(None),
            metrics: Metrics::default(),
        }
    }

    /// Tells the store what became of a pass.
    pub(super) fn settle(&self, (ticket, outcome): (Ticket, Outcome)) {
        let now = now_seconds().unwrap_or_default();
        if self.store.settle(&Host, &ticket, outcome, now).is_err() {
            // The lease ends the pass, and it then counts as an attempt.
            let failed = &self.metrics.failed_settlements;
            increment(*failed.get_or_init(|| define("twilio_guard_replay_settlements_failed")));
        }
    }

    /// Says how long it takes until the store is older than every window.
    pub(super) fn show_age(&self) {
        if self.is_warm.get() || self.longest_window == 0 {
            return;
        }
        let Ok(now) = now_seconds() else { return };
        let Ok(born) = self.born(now) else { return };
        let age = u64::from(now.saturating_sub(born));
        let left = self.longest_window.saturating_sub(age);
        let gauge = &self.metrics.to_full_protection;
        let name = "twilio_guard_replay_seconds_to_full_protection";
        if let Some(id) = gauge.get_or_init(|| abi::gauge(name).ok()) {
            abi::set_gauge(*id, left);
        }
        self.is_warm.set(left == 0);
    }

    fn show_eviction(&self, seconds_early: u32) {
        let Metrics { evictions, evicted_early, .. } = &self.metrics;
        increment(*evictions.get_or_init(|| define("twilio_guard_replay_evictions")));
        let name = "twilio_guard_replay_seconds_evicted_early";
        if let Some(id) = evicted_early.get_or_init(|| abi::gauge(name).ok()) {
            abi::set_gauge(*id, seconds_early.into());
        }
    }
}

impl Store for HostStore {
    fn reserve(&self, claim: &Claim, now: u32) -> Result<Reserved, StoreError> {
        let reserved = self.store.reserve(&Host, claim, now, random_u32())?;
        if let Some(early) = reserved.evicted {
            self.show_eviction(early);
        }
        Ok(reserved)
    }

    fn born(&self, now: u32) -> Result<u32, StoreError> {
        if let Some(born) = self.born.get() {
            return Ok(born);
        }
        let born = self.store.born(&Host, now)?;
        self.born.set(Some(born));
        Ok(born)
    }
}

/// Seconds since 1970.
fn now_seconds() -> Result<u32, HostError> {
    u32::try_from(abi::now()?.as_secs()).map_err(|_| HostError)
}
