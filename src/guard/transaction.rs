//! One request, from its head to its verdict.

use std::sync::Arc;

use super::admission::{self, Admission, NoAnswer, Passes, Store, Times, Unanswered};
use super::{Disposition, Step};
use crate::config::{Hold, Mode, Plan, Protection, ReplayStore, Rule};
use crate::reject::{Reject, StatusClass};
use crate::replay::{Outcome, Reservation, Ticket, event_times, strip_minted};
use crate::request::RequestHead;
use crate::route::{self, Selection};
use crate::signature::explain::{Evidence, Hint};
use crate::signature::{self, AwaitsBody, HeadVerdict, Refused, Verified};

/// The state of one request. It keeps the rule under which the request began.
#[derive(Debug)]
pub struct Transaction {
    rule: Arc<Rule>,
    mode: Mode,
    protected: Option<Arc<Rule>>,
    state: State,
    buffered: usize,
    evidence: Option<Box<Evidence>>,
    times: Times,
    stripped_target: Option<Vec<u8>>,
    passes: Passes,
}

#[derive(Debug)]
enum State {
    /// The head is in order, the body decides.
    Awaiting(AwaitsBody),
    /// The request is known to be bad. Its small body is let in first, unread, because an early answer makes the
    /// proxy close an HTTP/1 connection (perf-facts 9.8).
    Refusing(Refused),
    /// The request is genuine, and the shared store was asked whether it may pass.
    Asking(Box<Verified>, Unanswered),
    /// The request went upstream.
    Forwarded,
    /// The request was answered here, or nobody has asked yet whether it may pass.
    Answered,
}

/// For what a request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For the rest of its body.
    Body,
    /// For the shared store's answer.
    Store,
}

impl Transaction {
    /// Finds the rule of a head, and judges by it.
    pub fn begin(plan: &Plan, head: &RequestHead<'_>) -> (Self, Step) {
        Self::under(route::select(plan, head), plan, head)
    }

    /// Judges a head by the rule that was found for it.
    pub fn under(selection: Selection<'_>, plan: &Plan, head: &RequestHead<'_>) -> (Self, Step) {
        let Selection { rule, gate } = selection;
        // Where the gate is only observed, a rule that demands something still gets it.
        let gate =
            gate.filter(|gate| gate.mode == Mode::Enforce || matches!(rule.protection, Protection::None));
        let evidence = if plan.explains() { Evidence::of(head).map(Box::new) } else { None };
        let mut transaction = Self {
            rule: Arc::clone(rule),
            mode: gate.as_ref().map_or(rule.mode, |gate| gate.mode),
            protected: gate.as_ref().and_then(|gate| gate.protects.cloned()),
            state: State::Forwarded,
            buffered: 0,
            evidence,
            times: Times::of_head(rule, head),
            stripped_target: if rule.replay.minted.strip { strip_minted(head.target) } else { None },
            passes: Passes::default(),
        };
        let step = match (gate, &rule.protection) {
            (Some(gate), _) => transaction.refuse_head(gate.reject.into(), head),
            (None, Protection::None) => Step::Forward(Disposition::Unprotected),
            (None, Protection::Deny) => transaction.refuse_head(Reject::Denied.into(), head),
            (None, Protection::Twilio(twilio)) => {
                transaction.proceed(signature::judge_twilio(twilio, &rule.limits, head), head)
            }
            (None, Protection::Sendgrid(sendgrid)) => {
                transaction.proceed(signature::judge_sendgrid(sendgrid, &rule.limits, head), head)
            }
        };
        (transaction, step)
    }

    /// A request that could not even be read: answered at once.
    pub fn unreadable(plan: &Plan) -> (Self, Step) {
        let rule = Arc::clone(plan.default_rule());
        let mut transaction = Self {
            rule,
            mode: Mode::Enforce,
            protected: None,
            state: State::Forwarded,
            buffered: 0,
            evidence: None,
            times: Times::default(),
            stripped_target: None,
            passes: Passes::default(),
        };
        let step = transaction.host_failed();
        (transaction, step)
    }

    /// The rule that governs this request.
    #[must_use]
    pub const fn rule(&self) -> &Arc<Rule> {
        &self.rule
    }

    /// Whether there is anything to explain: a signature that was refused, under a configuration that says `explain`.
    #[must_use]
    pub const fn can_explain(&self, refused: &Refused) -> bool {
        let is_genuine = matches!(refused.reject, Reject::MintMissing | Reject::MintInvalid);
        let is_signature = matches!(refused.reject.class(), StatusClass::InvalidSignature);
        self.evidence.is_some() && is_signature && !is_genuine
    }

