//! The shared store, seen from one plugin on one worker: questions of requests, and what the store still has to be told.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::abi::{self, Level};
use super::calls::{Calls, Token, error_of_status};
use super::counters::{Counter, Named, define, increment};
use super::shared::random_u32;
use crate::config::SharedStore;
use crate::guard::NoAnswer;
use crate::limiter::TokenBucket;
use crate::replay::{Batch, Claim, Outcome, Reservation, Settlements, SharedError, Ticket, Told};

/// Lines about a store that does not answer: a few, then one in ten seconds, for each worker.
const LOG_BURST: u32 = 3;
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How many ticks longer than its time a call may take before the clock ends it.
const TICKS_OVER: u32 = 4;

/// How many settling calls a tick begins at most.
const CALLS_A_TICK: usize = 16;

/// A question that waits for its answer.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// The context of the request that asked.
    own: u32,
    token: Token,
    claim: Claim,
    epoch: u32,
}

impl Asked {
    /// Whether a callback about this call is about this question.
    pub(super) const fn is(&self, token: Token) -> bool {
        self.token == token
    }

    /// The pass that may have been granted.
    pub(super) const fn pass(&self) -> Ticket {
        Ticket::asked(self.claim.fingerprint, self.epoch)
    }
}

/// The way to the shared store.
pub(super) struct SharedAccess {
    root: u32,
    calls: Calls,
    /// How many ticks a call may take.
    ticks: u32,
    settlements: RefCell<Settlements>,
    under_way: RefCell<BTreeMap<Token, UnderWay>>,
    /// What the gauge has of this worker.
    shown: Cell<i64>,
    is_ending: Cell<bool>,
    log_lines: RefCell<TokenBucket>,
    metrics: Metrics,
}

/// A settling call. The proxy ends it in time if it is configured as it should be; else the clock does.
struct UnderWay {
    batch: Batch,
    ticks_left: u32,
}

/// A line about a store that did not answer.
#[derive(Serialize)]
struct LogLine {
    event: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_error: Option<&'static str>,
    lines_dropped_before: u64,
}

struct Metrics {
    answers: RefCell<BTreeMap<&'static str, Counter>>,
    waiting: OnceCell<Option<u32>>,
    settled: Named,
    retried: Named,
    failed: Named,
}

impl SharedAccess {
    /// `root` is the plugin's root context, `tick` the period of its clock.
    pub(super) fn new(root: u32, rule: &SharedStore, tick: Duration) -> Self {
        Self {
            root,
            calls: Calls::new(root, &rule.cluster, rule.timeout),
            ticks: u32::try_from(rule.timeout.as_millis() / tick.as_millis().max(1)).unwrap_or(u32::MAX),
            settlements: RefCell::default(),
            under_way: RefCell::default(),
            shown: Cell::default(),
            is_ending: Cell::default(),
            log_lines: RefCell::new(TokenBucket::new(LOG_BURST, LOG_INTERVAL)),
            metrics: Metrics {
                answers: RefCell::default(),
                waiting: OnceCell::new(),
                settled: Named::new("twilio_guard_replay_settlements_shared"),
                retried: Named::new("twilio_guard_replay_settlements_retried"),
                failed: Named::failed_settlements(),
            },
        }
    }

    /// Asks for a pass, in the callback of the request `own`.
    pub(super) fn ask(&self, own: u32, rule: &SharedStore, claim: Claim) -> Result<Asked, NoAnswer> {
        let epoch = random_u32();
        let pass = Ticket::asked(claim.fingerprint, epoch);
        match self.calls.begin(own, &rule.redis.reserve(&claim, epoch)) {
            Ok(token) => Ok(Asked { own, token, claim, epoch }),
            Err(error) => Err(self.no_answer(rule, error, pass)),
        }
    }

    /// Reads the answer to a question, in the callback of the request that asked.
    pub(super) fn answer(
        &self,
        rule: &SharedStore,
        asked: &Asked,
        size: usize,
    ) -> Result<Reservation, NoAnswer> {
        let reply = self.calls.receive(asked.own, asked.token, size);
        match reply.and_then(|reply| rule.redis.read_reservation(&asked.claim, &reply)) {
            Ok(reservation) => {
                self.count("answered");
                Ok(reservation)
            }
            Err(error) => Err(self.no_answer(rule, error, asked.pass())),
        }
    }

    /// A question ended without an answer, with this gRPC status.
    pub(super) fn closed(&self, rule: &SharedStore, asked: &Asked, status: u32) -> NoAnswer {
        self.calls.end(asked.own, asked.token);
        self.no_answer(rule, error_of_status(status), asked.pass())
    }

    /// No answer came in time.
    pub(super) fn timed_out(&self, rule: &SharedStore, asked: &Asked) -> NoAnswer {
        self.calls.end(asked.own, asked.token);
        self.no_answer(rule, SharedError::Timeout, asked.pass())
    }

    /// The request that asked is gone.
    pub(super) fn abandon(&self, asked: &Asked) {
        self.calls.end(asked.own, asked.token);
        self.count("abandoned");
    }

    /// The store has to be told what became of a pass.
    pub(super) fn settle(&self, ticket: Ticket, outcome: Outcome) {
        let lost = self.settlements.borrow_mut().push(ticket, outcome);
        self.metrics.failed.add(lost);
        self.show_waiting();
    }

