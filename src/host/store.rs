//! The replay stores of one plugin on one worker: the one of this process, in the shared data of the proxy, and the way to the shared one.

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use super::abi::{self, HostError};
use super::counters::Named;
use super::shared::random_u32;
use super::shared_store::SharedAccess;
use crate::config::{Plan, ReplayStore};
use crate::guard::{Passes, Store};
use crate::replay::{Claim, Geometry, LocalStore, Outcome, Reserved, SharedData, Slot, StoreError};

/// The stores of one plugin on one worker: what they remember is in the proxy, for all workers, and in Redis, for all replicas.
pub(super) struct HostStore {
    store: LocalStore,
    /// Where the configuration has a shared store.
    pub(super) shared: Option<SharedAccess>,
    longest_window: u64,
    is_warm: Cell<bool>,
    /// Asked of the host once: it never changes.
    born: Cell<Option<u32>>,
    metrics: Metrics,
}

struct Metrics {
    evictions: Named,
    evicted_early: OnceCell<Option<u32>>,
    to_full_protection: OnceCell<Option<u32>>,
    failed_settlements: Named,
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
    /// The stores that a configuration asks for. `root` is the plugin's root context, `tick` the period of its clock.
    pub(super) fn new(plan: &Plan, root: u32, tick: Duration) -> Self {
        let ReplayStore { capacity, namespace, shared, .. } = plan.replay_store();
        Self {
            store: LocalStore::new(namespace, Geometry::for_capacity(*capacity)),
            shared: shared.as_ref().map(|shared| SharedAccess::new(root, shared, tick)),
            // A capture is remembered one second longer than its window says.
            longest_window: plan.longest_window().map_or(0, |window| window.as_secs().saturating_add(1)),
            is_warm: Cell::new(false),
            born: Cell::new(None),
            metrics: Metrics {
                evictions: Named::new("twilio_guard_replay_evictions"),
                evicted_early: OnceCell::new(),
                to_full_protection: OnceCell::new(),
                failed_settlements: Named::failed_settlements(),
            },
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
        evictions.increment();
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

    fn settle(&self, passes: Passes, outcome: Outcome) {
        if let Some(ticket) = passes.local
            && self.store.settle(&Host, &ticket, outcome, now_seconds().unwrap_or_default()).is_err()
        {
            // The lease ends the pass, and it then counts as an attempt.
            self.metrics.failed_settlements.increment();
        }
        if let (Some(shared), Some(ticket)) = (&self.shared, passes.shared) {
            shared.settle(ticket, outcome);
        }
    }
}

/// Seconds since 1970.
fn now_seconds() -> Result<u32, HostError> {
    u32::try_from(abi::now()?.as_secs()).map_err(|_| HostError)
}