    /// What would have made a refused request acceptable, where the configuration says `explain`. For the operator's eyes
    /// only; costs up to [`explain::MAX_SIGNATURES`], so the caller limits how often it asks.
    ///
    /// [`explain::MAX_SIGNATURES`]: crate::signature::explain::MAX_SIGNATURES
    #[must_use]
    pub fn explain(&self, plan: &Plan, refused: &Refused) -> Vec<Hint> {
        match (&self.evidence, self.rule.protection.twilio()) {
            (Some(evidence), Some(twilio)) => evidence.explain(plan, twilio, refused.reject),
            _ => Vec::new(),
        }
    }

    /// Whether verdicts on this request are enforced.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The methods that the request could have had: those of its rule, or of the rule for whose sake it is refused.
    #[must_use]
    pub fn allowed_methods(&self) -> Option<&[String]> {
        self.protected.as_ref().unwrap_or(&self.rule).protection.methods()
    }

    /// For what the request waits, and so for how long.
    #[must_use]
    pub const fn waits_for(&self) -> Option<Wait> {
        match self.state {
            State::Awaiting(_) | State::Refusing(_) => Some(Wait::Body),
            State::Asking(..) => Some(Wait::Store),
            State::Forwarded | State::Answered => None,
        }
    }

    /// About how many bytes the request keeps while it waits.
    #[must_use]
    pub fn weight(&self) -> usize {
        let kept = match &self.state {
            State::Awaiting(awaits) => awaits.weight(),
            State::Refusing(_) | State::Asking(..) | State::Forwarded | State::Answered => 0,
        };
        kept.saturating_add(self.evidence.as_ref().map_or(0, |evidence| evidence.weight()))
    }

    /// Too many requests wait already: this one cannot.
    pub fn overloaded(&mut self) -> Step {
        self.refuse(Reject::Overloaded.into())
    }

    /// Whether a genuine request may pass, by its time and by the number of its copies. `now` is in seconds since 1970.
    pub fn admit(
        &mut self,
        verified: Verified,
        store_rule: &ReplayStore,
        now: u64,
        store: &dyn Store,
    ) -> Step {
        match admission::admit(&self.rule, store_rule, &verified, &self.times, now, store) {
            Ok(Admission::Pass(mark, passes)) => {
                self.passes = passes;
                self.forward(Disposition::Verified(verified, mark))
            }
            Ok(Admission::Ask(claim, passes, unanswered)) => {
                self.passes = passes;
                self.state = State::Asking(Box::new(verified), unanswered);
                Step::Ask(claim)
            }
            Err(reject) => self.refuse(Refused::of(reject, &verified)),
        }
    }

    /// What the shared store says, or that it says nothing.
    pub fn answer(&mut self, answer: Result<Reservation, NoAnswer>, store: &dyn Store) -> Step {
        let (verified, unanswered) = match std::mem::replace(&mut self.state, State::Answered) {
            State::Asking(verified, unanswered) => (verified, unanswered),
            // Nobody asked.
            state => {
                self.state = state;
                return Step::Hold;
            }
        };
        let passes = std::mem::take(&mut self.passes);
        match admission::heed(&self.rule, unanswered, passes, answer, store) {
            Ok((mark, passes)) => {
                self.passes = passes;
                self.forward(Disposition::Verified(*verified, mark))
            }
            Err(reject) => self.refuse(Refused::of(reject, &verified)),
        }
    }

    /// The target that the upstream gets, where that is not the one that came.
    #[must_use]
    pub fn stripped_target(&self) -> Option<&[u8]> {
        self.stripped_target.as_deref()
    }

