//! Workers on one store whose every call to the host is put in an order of its own, drawn by lot: all of them alive at once, unlike in
//! `races`, where one interrupts the other.

use std::sync::{Condvar, Mutex};

use twilio_guard::replay::{
    Claim, Geometry, LocalStore, Outcome, Reservation, SharedData, Slot, StoreError, Ticket,
};

use crate::shared::{Shared, claim};

/// Shared data that lets one worker at a time make one call, in the order of a seed.
struct Scheduled {
    turn: Mutex<Turn>,
    changed: Condvar,
}

struct Turn {
    shared: Shared,
    lots: fastrand::Rng,
    /// Who wants to make a call.
    waiting: Vec<usize>,
    /// How many workers still run.
    running: usize,
    next: Option<usize>,
}

/// One worker's view.
struct Worker<'a> {
    number: usize,
    scheduled: &'a Scheduled,
}

impl Scheduled {
    fn new(shared: Shared, seed: u64, workers: usize) -> Self {
        let lots = fastrand::Rng::with_seed(seed);
        let turn = Turn { shared, lots, waiting: Vec::new(), running: workers, next: None };
        Self { turn: Mutex::new(turn), changed: Condvar::new() }
    }
}

impl Turn {
    /// Draws who is next, once everybody wants to be.
    fn draw(&mut self) {
        if self.next.is_none() && self.running > 0 && self.waiting.len() == self.running {
            // Not in the order in which threads happened to come.
            self.waiting.sort_unstable();
            let index = self.lots.usize(..self.waiting.len());
            self.next = Some(self.waiting.swap_remove(index));
        }
    }
}

impl Worker<'_> {
    fn call<T>(&self, call: impl FnOnce(&Shared) -> T) -> T {
        let mut turn = self.scheduled.turn.lock().unwrap();
        turn.waiting.push(self.number);
        turn.draw();
        self.scheduled.changed.notify_all();
        let mut turn =
            self.scheduled.changed.wait_while(turn, |turn| turn.next != Some(self.number)).unwrap();
        turn.next = None;
        call(&turn.shared)
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        let mut turn = self.scheduled.turn.lock().unwrap();
        turn.running -= 1;
        turn.draw();
        self.scheduled.changed.notify_all();
    }
}

impl SharedData for &Worker<'_> {
    fn get(&self, key: &str) -> Result<Slot, StoreError> {
        self.call(|shared| shared.get(key))
    }

    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
        self.call(|shared| shared.swap(key, read, value))
    }
}

const NOW: u32 = 1_000;

/// What a worker saw of the one capture.
#[derive(Default)]
struct Seen {
    passes: usize,
    deliveries: usize,
}

/// Sends copies of the capture and strangers, and settles as it goes.
fn work(store: &LocalStore, worker: &Worker<'_>, own: &Claim, seed: u64) -> Seen {
    let mut lots = fastrand::Rng::with_seed(seed);
    let (mut seen, mut open): (Seen, Vec<Ticket>) = Default::default();
    for _ in 0..6 {
        if lots.u8(..) < 80 {
            let stranger = Claim { evicts: false, ..claim(lots.u64(2_000..2_010)) };
            match store.reserve(&worker, &stranger, NOW, lots.u32(..)) {
                Ok(reserved) => {
                    if let Reservation::Granted(ticket, _) = reserved.reservation {
                        store.settle(&worker, &ticket, Outcome::Released, NOW).expect("settled");
                    }
                }
                Err(error) => assert_eq!(error, StoreError::Full),
            }
            continue;
        }
        match store.reserve(&worker, own, NOW, lots.u32(..)) {
            Ok(reserved) => {
                if let Reservation::Granted(ticket, _) = reserved.reservation {
                    seen.passes += 1;
                    open.push(ticket);
                }
            }
            Err(error) => assert_eq!(error, StoreError::Full),
        }
        if let Some(ticket) = open.pop().filter(|_| lots.bool()) {
            let outcomes = [Outcome::Delivered, Outcome::Attempted, Outcome::Released];
            let outcome = outcomes[lots.usize(..outcomes.len())];
            seen.passes -= usize::from(outcome == Outcome::Released);
            seen.deliveries += usize::from(outcome == Outcome::Delivered);
            store.settle(&worker, &ticket, outcome, NOW).expect("settled");
        }
    }
    seen
}

#[test]
fn whatever_the_order_no_more_pass_than_the_bound() {
    let store = LocalStore::new("race", Geometry::for_capacity(1));
    let (mut most, mut at_bound) = (0, 0);
    for seed in 0..3_000u64 {
        let mut lots = fastrand::Rng::with_seed(seed);
        let (entries, workers) = (lots.u64(28..62), lots.usize(2..5));
        let (max_deliveries, max_attempts) = (lots.u8(1..4), lots.u8(1..3));
        let own = Claim { max_deliveries, max_attempts, evicts: false, ..claim(lots.u64(..20)) };
        let shared = Shared::default();
        for number in 0..entries {
            // Full is full: both buckets then have what they hold.
            let _ = store.reserve(&shared, &claim(10_000 + number), NOW, 7);
        }
        let scheduled = Scheduled::new(shared, seed, workers);
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers)
                .map(|number| {
                    let worker = Worker { number, scheduled: &scheduled };
                    let (store, own, seed) = (&store, &own, lots.u64(..));
                    scope.spawn(move || work(store, &worker, own, seed))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let passes: usize = seen.iter().map(|seen| seen.passes).sum();
        let deliveries: usize = seen.iter().map(|seen| seen.deliveries).sum();
        let bound = usize::from(max_deliveries) + usize::from(max_attempts) - 1;
        assert!(passes <= bound, "seed {seed}: {passes} passes, bound {bound}");
        assert!(deliveries <= usize::from(max_deliveries), "seed {seed}: {deliveries} deliveries");
        most = most.max(passes);
        at_bound += usize::from(passes == bound);
    }
    println!("most {most} passes, {at_bound} of 3000 at their bound");
    assert!(at_bound > 100, "{at_bound}");
}
