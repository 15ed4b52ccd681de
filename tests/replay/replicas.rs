//! Replicas that share a Redis, each with its own store before it: whatever order things happen in, and whatever is lost on the way, no more
//! copies pass than the documentation says, and what was delivered is known to all of them.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use twilio_guard::config::Plan;
use twilio_guard::guard::{NoAnswer, Step, Transaction};
use twilio_guard::reject::Reject;
use twilio_guard::replay::{Claim, SharedError, Ticket};

use crate::admission::{Memory, NOW, Verdict};
use crate::asking::{begin_at, message, shared, verdict};
use crate::core_support::cases;
use crate::scripted::Scripted;
use crate::support::redis::Edition;

const REPLICAS: usize = 3;

/// What becomes of a question.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// Redis never gets it.
    Lost,
    /// Redis does as asked, and its answer is lost.
    Unheard,
    /// Redis does as asked when nobody waits any more, perhaps after it was told that the pass is given back.
    Late,
}

#[derive(Debug, Clone)]
enum Action {
    /// A copy comes to a replica.
    Copy(usize, Fate),
    /// A request that passed ends: with a status, or before it reached the upstream.
    End(usize, Option<u16>),
    /// A replica tells Redis what became of its passes; `true`: once more, because it did not hear that it arrived.
    Tell(usize, bool),
    /// Time goes by.
    Wait(u32),
}

fn action() -> impl Strategy<Value = Action> {
    let fate = prop_oneof![
        5 => Just(Fate::Answered), 1 => Just(Fate::Lost), 1 => Just(Fate::Unheard), 1 => Just(Fate::Late),
    ];
    let status = prop_oneof![Just(Some(200)), Just(Some(500)), Just(None)];
    prop_oneof![
        8 => (0..REPLICAS, fate).prop_map(|(replica, fate)| Action::Copy(replica, fate)),
        4 => (any::<usize>(), status).prop_map(|(pass, status)| Action::End(pass, status)),
        3 => (0..REPLICAS, any::<bool>()).prop_map(|(replica, twice)| Action::Tell(replica, twice)),
        2 => prop_oneof![Just(1), Just(59), Just(60), Just(61)].prop_map(Action::Wait),
    ]
}

struct World<'a> {
    plan: &'a Plan,
    redis: &'a Scripted,
    replicas: Vec<Memory>,
    now: u32,
    epoch: u32,
    late: Vec<(Claim, u32)>,
    /// Those that passed and did not end, each with its replica.
    passes: Vec<(usize, Transaction)>,
}

impl World<'_> {
    fn copy(&mut self, replica: usize, fate: Fate) -> Result<Verdict, TestCaseError> {
        let memory = &self.replicas[replica];
        let (mut transaction, mut step) = begin_at(self.plan, &message(), self.now.into(), memory);
        if let Step::Ask(claim) = step {
            self.epoch += 1;
            let in_doubt = Some(Ticket::asked(claim.fingerprint, self.epoch));
            let no_answer = NoAnswer { error: SharedError::Timeout, in_doubt };
            let ask = || self.redis.reserve(&claim, self.now, self.epoch).expect("a Redis that answers");
            let answer = match fate {
                Fate::Answered => Ok(ask()),
                Fate::Lost => Err(no_answer),
                Fate::Unheard => {
                    ask();
                    Err(no_answer)
                }
                Fate::Late => {
                    self.late.push((claim, self.epoch));
                    Err(no_answer)
                }
            };
            step = transaction.answer(answer, memory);
        }
        let verdict = verdict(step);
        if let Verdict::Passes(_) = verdict {
            prop_assert!(transaction.is_reserved());
            self.passes.push((replica, transaction));
        }
        Ok(verdict)
    }

    fn tell(&self, replica: usize, twice: bool) {
        let told = self.replicas[replica].told.take();
        for _ in 0..=u8::from(twice) {
            self.redis.settle(&told, self.now).expect("a Redis that answers");
        }
    }

    fn wait(&mut self, seconds: u32) {
        for (claim, epoch) in std::mem::take(&mut self.late) {
            self.redis.reserve(&claim, self.now, epoch).expect("a Redis that answers");
        }
        self.now += seconds;
    }
}

fn run(
    redis: &Scripted,
    actions: Vec<Action>,
    max_deliveries: u8,
    max_attempts: u8,
) -> Result<(), TestCaseError> {
    let dedupe = json!({"max_deliveries": max_deliveries, "max_attempts": max_attempts});
    let plan = shared(json!({}), "deny", &json!({"dedupe": dedupe}));
    let start = u32::try_from(NOW).expect("small");
    let mut world = World {
        plan: &plan,
        redis,
        replicas: (0..REPLICAS).map(|_| Memory::default()).collect(),
        now: start,
        epoch: 0,
        late: Vec::new(),
        passes: Vec::new(),
    };
    let bound = u32::from(max_deliveries) + u32::from(max_attempts) - 1;
    let (mut passed, mut delivered) = (0, 0);
    for action in actions {
        match action {
            Action::Copy(replica, fate) => {
                passed += u32::from(matches!(world.copy(replica, fate)?, Verdict::Passes(_)));
                prop_assert!(passed <= bound, "{} passed", passed);
            }
            Action::End(pass, status) if !world.passes.is_empty() => {
                let index = pass % world.passes.len();
                let (replica, mut transaction) = world.passes.swap_remove(index);
                transaction.settle(status, status.is_some(), &world.replicas[replica]);
                delivered += u32::from(status == Some(200));
                passed -= u32::from(status.is_none());
            }
            Action::End(..) => {}
            // Where several copies may be under way, what is told twice ends the pass of another.
            Action::Tell(replica, twice) => world.tell(replica, twice && max_deliveries == 1),
            // All of it in one window.
            Action::Wait(seconds) if world.now + seconds < start + 600 => world.wait(seconds),
            Action::Wait(_) => {}
        }
    }
    if delivered >= max_deliveries.into() {
        world.wait(0);
        for (replica, mut transaction) in std::mem::take(&mut world.passes) {
            transaction.settle(Some(503), true, &world.replicas[replica]);
        }
        (0..REPLICAS).for_each(|replica| world.tell(replica, false));
        for replica in 0..REPLICAS {
            // A replica whose own passes failed as often as they may knows that first.
            let verdict = world.copy(replica, Fate::Answered)?;
            let is_final = matches!(verdict, Verdict::Refused(Reject::Replayed | Reject::AttemptsExhausted));
            prop_assert!(is_final, "{:?}", verdict);
        }
    }
    Ok(())
}

#[test]
fn whatever_is_lost_no_more_copies_pass_than_the_bound_and_a_delivery_is_known_to_all() {
    let redis = Scripted::start(Edition::Found);
    proptest!(cases(1000), |(actions in vec(action(), 1..60), max_deliveries in 1u8..3, max_attempts in 1u8..4)| {
        run(redis.emptied(), actions, max_deliveries, max_attempts)?;
    });
}