    /// Whether what becomes of the request has to be told to a store.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        !self.passes.is_none()
    }

    /// The request ended while the shared store was asked: no upstream saw all of it. The store may have granted this pass.
    pub fn leave(&mut self, in_doubt: Ticket, store: &dyn Store) {
        self.passes.shared = Some(in_doubt);
        self.settle(None, false, store);
    }

    /// The response began, with this status, or the request ended without one. `reached_upstream` says whether the
    /// request was sent to an upstream. The stores are told, if they were not told yet.
    pub fn settle(&mut self, status: Option<u16>, reached_upstream: bool, store: &dyn Store) {
        let passes = std::mem::take(&mut self.passes);
        if passes.is_none() {
            return;
        }
        // With these the application asks for the request once more (RFC 9110, section 15.5.9; RFC 8470; RFC 6585).
        let asks_again = matches!(status, Some(408 | 425 | 429));
        let outcome = match status {
            _ if !reached_upstream => Outcome::Released,
            Some(status) if status < 500 && !asks_again => Outcome::Delivered,
            _ => Outcome::Attempted,
        };
        store.settle(passes, outcome);
    }

    /// More of the body is buffered: `buffered` bytes in all. `read` copies that many bytes and is called at most
    /// once, for a request that can still be accepted.
    pub fn body(
        &mut self,
        buffered: usize,
        end_of_stream: bool,
        read: impl FnOnce(usize) -> Option<Vec<u8>>,
    ) -> Step {
        self.buffered = buffered;
        match std::mem::replace(&mut self.state, State::Answered) {
            // Where the store is asked, what comes is not part of the request, such as the bytes of an upgrade.
            state @ (State::Forwarded | State::Answered | State::Asking(..)) => self.stay(state),
            State::Refusing(refused) if end_of_stream || buffered > self.rule.limits.max_form => {
                if let Some(evidence) = self.evidence.as_deref_mut().filter(|_| end_of_stream) {
                    evidence.set_body(read(buffered).unwrap_or_default());
                }
                self.refuse(refused)
            }
            state @ State::Refusing(_) => self.stay(state),
            State::Awaiting(awaits) => match awaits.check_length(buffered) {
                Err(reject) => self.refuse(reject.into()),
                Ok(()) if end_of_stream => self.judge_body(awaits, read),
                Ok(()) => self.stay(State::Awaiting(awaits)),
            },
        }
    }

    /// The request ended with trailers: the body is what was buffered so far.
    pub fn trailers(&mut self, read: impl FnOnce(usize) -> Option<Vec<u8>>) -> Step {
        self.body(self.buffered, true, read)
    }

    /// The body did not end within the rule's `body_timeout`. `host_delivers_bodies` says whether this host has ever
    /// delivered a body while a head was held. A request that waits for the shared store is not for this clock.
    pub fn timeout(&mut self, host_delivers_bodies: bool) -> Step {
        match std::mem::replace(&mut self.state, State::Answered) {
            state @ (State::Forwarded | State::Answered | State::Asking(..)) => self.stay(state),
            State::Refusing(refused) => self.refuse(refused),
            State::Awaiting(_) if host_delivers_bodies || self.rule.hold == Hold::Body => {
                self.refuse(Reject::BodyTimeout.into())
            }
            State::Awaiting(_) => self.refuse(Reject::HoldFlagMissing.into()),
        }
    }

    /// The host failed to do what it was asked. Refused in every mode: what could not be read was not observed, and
    /// what could not be removed must not arrive.
    pub fn host_failed(&mut self) -> Step {
        self.state = State::Answered;
        Step::Refuse(Reject::HostError.into())
    }

    /// Nothing changes: what went upstream goes on, everything else stays here.
    fn stay(&mut self, state: State) -> Step {
        let step = if matches!(state, State::Forwarded) { Step::Pass } else { Step::Hold };
        self.state = state;
        step
    }

    fn proceed(&mut self, verdict: Result<HeadVerdict, Refused>, head: &RequestHead<'_>) -> Step {
        match verdict {
            Ok(HeadVerdict::Verified(verified)) => {
                self.state = State::Answered;
                Step::Admit(verified)
            }
            Ok(HeadVerdict::Awaits(awaits)) => {
                self.state = State::Awaiting(awaits);
                match self.rule.hold {
                    Hold::Headers => Step::Hold,
                    Hold::Body => Step::HoldBody,
                }
            }
            Err(refused) => self.refuse_head(refused, head),
        }
    }

    fn judge_body(&mut self, awaits: AwaitsBody, read: impl FnOnce(usize) -> Option<Vec<u8>>) -> Step {
        let body = if self.buffered == 0 { Some(Vec::new()) } else { read(self.buffered) };
        let Some(body) = body.filter(|body| body.len() == self.buffered) else { return self.host_failed() };
        match awaits.judge(&body) {
            Ok(verified) => {
                if self.rule.replay.freshness.cloudevents {
                    self.times.in_body = event_times(&body);
                }
                Step::Admit(verified)
            }
            Err(refused) => {
                if let Some(evidence) = &mut self.evidence {
                    evidence.set_body(body);
                }
                self.refuse(refused)
            }
        }
    }

    fn refuse_head(&mut self, refused: Refused, head: &RequestHead<'_>) -> Step {
        if self.mode == Mode::Enforce && self.is_worth_waiting(head) {
            self.state = State::Refusing(refused);
            return Step::Hold;
        }
        self.refuse(refused)
    }

    /// Whether to let the rest of a bad request in before answering: its body is declared and small, and no byte of
    /// it goes anywhere meanwhile.
    fn is_worth_waiting(&self, head: &RequestHead<'_>) -> bool {
        let is_small = |length: u64| {
            usize::try_from(length).is_ok_and(|length| (1..=self.rule.limits.max_form).contains(&length))
        };
        self.rule.hold == Hold::Headers
            && head.host_delivers_bodies
            && !head.end_of_stream
            && !head.is_upgrade()
            && head.method != b"CONNECT"
            && head.declared_length().is_some_and(is_small)
    }

    fn refuse(&mut self, refused: Refused) -> Step {
        match self.mode {
            Mode::Enforce => {
                self.state = State::Answered;
                Step::Refuse(refused)
            }
            Mode::Observe => self.forward(Disposition::ObservedReject(refused)),
        }
    }

    fn forward(&mut self, disposition: Disposition) -> Step {
        self.state = State::Forwarded;
        Step::Forward(disposition)
    }
}
