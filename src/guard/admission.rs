//! What stands between a genuine signature and the upstream: minted URLs, freshness, single use.

use crate::config::{ColdStart, Dedupe, Eligible, OnError, OnFull, OnReplay, Protection, ReplayStore, Rule};
use crate::reject::Reject;
use crate::replay::{
    Claim, Fingerprint, Outcome, Repetition, Reservation, Reserved, SharedError, StoreError, Ticket,
    check_freshness, check_minted,
};
use crate::request::RequestHead;
use crate::signature::Verified;
use crate::times::read_time;

/// Where captures are remembered, as the host provides it.
pub trait Store {
    /// Asks the store of this process for a pass.
    ///
    /// # Errors
    /// The store cannot tell.
    fn reserve(&self, claim: &Claim, now: u32) -> Result<Reserved, StoreError>;

    /// The second since which the store of this process remembers.
    ///
    /// # Errors
    /// The store cannot tell.
    fn born(&self, now: u32) -> Result<u32, StoreError>;

    /// Tells the stores what became of a pass: the one of this process now, the shared one as soon as it can be told.
    fn settle(&self, passes: Passes, outcome: Outcome);
}

/// The passes of one request, in each store that gave it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passes {
    /// In the store of this process.
    pub local: Option<Ticket>,
    /// In the store that replicas share; also one that it may have granted without our hearing of it.
    pub shared: Option<Ticket>,
}

impl Passes {
    /// Whether there is anybody to tell.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.local.is_none() && self.shared.is_none()
    }
}

/// The shared store gave no answer that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoAnswer {
    /// Why.
    pub error: SharedError,
    /// The pass that it may have granted all the same.
    pub in_doubt: Option<Ticket>,
}

/// What the store says of a request that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayMark {
    /// Its kind is not counted.
    Unchecked,
    /// It is the first copy in its window.
    First,
    /// It comes after one that failed, or is a further one of several that are allowed.
    Again,
    /// Enough copies were delivered, and `on_replay: flag` lets it pass all the same.
    Repeated,
    /// The shared store did not answer, and `on_error` lets it pass: no copy of it is known here, and other replicas were not asked.
    Unshared,
}

impl ReplayMark {
    /// The word in the verified header and filter state.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::First => "first",
            Self::Again => "again",
            Self::Repeated => "repeated",
            Self::Unshared => "unshared",
        }
    }
}

/// What is to be done with a genuine request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admission {
    /// It may pass.
    Pass(ReplayMark, Passes),
    /// The shared store has to be asked, for this pass of the own one.
    Ask(Claim, Passes, Unanswered),
}

/// What becomes of a request that the shared store does not answer for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unanswered {
    /// It is refused.
    Refused,
    /// It passes.
    Passes,
    /// It would pass, but under `cold_start: strict` the own store, which would decide, is younger than what it would have to know.
    TooYoung,
}

/// The times of a request beside those that Twilio's scheme signs as parameters; seconds since 1970, `None` for one
/// that cannot be read.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// In the signed body.
    pub(super) in_body: Vec<Option<u64>>,
    /// In headers, which nothing signs.
    pub(super) unsigned: Vec<Option<u64>>,
}

impl Times {
    /// The times in the headers that the rule looks at. Two values in one header, or two headers, are no time.
    pub(super) fn of_head(rule: &Rule, head: &RequestHead<'_>) -> Self {
        let sources = rule.replay.freshness.headers.iter();
        let times = sources.filter_map(|source| {
            let mut values = head.time_headers.iter().filter(|(name, _)| *name == source.name.as_bytes());
            let (_, value) = values.next()?;
            Some(if values.next().is_some() { None } else { read_time(source.format, value) })
        });
        Self { in_body: Vec::new(), unsigned: times.collect() }
    }
}

