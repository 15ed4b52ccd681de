//! The stores beside a model that is as plain as their documentation: the one of a process, and the scripts in a real Redis.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use twilio_guard::replay::{Claim, Geometry, LocalStore, Outcome, Repetition, Reservation, Ticket};

use crate::core_support::cases;
use crate::scripted::Scripted;
use crate::shared::{Shared, claim, fingerprint};
use crate::support::redis::Edition;

/// What is held against the model. Times are seconds of the test's own clock.
trait Subject {
    /// Whether it can be asked for what it does not record.
    const LOOKS_UP: bool;

    fn reserve(&self, claim: &Claim, now: u32, epoch: u32) -> Reservation;

    fn settle(&self, ticket: &Ticket, outcome: Outcome, now: u32);

    /// How many keys it has.
    fn keys(&self) -> usize;
}

/// The store of a process.
struct Local(Shared, LocalStore);

impl Subject for Local {
    const LOOKS_UP: bool = true;

    fn reserve(&self, claim: &Claim, now: u32, epoch: u32) -> Reservation {
        let reserved = self.1.reserve(&self.0, claim, now, epoch).expect("a store with room");
        assert_eq!(reserved.evicted, None);
        reserved.reservation
    }

    fn settle(&self, ticket: &Ticket, outcome: Outcome, now: u32) {
        self.1.settle(&self.0, ticket, outcome, now).expect("a store that answers");
    }

    fn keys(&self) -> usize {
        self.0.keys()
    }
}

impl Subject for &Scripted {
    const LOOKS_UP: bool = false;

    fn reserve(&self, claim: &Claim, now: u32, epoch: u32) -> Reservation {
        Scripted::reserve(self, claim, now, epoch).expect("a Redis that answers")
    }

    fn settle(&self, ticket: &Ticket, outcome: Outcome, now: u32) {
        Scripted::settle(self, &[(*ticket, outcome)], now).expect("a Redis that answers");
    }

    fn keys(&self) -> usize {
        Scripted::keys(self)
    }
}

/// What the documentation says of one capture.
#[derive(Default, Clone)]
struct Model {
    window_end: u32,
    lease_end: u32,
    passes: Vec<usize>,
    attempts: u32,
    deliveries: u32,
    /// Passes of this window that were not given back.
    taken: u32,
}

#[derive(Debug, Clone)]
enum Action {
    /// A copy of a capture comes.
    Claim { capture: u64, recorded: bool },
    /// A pass ends.
    Settle { pass: usize, outcome: Outcome },
    /// The same is told once more, because nobody knows whether it arrived.
    Repeat { pass: usize },
    /// A pass ends that was asked for and never granted.
    Doubt { capture: u64, outcome: Outcome },
    /// Time goes by.
    Wait(u32),
}

fn action(recorded: f64) -> impl Strategy<Value = Action> {
    let outcome = || prop_oneof![Just(Outcome::Delivered), Just(Outcome::Attempted), Just(Outcome::Released)];
    let capture = 0u64..4;
    prop_oneof![
        10 => (capture.clone(), prop::bool::weighted(recorded)).prop_map(|(capture, recorded)| Action::Claim { capture, recorded }),
        8 => (any::<usize>(), outcome()).prop_map(|(pass, outcome)| Action::Settle { pass, outcome }),
        2 => any::<usize>().prop_map(|pass| Action::Repeat { pass }),
        1 => (capture, outcome()).prop_map(|(capture, outcome)| Action::Doubt { capture, outcome }),
        4 => prop_oneof![Just(1), Just(59), Just(60), Just(61), Just(300), Just(599), Just(600)].prop_map(Action::Wait),
    ]
}

/// What the documentation says of a copy that comes now.
fn expected(model: Option<&mut Model>, claim: &Claim, now: u32) -> Reply {
    let Some(model) = model else {
        return if claim.is_recorded { Reply::First } else { Reply::Unrecorded };
    };
    if !model.passes.is_empty() && now >= model.lease_end {
        model.attempts += u32::try_from(model.passes.len()).unwrap();
        model.passes.clear();
    }
    let under_way = u32::try_from(model.passes.len()).unwrap();
    if model.deliveries >= claim.max_deliveries.into() {
        Reply::Delivered
    } else if model.deliveries + under_way >= claim.max_deliveries.into() {
        Reply::InFlight
    } else if model.attempts >= claim.max_attempts.into() {
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
        Reservation::TooYoung => panic!("no age was asked for"),
    }
}

/// A pass that was granted: its capture, and what became of it.
struct Pass {
    capture: u64,
    ticket: Ticket,
    outcome: Option<Outcome>,
}

