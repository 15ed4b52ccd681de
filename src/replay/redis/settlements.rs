//! What the shared store still has to be told.
//!
//! Bounded: while the store cannot be reached, passes that were not delivered are left out first, because their leases end them just the
//! same, and then those that waited longest, because their windows end first. What failed is tried again ever more seldom; while
//! nothing at all gets through, what is new waits as well, and where one node of several is lost, it does not.

use std::collections::VecDeque;

use crate::replay::{Outcome, Ticket};

/// How many settlements wait at most on one worker.
const MOST_WAITING: usize = 4096;

/// How many go in one call.
const BATCH: usize = 64;

/// The longest pause between calls about what failed, in ticks.
const LONGEST_PAUSE: u32 = 64;

/// What one call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Passes, and what became of them.
    pub passes: Vec<(Ticket, Outcome)>,
    /// Whether they were told before, in vain.
    is_retry: bool,
}

/// A queue that outlives the requests whose passes are in it.
#[derive(Debug, Default)]
pub struct Settlements {
    fresh: VecDeque<(Ticket, Outcome)>,
    failed: VecDeque<(Ticket, Outcome)>,
    /// Whether the last call failed as a whole.
    is_down: bool,
    /// Ticks between calls about what failed, doubled by each failure.
    pause: u32,
    /// Ticks until the next one.
    left: u32,
}

