//! The store beside a model that is as plain as its documentation.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use twilio_guard::replay::{Geometry, LocalStore, Outcome, Repetition, Reservation, Ticket};

use crate::core_support::cases;
use crate::shared::{Shared, claim};

/// What the documentation says of one capture.
#[derive(Default, Clone)]
struct Model {
    window_end: u32,
    lease_end: u32,
    passes: Vec<usize>,
    attempts: u32,
    deliveries: u32,
}

#[derive(Debug, Clone)]
enum Action {
    /// A copy of a capture comes.
    Claim { capture: u64, recorded: bool },
    /// A pass ends.
    Settle { pass: usize, outcome: Outcome },
    /// Time goes by.
    Wait(u32),
}

fn action() -> impl Strategy<Value = Action> {
    let outcome = prop_oneof![Just(Outcome::Delivered), Just(Outcome::Attempted), Just(Outcome::Released)];
    prop_oneof![
        5 => (0u64..4, prop::bool::weighted(0.9)).prop_map(|(capture, recorded)| Action::Claim { capture, recorded }),
        4 => (any::<usize>(), outcome).prop_map(|(pass, outcome)| Action::Settle { pass, outcome }),
        2 => prop_oneof![Just(1), Just(59), Just(60), Just(61), Just(300), Just(599), Just(600)].prop_map(Action::Wait),
    ]
}

/// What the documentation says of a copy that comes now.
fn expected(model: Option<&mut Model>, recorded: bool, deliveries: u32, attempts: u32, now: u32) -> Reply {
    let Some(model) = model else { return if recorded { Reply::First } else { Reply::Unrecorded } };
    if !model.passes.is_empty() && now >= model.lease_end {
        model.attempts += u32::try_from(model.passes.len()).unwrap();
        model.passes.clear();
    }
    let under_way = u32::try_from(model.passes.len()).unwrap();
    if model.deliveries >= deliveries {
        Reply::Delivered
    } else if model.deliveries + under_way >= deliveries {
        Reply::InFlight
    } else if model.attempts >= attempts {
        Reply::Exhausted
    } else {
        Reply::Again
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    First,
    Again,
    Unrecorded,
    InFlight,
    Delivered,
    Exhausted,
}

fn reply(reservation: Reservation) -> (Reply, Option<Ticket>) {
    match reservation {
        Reservation::Granted(ticket, Repetition::First) => (Reply::First, Some(ticket)),
        Reservation::Granted(ticket, Repetition::Again) => (Reply::Again, Some(ticket)),
        Reservation::Unrecorded => (Reply::Unrecorded, None),
        Reservation::InFlight => (Reply::InFlight, None),
        Reservation::Delivered => (Reply::Delivered, None),
        Reservation::Exhausted => (Reply::Exhausted, None),
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn the_store_answers_as_its_model(
        actions in vec(action(), 1..80),
        max_deliveries in 1u8..4,
        max_attempts in 1u8..5,
    ) {
        let (shared, store) = (Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)));
        let mut models: HashMap<u64, Model> = HashMap::new();
        // Each pass with its capture; `None` once it is settled.
        let mut passes: Vec<Option<(u64, Ticket)>> = Vec::new();
        let mut now = 1_000_000u32;
        for (step, action) in actions.into_iter().enumerate() {
            models.retain(|_, model| now < model.window_end);
            match action {
                Action::Wait(seconds) => now += seconds,
                Action::Claim { capture, recorded } => {
                    let own = twilio_guard::replay::Claim {
                        is_recorded: recorded, max_deliveries, max_attempts, ..claim(capture)
                    };
                    let epoch = u32::try_from(step).unwrap() + 1;
                    let reserved = store.reserve(&shared, &own, now, epoch).expect("a store with room");
                    prop_assert_eq!(reserved.evicted, None);
                    let model = models.get_mut(&capture);
                    let expected = expected(model, recorded, max_deliveries.into(), max_attempts.into(), now);
                    let (reply, ticket) = reply(reserved.reservation);
                    prop_assert_eq!(&reply, &expected, "capture {}", capture);
                    let Some(ticket) = ticket else { continue };
                    if reply == Reply::First {
                        models.insert(capture, Model { window_end: now + 600, ..Model::default() });
                    }
                    let model = models.get_mut(&capture).expect("it is recorded");
                    model.lease_end = now + 60;
                    model.passes.push(passes.len());
                    passes.push(Some((capture, ticket)));
                    // The bound that the documentation names, at any moment of a window.
                    let under_way = u32::try_from(model.passes.len()).unwrap();
                    let bound = u32::from(max_deliveries) + u32::from(max_attempts) - 1;
                    prop_assert!(model.attempts + model.deliveries + under_way <= bound);
                }
                Action::Settle { pass, outcome } => {
                    let open: Vec<usize> = (0..passes.len()).filter(|index| passes[*index].is_some()).collect();
                    let Some(&pass) = open.get(pass % open.len().max(1)) else { continue };
                    let (capture, ticket) = passes[pass].take().expect("it is open");
                    store.settle(&shared, &ticket, outcome, now).expect("a store that answers");
                    let Some(model) = models.get_mut(&capture) else { continue };
                    let own = model.passes.iter().position(|own| *own == pass);
                    if let Some(own) = own {
                        model.passes.remove(own);
                    }
                    match outcome {
                        Outcome::Delivered => model.deliveries += 1,
                        Outcome::Attempted if own.is_some() => model.attempts += 1,
                        Outcome::Attempted | Outcome::Released => {}
                    }
                    if (model.passes.is_empty(), model.attempts, model.deliveries) == (true, 0, 0) {
                        models.remove(&capture);
                    }
                }
            }
            prop_assert!(shared.keys() <= 4);
        }
    }
}