/// Runs the actions in the subject and in the model.
fn agree(
    subject: &impl Subject,
    actions: Vec<Action>,
    max_deliveries: u8,
    max_attempts: u8,
) -> Result<(), TestCaseError> {
    let mut models: HashMap<u64, Model> = HashMap::new();
    let mut passes: Vec<Pass> = Vec::new();
    let mut now = 1_000_000u32;
    let chosen = |passes: &[Pass], is_open: bool, choice: usize| {
        let those: Vec<usize> =
            (0..passes.len()).filter(|index| passes[*index].outcome.is_none() == is_open).collect();
        those.get(choice % those.len().max(1)).copied()
    };
    for (step, action) in actions.into_iter().enumerate() {
        models.retain(|_, model| now < model.window_end);
        match action {
            Action::Wait(seconds) => now += seconds,
            Action::Claim { capture, recorded } => {
                let own = Claim { is_recorded: recorded, max_deliveries, max_attempts, ..claim(capture) };
                let epoch = u32::try_from(step).unwrap() + 1;
                let (reply, ticket) = reply(subject.reserve(&own, now, epoch));
                let expected = expected(models.get_mut(&capture), &own, now);
                prop_assert_eq!(&reply, &expected, "capture {}", capture);
                let Some(ticket) = ticket else { continue };
                if reply == Reply::First {
                    models.insert(capture, Model { window_end: now + 600, ..Model::default() });
                }
                let model = models.get_mut(&capture).expect("it is recorded");
                model.lease_end = now + 60;
                model.passes.push(passes.len());
                model.taken += 1;
                passes.push(Pass { capture, ticket, outcome: None });
                // The bound that the documentation names, at any moment of a window.
                prop_assert!(model.taken < u32::from(max_deliveries) + u32::from(max_attempts));
            }
            Action::Settle { pass, outcome } => {
                let Some(index) = chosen(&passes, true, pass) else { continue };
                let pass = &mut passes[index];
                pass.outcome = Some(outcome);
                subject.settle(&pass.ticket, outcome, now);
                let Some(model) = models.get_mut(&pass.capture) else { continue };
                let own = model.passes.iter().position(|own| *own == index);
                if let Some(own) = own {
                    model.passes.remove(own);
                }
                match outcome {
                    Outcome::Delivered => model.deliveries += 1,
                    Outcome::Attempted if own.is_some() => model.attempts += 1,
                    Outcome::Released if own.is_some() => model.taken -= 1,
                    Outcome::Attempted | Outcome::Released => {}
                }
                if (model.passes.is_empty(), model.attempts, model.deliveries) == (true, 0, 0) {
                    models.remove(&pass.capture);
                }
            }
            // Where several copies may be under way they share an epoch, and each telling is taken for another one's.
            Action::Repeat { pass } if max_deliveries == 1 => {
                let Some(index) = chosen(&passes, false, pass) else { continue };
                let Pass { capture, ticket, outcome } = &passes[index];
                let outcome = outcome.expect("it is settled");
                subject.settle(ticket, outcome, now);
                count_unowned(models.get_mut(capture), outcome);
            }
            Action::Repeat { .. } => {}
            Action::Doubt { capture, outcome } => {
                subject.settle(&Ticket::asked(fingerprint(capture), u32::MAX), outcome, now);
                count_unowned(models.get_mut(&capture), outcome);
            }
        }
    }
    prop_assert!(subject.keys() <= 4);
    Ok(())
}

/// Whoever holds no pass can neither end one nor fail; but what was delivered was delivered.
fn count_unowned(model: Option<&mut Model>, outcome: Outcome) {
    if let Some(model) = model.filter(|_| outcome == Outcome::Delivered) {
        model.deliveries += 1;
    }
}

fn answers_as_its_model<S: Subject>(count: u32, begin: impl Fn() -> S) {
    let recorded = if S::LOOKS_UP { 0.9 } else { 1.0 };
    proptest!(cases(count), |(
        actions in vec(action(recorded), 1..80),
        max_deliveries in 1u8..4,
        max_attempts in 1u8..5,
    )| {
        agree(&begin(), actions, max_deliveries, max_attempts)?;
    });
}

#[test]
fn the_store_of_a_process_answers_as_the_model() {
    answers_as_its_model(3000, || {
        Local(Shared::default(), LocalStore::new("test", Geometry::for_capacity(64)))
    });
}

#[test]
fn the_scripts_answer_as_the_model_in_redis_7() {
    let redis = Scripted::start(Edition::Found);
    answers_as_its_model(1000, || redis.emptied());
}

#[test]
fn the_scripts_answer_as_the_model_in_redis_6() {
    let redis = Scripted::start(Edition::Six);
    answers_as_its_model(1000, || redis.emptied());
}
