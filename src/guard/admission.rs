//! What stands between a genuine signature and the upstream: minted URLs, freshness, single use.

use crate::config::{ColdStart, Dedupe, Eligible, OnFull, OnReplay, Protection, ReplayStore, Rule};
use crate::reject::Reject;
use crate::replay::{
    Claim, Fingerprint, Repetition, Reservation, Reserved, StoreError, Ticket, check_freshness, check_minted,
};
use crate::signature::Verified;

/// Where captures are remembered, as the host provides it.
pub trait Store {
    /// Asks for a pass.
    ///
    /// # Errors
    /// The store cannot tell.
    fn reserve(&self, claim: &Claim, now: u32) -> Result<Reserved, StoreError>;

    /// The second since which the store remembers.
    ///
    /// # Errors
    /// The store cannot tell.
    fn born(&self, now: u32) -> Result<u32, StoreError>;
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
        }
    }
}

/// A pass, and the ticket by which it has to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) mark: ReplayMark,
    pub(super) ticket: Option<Ticket>,
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

/// Judges a genuine request by time and number. `now` is in seconds since 1970.
pub(super) fn admit(
    rule: &Rule,
    store_rule: &ReplayStore,
    verified: &Verified,
    times: &Times,
    now: u64,
    store: &dyn Store,
) -> Result<Admitted, Reject> {
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
        Eligible::None => return Ok(Admitted { mark: ReplayMark::Unchecked, ticket: None }),
        Eligible::Always => true,
        Eligible::EventId => signed.is_event,
    };
    let claim = claim(&replay.dedupe, verified, is_recorded);
    let now = u32::try_from(now).map_err(|_| Reject::HostError)?;
    if is_recorded && store_rule.cold_start == ColdStart::Strict {
        refuse_unknowable(&claim, &signed_times, now, store)?;
    }
    let reserved = store.reserve(&claim, now).map_err(reject_of)?;
    let pass = |mark, ticket| Ok(Admitted { mark, ticket });
    match reserved.reservation {
        Reservation::Granted(ticket, Repetition::First) => pass(ReplayMark::First, Some(ticket)),
        Reservation::Granted(ticket, Repetition::Again) => pass(ReplayMark::Again, Some(ticket)),
        Reservation::Unrecorded => pass(ReplayMark::Unchecked, None),
        Reservation::Delivered if on_replay == OnReplay::Flag => pass(ReplayMark::Repeated, None),
        Reservation::Delivered => Err(Reject::Replayed),
        Reservation::Exhausted => Err(Reject::AttemptsExhausted),
        Reservation::InFlight => Err(Reject::InFlight),
    }
}

/// Refuses what a store that is younger than the window may have forgotten.
fn refuse_unknowable(
    claim: &Claim,
    signed_times: &[Option<u64>],
    now: u32,
    store: &dyn Store,
) -> Result<(), Reject> {
    let born = store.born(now).map_err(reject_of)?;
    let is_warm = now >= born.saturating_add(claim.window);
    let is_younger = |time: &Option<u64>| time.is_some_and(|time| time > u64::from(born));
    let is_known_younger = !signed_times.is_empty() && signed_times.iter().all(is_younger);
    if is_warm || is_known_younger { Ok(()) } else { Err(Reject::ColdStart) }
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
    }
}

const fn reject_of(error: StoreError) -> Reject {
    match error {
        StoreError::Full => Reject::StoreFull,
        StoreError::Contended | StoreError::Unusable => Reject::StoreUnusable,
    }
}