    /// Tells the store what it can be told now. For the root context's clock.
    pub(super) fn tick(&self, rule: &SharedStore) {
        self.settlements.borrow_mut().tick();
        for (token, batch) in self.overdue() {
            self.calls.end(self.root, token);
            self.retry(SharedError::Timeout, batch);
        }
        self.send(rule);
    }

    fn overdue(&self) -> Vec<(Token, Batch)> {
        let mut under_way = self.under_way.borrow_mut();
        under_way.values_mut().for_each(|call| call.ticks_left = call.ticks_left.saturating_sub(1));
        let overdue = under_way.extract_if(.., |_, call| call.ticks_left == 0);
        overdue.map(|(token, call)| (token, call.batch)).collect()
    }

    /// The plugin ends: tells the store what is left. Whether it was told all of it already. What still waits is shown no more, because the
    /// host may end this worker's part before it could take it back.
    pub(super) fn finish(&self, rule: &SharedStore) -> bool {
        self.send(rule);
        self.is_ending.set(true);
        self.show_waiting();
        self.is_settled()
    }

    /// Tells the store nothing more.
    pub(super) fn give_up(&self) {
        self.metrics.failed.add(self.waiting());
        self.under_way.take().keys().for_each(|token| self.calls.end(self.root, *token));
        self.settlements.take();
    }

    /// Whether nothing waits and no call is under way.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting() == 0
    }

    /// How many passes the store was not told of yet, as far as is known.
    fn waiting(&self) -> usize {
        let under_way: usize = self.under_way.borrow().values().map(|call| call.batch.passes.len()).sum();
        self.settlements.borrow().len().saturating_add(under_way)
    }

    /// An answer to a settling call came.
    pub(super) fn on_message(&self, rule: &SharedStore, token: Token, size: usize) {
        let reply = self.calls.receive(self.root, token, size);
        let Some(UnderWay { batch, .. }) = self.under_way.borrow_mut().remove(&token) else { return };
        match reply.and_then(|reply| rule.redis.read_settlements(&batch.passes, &reply)) {
            Ok(Told { again, lost, error }) => {
                if let Some(error) = error {
                    self.log("replay_settlement_error", error, None);
                }
                let settled = batch.passes.len().saturating_sub(again.len()).saturating_sub(lost);
                self.metrics.settled.add(settled);
                self.metrics.retried.add(again.len());
                self.metrics.failed.add(lost);
                let lost = self.settlements.borrow_mut().answered(&batch, again);
                self.metrics.failed.add(lost);
            }
            Err(error) => self.retry(error, batch),
        }
        self.show_waiting();
    }

    /// A settling call ended; without an answer, if none came before.
    pub(super) fn on_close(&self, token: Token, status: u32) {
        let Some(UnderWay { batch, .. }) = self.under_way.borrow_mut().remove(&token) else { return };
        self.calls.end(self.root, token);
        self.retry(error_of_status(status), batch);
        self.show_waiting();
    }

    fn send(&self, rule: &SharedStore) {
        for _ in 0..CALLS_A_TICK {
            let Some(batch) = self.settlements.borrow_mut().take() else { break };
            match self.calls.begin(self.root, &rule.redis.settle(&batch.passes)) {
                Ok(token) => {
                    let call = UnderWay { batch, ticks_left: TICKS_OVER.saturating_add(self.ticks) };
                    self.under_way.borrow_mut().insert(token, call);
                }
                Err(error) => self.retry(error, batch),
            }
        }
        self.show_waiting();
    }

    /// Each worker adds its own part to the gauge of all.
    fn show_waiting(&self) {
        let waiting = if self.is_ending.get() { 0 } else { self.waiting() };
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        let change = waiting.saturating_sub(self.shown.replace(waiting));
        let gauge = &self.metrics.waiting;
        if let (1.. | ..=-1, Some(id)) =
            (change, gauge.get_or_init(|| abi::gauge("twilio_guard_replay_settlements_waiting").ok()))
        {
            abi::add(*id, change);
        }
    }

    fn retry(&self, error: SharedError, batch: Batch) {
        self.metrics.retried.add(batch.passes.len());
        let lost = self.settlements.borrow_mut().unanswered(batch);
        self.metrics.failed.add(lost);
        self.log("replay_settlement_error", error, None);
    }

    fn no_answer(&self, rule: &SharedStore, error: SharedError, pass: Ticket) -> NoAnswer {
        self.count(error.code());
        self.log("replay_store_error", error, Some(rule.on_error.as_str()));
        NoAnswer { error, in_doubt: error.is_in_doubt().then_some(pass) }
    }

    fn log(&self, event: &'static str, error: SharedError, on_error: Option<&'static str>) {
        let now = abi::now().unwrap_or_default();
        if let Some(lines_dropped_before) = self.log_lines.borrow_mut().take(now) {
            let line = LogLine { event, code: error.code(), on_error, lines_dropped_before };
            let line = serde_json::to_string(&line).unwrap_or_default();
            abi::log(Level::Warn, &format!("twilio-guard {line}"));
        }
    }

    fn count(&self, answer: &'static str) {
        let mut answers = self.metrics.answers.borrow_mut();
        let name = || format!("twilio_guard_replay_store.answer={answer}");
        increment(*answers.entry(answer).or_insert_with(|| define(&name())));
    }
}
