//! The requests that wait for their bodies or for the shared store, and the clock that ends their wait.
//!
//! The clock is the tick of the root context: counting ticks costs nothing for a request, reading the time would cost
//! a call.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The most that waiting requests may keep on one worker: a memory of 1 GiB is all that a VM has, and it dies without.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What a waiting request costs beside the bytes that it keeps: contexts, maps, and the allocator's share.
const OVERHEAD: usize = 2048;

/// Waiting requests by context id.
pub(super) struct Held<T> {
    tick: Cell<u64>,
    period: Cell<Duration>,
    bytes: Cell<usize>,
    waiting: RefCell<BTreeMap<u32, Waiting<T>>>,
}

struct Waiting<T> {
    deadline: u64,
    bytes: usize,
    stream: Rc<RefCell<T>>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self {
            tick: Cell::default(),
            period: Cell::default(),
            bytes: Cell::default(),
            waiting: RefCell::default(),
        }
    }
}

impl<T> Held<T> {
    /// How long one tick lasts.
    pub(super) fn set_period(&self, period: Duration) {
        self.period.set(period);
    }

    /// Whether a request that keeps `weight` bytes can wait.
    pub(super) fn has_room(&self, weight: usize) -> bool {
        self.bytes.get().saturating_add(weight).saturating_add(OVERHEAD) <= MOST_BYTES
    }

    /// Starts the wait of a request, instead of any before. It ends not before `timeout` and at most two ticks later.
    pub(super) fn insert(&self, id: u32, timeout: Duration, weight: usize, stream: Rc<RefCell<T>>) {
        let ticks = timeout.as_nanos().div_ceil(self.period.get().as_nanos().max(1));
        let ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        let deadline = self.tick.get().saturating_add(ticks).saturating_add(1);
        let bytes = weight.saturating_add(OVERHEAD);
        self.take(id);
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        self.waiting.borrow_mut().insert(id, Waiting { deadline, bytes, stream });
    }

    /// Ends the wait of a request, whether or not it waits.
    pub(super) fn remove(&self, id: u32) {
        self.take(id);
    }

    fn take(&self, id: u32) -> Option<Rc<RefCell<T>>> {
        let waiting = self.waiting.borrow_mut().remove(&id)?;
        self.bytes.set(self.bytes.get().saturating_sub(waiting.bytes));
        Some(waiting.stream)
    }

    /// Moves the clock on, and takes out the requests that waited too long.
    pub(super) fn tick(&self) -> Vec<(u32, Rc<RefCell<T>>)> {
        let now = self.tick.get().saturating_add(1);
        self.tick.set(now);
        let is_over = |(_, wait): &(&u32, &Waiting<T>)| wait.deadline <= now;
        let expired: Vec<u32> = self.waiting.borrow().iter().filter(is_over).map(|(&id, _)| id).collect();
        expired.into_iter().filter_map(|id| Some((id, self.take(id)?))).collect()
    }
}
