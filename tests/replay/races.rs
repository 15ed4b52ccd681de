//! Workers that race with copies of one capture, at every point between two calls to the host.

use std::cell::{Cell, RefCell};

use twilio_guard::replay::{
    Claim, Geometry, LocalStore, Reservation, Reserved, SharedData, Slot, StoreError,
};

use crate::shared::{Shared, claim};

/// Shared data that lets another worker in before its n-th call.
struct Interrupted<'a> {
    shared: &'a Shared,
    calls_left: Cell<usize>,
    other: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Interrupted<'_> {
    fn pass(&self) {
        match self.calls_left.get() {
            0 => {
                let other = self.other.borrow_mut().take();
                if let Some(other) = other {
                    other();
                }
            }
            left => self.calls_left.set(left - 1),
        }
    }
}

impl SharedData for Interrupted<'_> {
    fn get(&self, key: &str) -> Result<Slot, StoreError> {
        self.pass();
        self.shared.get(key)
    }

    fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
        self.pass();
        self.shared.swap(key, read, value)
    }
}

/// Fills the two buckets of a store of the least size to a degree, with windows that end at different times.
fn filled(store: &LocalStore, entries: u64) -> Shared {
    let shared = Shared::default();
    for number in 0..entries {
        let window = if number % 3 == 0 { 300 } else { 600 };
        let claim = Claim { window, evicts: true, ..claim(1000 + number) };
        store.reserve(&shared, &claim, 1_000, 7).expect("a store that answers");
    }
    shared
}

/// One of two copies is granted, whatever the moment at which the second comes, however full the store is, and also when a
/// place becomes free in between.
#[test]
fn of_two_racing_copies_one_passes() {
    let store = LocalStore::new("race", Geometry::for_capacity(1));
    let mut raced = 0;
    for entries in [0, 1, 20, 31, 32, 33, 40, 50, 60, 63, 64, 80] {
        for capture in 0..12 {
            for moment in 0..8 {
                for (first_now, second_now) in [(1_100, 1_100), (1_299, 1_300), (1_300, 1_299)] {
                    for evicts in [true, false] {
                        let shared = filled(&store, entries);
                        let claim = Claim { evicts, ..claim(capture) };
                        let second = RefCell::new(None);
                        let interrupted = Interrupted {
                            shared: &shared,
                            calls_left: Cell::new(moment),
                            other: RefCell::new(Some(Box::new(|| {
                                *second.borrow_mut() = Some(store.reserve(&shared, &claim, second_now, 2));
                            }))),
                        };
                        let first = store.reserve(&interrupted, &claim, first_now, 1);
                        drop(interrupted);
                        let Some(second) = second.into_inner() else { continue };
                        raced += 1;
                        let granted = [first, second]
                            .iter()
                            .filter(|reserved| {
                                matches!(reserved, Ok(reserved) if matches!(reserved.reservation, Reservation::Granted(..)))
                            })
                            .count();
                        let is_full = [first, second].iter().all(|one| *one == Err(StoreError::Full));
                        assert!(
                            granted == 1 || (granted == 0 && is_full && !evicts),
                            "{entries} entries, capture {capture}, moment {moment}: {first:?}, {second:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(raced > 1500, "{raced}");
}

/// Where two copies may pass, two do: also where a second one finds the entry of the first in its other bucket, before the first
/// could make it final, and the home bucket changes under both.
#[test]
fn a_pass_is_not_lost_when_an_unfinished_entry_is_taken_back() {
    let store = LocalStore::new("race", Geometry::for_capacity(1));
    let mut raced = 0;
    for entries in [0, 20, 33, 34, 36, 40, 50, 60] {
        for capture in 0..12 {
            for moment in 0..8 {
                for stranger in 2_000..2_004 {
                    let shared = filled(&store, entries);
                    let own = Claim { max_deliveries: 2, max_attempts: 1, evicts: true, ..claim(capture) };
                    let granted = |data: &dyn Fn() -> Result<Reserved, StoreError>| matches!(data(), Ok(reserved) if matches!(reserved.reservation, Reservation::Granted(..)));
                    let passes = Cell::new(0);
                    let count = |is_granted: bool| passes.set(passes.get() + usize::from(is_granted));
                    let interrupted = Interrupted {
                        shared: &shared,
                        calls_left: Cell::new(moment),
                        other: RefCell::new(Some(Box::new(|| {
                            raced += 1;
                            count(granted(&|| store.reserve(&shared, &own, 1_100, 2)));
                            let stranger = Claim { evicts: true, ..claim(stranger) };
                            store.reserve(&shared, &stranger, 1_100, 3).expect("an answer");
                        }))),
                    };
                    count(granted(&|| store.reserve(&interrupted, &own, 1_100, 1)));
                    drop(interrupted);
                    for epoch in 4..8 {
                        count(granted(&|| store.reserve(&shared, &own, 1_100, epoch)));
                    }
                    assert_eq!(passes.get(), 2, "{entries} entries, capture {capture}, moment {moment}");
                }
            }
        }
    }
    assert!(raced > 1000, "{raced}");
}

/// A pass that ends while another copy asks is settled, and counted once.
#[test]
fn a_settlement_is_not_lost_to_a_race() {
    use twilio_guard::replay::Outcome;
    let store = LocalStore::new("race", Geometry::for_capacity(1));
    for entries in [0, 32, 50] {
        for moment in 0..4 {
            let shared = filled(&store, entries);
            let claim = claim(1);
            let Ok(reserved) = store.reserve(&shared, &claim, 1_100, 1) else { panic!("no room") };
            let Reservation::Granted(ticket, _) = reserved.reservation else { panic!("{reserved:?}") };
            let interrupted = Interrupted {
                shared: &shared,
                calls_left: Cell::new(moment),
                other: RefCell::new(Some(Box::new(|| {
                    let other = store.reserve(&shared, &claim, 1_100, 2).expect("an answer");
                    assert!(matches!(other.reservation, Reservation::InFlight | Reservation::Delivered));
                }))),
            };
            store.settle(&interrupted, &ticket, Outcome::Delivered, 1_100).expect("settled");
            drop(interrupted);
            let after = store.reserve(&shared, &claim, 1_100, 3).expect("an answer");
            assert_eq!(after.reservation, Reservation::Delivered, "{entries} entries, moment {moment}");
        }
    }
}

/// Eight real threads, one capture at a time: one of them passes.
#[test]
fn of_eight_threads_one_passes() {
    use std::sync::Mutex;

    struct Locked(Mutex<Shared>);
    impl SharedData for &Locked {
        fn get(&self, key: &str) -> Result<Slot, StoreError> {
            self.0.lock().unwrap().get(key)
        }
        fn swap(&self, key: &str, read: &Slot, value: &[u8]) -> Result<bool, StoreError> {
            self.0.lock().unwrap().swap(key, read, value)
        }
    }
    let store = LocalStore::new("threads", Geometry::for_capacity(500));
    let shared = Locked(Mutex::new(Shared::default()));
    for capture in 0..400 {
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8u32)
                .map(|epoch| {
                    let (store, shared) = (&store, &shared);
                    scope.spawn(move || {
                        let claim = Claim { evicts: true, ..claim(capture) };
                        let reserved = store.reserve(&shared, &claim, 1_000, epoch).expect("an answer");
                        usize::from(matches!(reserved.reservation, Reservation::Granted(..)))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(granted, 1, "capture {capture}");
    }
}