/// Judges a genuine request by time and number. `now` is in seconds since 1970.
pub(super) fn admit(
    rule: &Rule,
    store_rule: &ReplayStore,
    verified: &Verified,
    times: &Times,
    now: u64,
    store: &dyn Store,
) -> Result<Admission, Reject> {
    let replay = &rule.replay;
    let signed = verified.signed();
    if matches!(rule.protection, Protection::Twilio(_)) && !rule.mint_keys.is_empty() {
        let end = check_minted(&signed.url, &rule.mint_keys, now)?;
        if end.is_none() && replay.minted.require {
            return Err(Reject::MintMissing);
        }
    }
    let signed_times = [signed.times.as_slice(), &times.in_body].concat();
    check_freshness(&replay.freshness, &signed_times, &times.unsigned, now)?;
    let Dedupe { eligible, on_replay, .. } = replay.dedupe;
    let is_recorded = match eligible {
        Eligible::None => return Ok(Admission::Pass(ReplayMark::Unchecked, Passes::default())),
        Eligible::Always => true,
        Eligible::EventId => signed.is_event,
    };
    let now = u32::try_from(now).map_err(|_| Reject::HostError)?;
    let mut claim = claim(&replay.dedupe, verified, is_recorded);
    if is_recorded && store_rule.cold_start == ColdStart::Strict {
        claim.since = Some(must_remember_since(&claim, &signed_times, now));
    }
    let shared = store_rule.shared.as_ref().filter(|_| is_recorded);
    let is_too_young = |since| Ok(store.born(now).map_err(reject_of)? > since);
    let unanswered = match (shared.map(|shared| shared.on_error), claim.since) {
        (None, Some(since)) if is_too_young(since)? => return Err(Reject::ColdStart),
        (Some(OnError::Local | OnError::Allow), Some(since)) if is_too_young(since)? => Unanswered::TooYoung,
        (Some(OnError::Local | OnError::Allow), _) => Unanswered::Passes,
        (Some(OnError::Deny) | None, _) => Unanswered::Refused,
    };
    // What the own store has no room for, a shared one still knows. Where the own one may have to decide alone, it keeps to its rule.
    claim.evicts |= shared.is_some_and(|shared| shared.on_error == OnError::Deny);
    let pass = |mark, local| Ok(Admission::Pass(mark, Passes { local, shared: None }));
    let reservation = match store.reserve(&claim, now) {
        Ok(reserved) => reserved.reservation,
        Err(_) if shared.is_some_and(|shared| shared.on_error == OnError::Allow) => {
            return Ok(Admission::Ask(claim, Passes::default(), unanswered));
        }
        Err(error) => return Err(reject_of(error)),
    };
    match (reservation, shared) {
        (Reservation::Granted(ticket, _), Some(_)) => {
            Ok(Admission::Ask(claim, Passes { local: Some(ticket), shared: None }, unanswered))
        }
        (Reservation::Granted(ticket, repetition), None) => pass(mark_of(repetition), Some(ticket)),
        (Reservation::Unrecorded, _) => pass(ReplayMark::Unchecked, None),
        (Reservation::Delivered, _) if on_replay == OnReplay::Flag => pass(ReplayMark::Repeated, None),
        (refusal, _) => Err(reject_of_copy(refusal)),
    }
}

/// What the shared store's answer makes of a request, whose pass in the own store is `passes`.
pub(super) fn heed(
    rule: &Rule,
    unanswered: Unanswered,
    mut passes: Passes,
    answer: Result<Reservation, NoAnswer>,
    store: &dyn Store,
) -> Result<(ReplayMark, Passes), Reject> {
    let reject = match answer {
        Ok(Reservation::Granted(ticket, repetition)) => {
            passes.shared = Some(ticket);
            return Ok((mark_of(repetition), passes));
        }
        Ok(Reservation::Delivered) => {
            // From now on it is known here as well: further copies are refused without asking.
            store.settle(passes, Outcome::Delivered);
            if rule.replay.dedupe.on_replay == OnReplay::Flag {
                return Ok((ReplayMark::Repeated, Passes::default()));
            }
            return Err(Reject::Replayed);
        }
        Ok(refusal) => reject_of_copy(refusal),
        Err(NoAnswer { error, in_doubt }) => {
            passes.shared = in_doubt;
            match (unanswered, error) {
                (Unanswered::Passes, _) => return Ok((ReplayMark::Unshared, passes)),
                (Unanswered::TooYoung, _) => Reject::ColdStart,
                (Unanswered::Refused, SharedError::Full) => Reject::StoreFull,
                (Unanswered::Refused, _) => Reject::StoreUnusable,
            }
        }
    };
    store.settle(passes, Outcome::Released);
    Err(reject)
}

const fn mark_of(repetition: Repetition) -> ReplayMark {
    match repetition {
        Repetition::First => ReplayMark::First,
        Repetition::Again => ReplayMark::Again,
    }
}

/// The latest second from which a store may remember without having forgotten this request: a window ago, or just before the earliest time
/// that is signed.
fn must_remember_since(claim: &Claim, signed_times: &[Option<u64>], now: u32) -> u32 {
    let window_ago = now.saturating_sub(claim.window);
    let earliest =
        signed_times.iter().copied().collect::<Option<Vec<u64>>>().and_then(|times| times.into_iter().min());
    let before = earliest.and_then(|time| u32::try_from(time).ok()).map_or(0, |time| time.saturating_sub(1));
    window_ago.max(before)
}

fn claim(dedupe: &Dedupe, verified: &Verified, is_recorded: bool) -> Claim {
    let seconds = |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    Claim {
        fingerprint: Fingerprint::of(verified.scheme().as_str(), &verified.signed().computed),
        is_recorded,
        // One more, because the second in which it begins counts as a whole one, and because what is as old as `max_age` and came
        // as early as `max_skew` allows is not stale yet when a window of both together ends.
        window: seconds(dedupe.window).saturating_add(1),
        lease: seconds(dedupe.lease),
        max_deliveries: dedupe.max_deliveries,
        max_attempts: dedupe.max_attempts,
        evicts: dedupe.on_full == OnFull::EvictOldest,
        since: None,
    }
}

/// Why a copy may not pass.
const fn reject_of_copy(reservation: Reservation) -> Reject {
    match reservation {
        Reservation::Delivered => Reject::Replayed,
        Reservation::Exhausted => Reject::AttemptsExhausted,
        Reservation::InFlight => Reject::InFlight,
        Reservation::TooYoung => Reject::ColdStart,
        // No store says so of a request that is to be recorded.
        Reservation::Granted(..) | Reservation::Unrecorded => Reject::StoreUnusable,
    }
}

const fn reject_of(error: StoreError) -> Reject {
    match error {
        StoreError::Full => Reject::StoreFull,
        StoreError::Contended | StoreError::Unusable => Reject::StoreUnusable,
    }
}