impl Settlements {
    /// Adds one. How many are lost for it: none, or one.
    pub fn push(&mut self, ticket: Ticket, outcome: Outcome) -> usize {
        let is_full = self.len() >= MOST_WAITING;
        if is_full && outcome != Outcome::Delivered {
            return 1;
        }
        if is_full && self.failed.pop_front().is_none() {
            self.fresh.pop_front();
        }
        self.fresh.push_back((ticket, outcome));
        usize::from(is_full)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fresh.len().saturating_add(self.failed.len())
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves the clock on.
    pub const fn tick(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// Takes out what the next call should say; `None` where there is nothing, or the store should be left alone for a while.
    pub fn take(&mut self) -> Option<Batch> {
        let some = |queue: &mut VecDeque<_>| queue.drain(..queue.len().min(BATCH)).collect();
        if self.left == 0 && !self.failed.is_empty() {
            self.left = self.pause.max(1);
            return Some(Batch { passes: some(&mut self.failed), is_retry: true });
        }
        (!self.is_down && !self.fresh.is_empty())
            .then(|| Batch { passes: some(&mut self.fresh), is_retry: false })
    }

    /// A call was answered; these of its passes have to be told again. How many are lost for that.
    pub fn answered(&mut self, batch: &Batch, again: Vec<(Ticket, Outcome)>) -> usize {
        self.is_down = false;
        if again.is_empty() {
            if batch.is_retry {
                (self.pause, self.left) = (0, 0);
            }
            return 0;
        }
        self.put_back(again)
    }

    /// A call was not answered: all that it said waits again. How many are lost for that.
    pub fn unanswered(&mut self, batch: Batch) -> usize {
        self.is_down = true;
        self.put_back(batch.passes)
    }

    fn put_back(&mut self, mut passes: Vec<(Ticket, Outcome)>) -> usize {
        self.pause = self.pause.saturating_mul(2).clamp(1, LONGEST_PAUSE);
        self.left = self.pause;
        let (all, room) = (passes.len(), MOST_WAITING.saturating_sub(self.len()));
        if all > room {
            passes.retain(|(_, outcome)| *outcome == Outcome::Delivered);
        }
        self.failed.extend(passes.iter().skip(passes.len().saturating_sub(room)));
        // Nobody would find out that the store is back.
        self.is_down &= !self.failed.is_empty();
        all.saturating_sub(passes.len().min(room))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Fingerprint;

    fn ticket(number: u8) -> Ticket {
        Ticket::asked(Fingerprint::from_bytes([number; 16]), u32::from(number))
    }

    fn delivered(number: u8) -> (Ticket, Outcome) {
        (ticket(number), Outcome::Delivered)
    }

    fn filled() -> Settlements {
        let mut queue = Settlements::default();
        (0..MOST_WAITING).for_each(|_| assert_eq!(queue.push(ticket(0), Outcome::Delivered), 0));
        queue
    }

    /// The passes of the next call.
    fn next(queue: &mut Settlements) -> Vec<(Ticket, Outcome)> {
        queue.take().map(|batch| batch.passes).unwrap_or_default()
    }

    #[test]
    fn what_comes_first_goes_first_and_no_call_says_too_much() {
        let mut queue = Settlements::default();
        (0..100).for_each(|number| assert_eq!(queue.push(ticket(number), Outcome::Delivered), 0));
        let first = next(&mut queue);
        assert_eq!((first.len(), first[0]), (BATCH, delivered(0)));
        assert_eq!(next(&mut queue).len(), 36);
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn a_full_queue_gives_up_what_the_lease_ends_anyway_and_then_the_oldest() {
        let mut queue = filled();
        for outcome in [Outcome::Released, Outcome::Attempted] {
            assert_eq!(queue.push(ticket(1), outcome), 1);
        }
        assert_eq!(queue.push(ticket(2), Outcome::Delivered), 1);
        assert_eq!(queue.len(), MOST_WAITING);
        let rest: Vec<_> = std::iter::from_fn(|| queue.take()).flat_map(|batch| batch.passes).collect();
        assert_eq!(rest.last(), Some(&delivered(2)));
        assert!(rest.iter().all(|(own, _)| *own != ticket(1)));
    }

    #[test]
    fn while_nothing_gets_through_one_call_tries_ever_more_seldom() {
        let mut queue = Settlements::default();
        queue.push(ticket(1), Outcome::Delivered);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let batch = queue.take().expect("it is time");
            assert_eq!(batch.passes, [delivered(1)]);
            queue.push(ticket(2), Outcome::Delivered);
            assert_eq!(queue.unanswered(batch), 0);
            let mut waited = 0;
            while queue.left > 0 {
                assert_eq!(queue.take(), None, "what is new waits as well");
                queue.tick();
                waited += 1;
            }
            pauses.push(waited);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        let batch = queue.take().expect("it is time");
        assert_eq!(queue.take(), None, "one call tries, not two");
        assert_eq!(queue.answered(&batch, Vec::new()), 0);
        assert_eq!(next(&mut queue).len(), 9, "the store is back");
    }

    #[test]
    fn where_one_node_is_lost_what_is_for_the_others_does_not_wait() {
        let mut queue = Settlements::default();
        queue.push(ticket(1), Outcome::Delivered);
        queue.push(ticket(2), Outcome::Delivered);
        let batch = queue.take().expect("both wait");
        assert_eq!(queue.answered(&batch, batch.passes[..1].to_vec()), 0);
        queue.push(ticket(3), Outcome::Delivered);
        let other = queue.take().expect("what is for the other node");
        assert_eq!(other.passes, [delivered(3)]);
        assert_eq!(queue.answered(&other, Vec::new()), 0);
        assert_eq!(queue.take(), None, "that says nothing of the lost node");
        queue.tick();
        let again = queue.take().expect("it is time");
        assert_eq!(again.passes, [delivered(1)]);
        assert_eq!(queue.answered(&again, again.passes.clone()), 0);
        assert_eq!(queue.left, 2);
    }

    #[test]
    fn what_fails_while_the_queue_filled_up_is_lost_oldest_first() {
        let mut queue = filled();
        let batch = queue.take().expect("something waits");
        (0..10).for_each(|_| assert_eq!(queue.push(ticket(9), Outcome::Delivered), 0));
        assert_eq!(queue.unanswered(batch), 10);
        assert_eq!(queue.len(), MOST_WAITING);
    }

    #[test]
    fn of_what_fails_while_there_is_no_room_deliveries_stay() {
        let mut queue = Settlements::default();
        (0..32).for_each(|number| {
            queue.push(ticket(number), Outcome::Attempted);
            queue.push(ticket(number), Outcome::Delivered);
        });
        let batch = queue.take().expect("something waits");
        (0..MOST_WAITING - 32).for_each(|_| assert_eq!(queue.push(ticket(99), Outcome::Delivered), 0));
        assert_eq!(queue.unanswered(batch), 32);
        assert_eq!((queue.failed.len(), queue.len()), (32, MOST_WAITING));
        assert!(queue.failed.iter().all(|(_, outcome)| *outcome == Outcome::Delivered));
    }
}
