//! The life of one capture inside its window: reserved, then settled by what became of the request.
//!
//! | what happened | effect |
//! |---|---|
//! | the upstream answered below 500 | a delivery |
//! | it answered 5xx, was reset or timed out; the client left after the head went upstream | an attempt |
//! | the request never reached the upstream | released, as if it had not come |
//! | nobody says what happened | when the lease ends, an attempt |
//!
//! At most `max_deliveries + max_attempts - 1` requests pass in a window: each pass needs fewer attempts than `max_attempts`
//! and leaves no more deliveries and passes under way than `max_deliveries`.

use super::Fingerprint;

/// What a request asks of the store. Times are seconds.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Which capture this is a copy of.
    pub fingerprint: Fingerprint,
    /// Whether the capture identifies one event. If not, it is only looked up: it may be the copy of one that does.
    pub is_recorded: bool,
    /// How long copies are remembered, from the first one.
    pub window: u32,
    /// How long a pass may take before it counts as an attempt.
    pub lease: u32,
    /// How many deliveries a capture may have.
    pub max_deliveries: u8,
    /// How many attempts a capture may have.
    pub max_attempts: u8,
    /// What to do where there is no room: forget the entry that was begun first, or refuse.
    pub evicts: bool,
    /// The second from which the store must remember, in seconds since 1970; `None` where its age does not matter.
    pub since: Option<u32>,
}

/// Which pass of its capture a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repetition {
    /// The first in its window.
    First,
    /// One after another failed, or a further one of several that are allowed.
    Again,
}

/// The right to settle a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The capture.
    pub fingerprint: Fingerprint,
    pub(super) epoch: u32,
}

impl Ticket {
    /// The ticket of a pass that was asked for under this epoch and may have been granted.
    #[must_use]
    pub const fn asked(fingerprint: Fingerprint, epoch: u32) -> Self {
        Self { fingerprint, epoch }
    }
}

/// The store's answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The request may pass, and its pass has to be settled.
    Granted(Ticket, Repetition),
    /// Not recorded, and no copy of a recorded capture.
    Unrecorded,
    /// As many copies as may pass are under way.
    InFlight,
    /// As many copies as may be delivered were.
    Delivered,
    /// As many copies as may fail have failed.
    Exhausted,
    /// The store is younger than what it would have to know.
    TooYoung,
}

/// What became of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream took it.
    Delivered,
    /// The upstream may have seen it and did not take it.
    Attempted,
    /// The upstream saw nothing of it.
    Released,
}

/// What a store keeps of one capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub(super) fingerprint: Fingerprint,
    /// In seconds since 1970, when the first copy came.
    pub(super) begun: u32,
    /// In seconds since 1970, when the capture is forgotten.
    pub(super) window_end: u32,
    /// In seconds since 1970, when the passes under way count as attempts.
    pub(super) lease_end: u32,
    /// Which passes those are: a ticket of an earlier epoch settles none of them.
    pub(super) epoch: u32,
    pub(super) in_flight: u8,
    pub(super) attempts: u8,
    pub(super) deliveries: u8,
}

impl Entry {
    /// The entry of a capture's first pass, with the ticket for it. `epoch` is a random number.
    pub(super) fn begin(claim: &Claim, now: u32, epoch: u32) -> (Self, Ticket) {
        let entry = Self {
            fingerprint: claim.fingerprint,
            begun: now,
            window_end: now.saturating_add(claim.window),
            lease_end: now.saturating_add(claim.lease),
            epoch,
            in_flight: 1,
            attempts: 0,
            deliveries: 0,
        };
        (entry, Ticket { fingerprint: claim.fingerprint, epoch })
    }

    /// Whether the window is still open.
    pub(super) const fn is_live(&self, now: u32) -> bool {
        now < self.window_end
    }

    /// Asks for a further pass.
    pub(super) fn reserve(&mut self, claim: &Claim, now: u32, epoch: u32) -> Reservation {
        if self.in_flight > 0 && now >= self.lease_end {
            self.attempts = self.attempts.saturating_add(self.in_flight);
            self.in_flight = 0;
        }
        if self.deliveries >= claim.max_deliveries {
            return Reservation::Delivered;
        }
        if self.deliveries.saturating_add(self.in_flight) >= claim.max_deliveries {
            return Reservation::InFlight;
        }
        if self.attempts >= claim.max_attempts {
            return Reservation::Exhausted;
        }
        if self.in_flight == 0 {
            self.epoch = epoch;
        }
        self.in_flight = self.in_flight.saturating_add(1);
        self.lease_end = now.saturating_add(claim.lease);
        let ticket = Ticket { fingerprint: self.fingerprint, epoch: self.epoch };
        Reservation::Granted(ticket, Repetition::Again)
    }

    /// Settles a pass. What is left of the entry; `None` if it is as if nothing had come.
    ///
    /// A pass whose lease ended was counted as an attempt already; if it was a delivery after all, that counts too.
    pub(super) fn settle(mut self, ticket: &Ticket, outcome: Outcome) -> Option<Self> {
        let is_own = self.epoch == ticket.epoch && self.in_flight > 0;
        if is_own {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        match outcome {
            Outcome::Delivered => self.deliveries = self.deliveries.saturating_add(1),
            Outcome::Attempted if is_own => self.attempts = self.attempts.saturating_add(1),
            Outcome::Attempted | Outcome::Released => {}
        }
        let is_untouched = (self.in_flight, self.attempts, self.deliveries) == (0, 0, 0);
        (!is_untouched).then_some(self)
    }
}
