//! How much fits, what happens when no more does, and what is bounded.

use twilio_guard::replay::{Claim, Geometry, LocalStore, Outcome, Reservation, StoreError};

use crate::shared::{Shared, claim};

const NOW: u32 = 1_000_000;

#[test]
fn nothing_is_evicted_below_the_capacity() {
    for capacity in [1_024, 16_384, 131_072] {
        let geometry = Geometry::for_capacity(capacity);
        let (shared, store) = (Shared::default(), LocalStore::new("test", geometry));
        let mut held = 0;
        let evicted = loop {
            let reserved = store.reserve(&shared, &claim(held), NOW, 1);
            if reserved == Err(StoreError::Full) {
                break held;
            }
            held += 1;
        };
        println!(
            "capacity {capacity}: first refusal at {evicted} entries, {} % of the slots; {} bytes in {} keys",
            evicted * 100 / (geometry.most_bytes() / 1160 * 32),
            shared.bytes(),
            shared.keys()
        );
        assert!(evicted >= u64::try_from(capacity).unwrap(), "{capacity}: {evicted}");
        assert!(u64::try_from(shared.bytes()).unwrap() <= geometry.most_bytes());
    }
}

#[test]
fn where_there_is_no_room_the_oldest_goes_and_the_bytes_stay_bounded() {
    let geometry = Geometry::for_capacity(1_024);
    let (shared, store) = (Shared::default(), LocalStore::new("test", geometry));
    let mut early = Vec::new();
    for number in 0..20_000 {
        // One request a second: a window of 600 s needs 600 entries, this one of 3,000 s more than there are.
        let claim = Claim { evicts: true, window: 3_000, ..claim(number) };
        let now = NOW + u32::try_from(number).unwrap();
        let reserved = store.reserve(&shared, &claim, now, 1).expect("evicts");
        let Reservation::Granted(ticket, _) = reserved.reservation else { panic!("{reserved:?}") };
        store.settle(&shared, &ticket, Outcome::Delivered, now).expect("settled");
        early.extend(reserved.evicted);
    }
    assert!(early.len() > 10_000);
    // What was remembered for the shortest time was still remembered for most of what the size allows (1,024 s).
    let most = early.iter().max().expect("evictions");
    assert!(3_000 - most > 600, "remembered for {} s", 3_000 - most);
    assert!(u64::try_from(shared.bytes()).unwrap() <= geometry.most_bytes());
    assert!(shared.keys() <= 1_024 / 27 + 2);
}

/// Traffic with a window of days does not push out what has one of minutes and came later.
#[test]
fn what_came_first_goes_first_whatever_its_window() {
    let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(1_024)));
    let reserve = |number, window, now| {
        let claim = Claim { evicts: true, window, ..claim(number) };
        let reserved = store.reserve(&shared, &claim, now, 1).expect("evicts").reservation;
        if let Reservation::Granted(ticket, _) = reserved {
            store.settle(&shared, &ticket, Outcome::Delivered, now).expect("settled");
        }
        reserved
    };
    for number in 0..5_000 {
        reserve(number, 266_400, NOW);
    }
    for number in 10_000..10_200 {
        reserve(number, 600, NOW + 1);
    }
    for number in 20_000..20_200 {
        reserve(number, 266_400, NOW + 2);
    }
    for number in 10_000..10_200 {
        assert_eq!(reserve(number, 600, NOW + 3), Reservation::Delivered, "{number} was forgotten");
    }
}

#[test]
fn the_window_ends_at_its_second() {
    let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)));
    let at = |now| store.reserve(&shared, &claim(1), now, 1).expect("an answer").reservation;
    let Reservation::Granted(ticket, _) = at(NOW) else { panic!("refused") };
    store.settle(&shared, &ticket, Outcome::Delivered, NOW).expect("settled");
    assert_eq!(at(NOW + 599), Reservation::Delivered);
    assert!(matches!(at(NOW + 600), Reservation::Granted(..)));
}

/// A clock that goes back makes windows longer, never shorter.
#[test]
fn a_clock_that_goes_back_forgets_nothing() {
    let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)));
    let at = |now| store.reserve(&shared, &claim(1), now, 1).expect("an answer").reservation;
    let Reservation::Granted(ticket, _) = at(NOW) else { panic!("refused") };
    assert_eq!(at(NOW - 500), Reservation::InFlight);
    store.settle(&shared, &ticket, Outcome::Delivered, NOW - 500).expect("settled");
    assert_eq!(at(NOW - 5_000), Reservation::Delivered);
    assert_eq!(at(NOW + 599), Reservation::Delivered);
}

#[test]
fn another_size_or_namespace_begins_empty_and_the_same_does_not() {
    let shared = Shared::default();
    let store = |namespace, capacity| LocalStore::new(namespace, Geometry::for_capacity(capacity));
    let granted = |store: &LocalStore| {
        let reserved = store.reserve(&shared, &claim(1), NOW, 1).expect("an answer");
        matches!(reserved.reservation, Reservation::Granted(..))
    };
    assert!(granted(&store("a", 1_024)));
    assert!(!granted(&store("a", 1_024)));
    assert!(granted(&store("a", 2_048)));
    assert!(granted(&store("b", 1_024)));
}

#[test]
fn a_value_that_is_none_of_ours_lets_nothing_pass() {
    for value in
        [&b""[..], b"tg", b"tg\x01\0\0\0\0\0x", b"tg\x02\0\0\0\0\0", b"xx\x01\0\0\0\0\0", &[0xff; 40]]
    {
        let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)));
        store.reserve(&shared, &claim(1), NOW, 1).expect("an answer");
        shared.scribble(value);
        let after = store.reserve(&shared, &claim(1), NOW, 1);
        assert_eq!(after, Err(StoreError::Unusable), "{value:?}");
    }
}

#[test]
fn a_store_is_born_once() {
    let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)));
    assert_eq!(store.born(&shared, NOW), Ok(NOW));
    assert_eq!(store.born(&shared, NOW + 100), Ok(NOW));
}
