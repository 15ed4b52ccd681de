//! What a genuine request is judged by, beyond its signature: time, number, and the age of the store.

use std::cell::{Cell, RefCell};

use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::guard::{Disposition, Passes, ReplayMark, Step, Store, Transaction};
use twilio_guard::reject::Reject;
use twilio_guard::replay::{Claim, Geometry, LocalStore, Outcome, Reserved, StoreError, Ticket};

use crate::core_support::{FORM, Request, SID_A, TOKEN_A, URL, encode_form, plan, sha256};
use crate::shared::Shared;

/// 2026-11-22T10:00:00Z.
pub(crate) const NOW: u64 = 1_795_341_600;

/// A store in this test's memory.
pub(crate) struct Memory {
    shared: Shared,
    store: LocalStore,
    epoch: Cell<u32>,
    /// When it was asked last.
    now: Cell<u32>,
    /// What the shared store would be told.
    pub(crate) told: RefCell<Vec<(Ticket, Outcome)>>,
}

impl Default for Memory {
    fn default() -> Self {
        let store = LocalStore::new("test", Geometry::for_capacity(1024));
        Self {
            shared: Shared::default(),
            store,
            epoch: Cell::default(),
            now: Cell::default(),
            told: RefCell::default(),
        }
    }
}

impl Store for Memory {
    fn reserve(&self, claim: &Claim, now: u32) -> Result<Reserved, StoreError> {
        self.epoch.set(self.epoch.get() + 1);
        self.now.set(now);
        self.store.reserve(&self.shared, claim, now, self.epoch.get())
    }

    fn born(&self, now: u32) -> Result<u32, StoreError> {
        self.store.born(&self.shared, now)
    }

    fn settle(&self, passes: Passes, outcome: Outcome) {
        if let Some(ticket) = passes.local {
            self.store.settle(&self.shared, &ticket, outcome, self.now.get()).expect("settled");
        }
        self.told.borrow_mut().extend(passes.shared.map(|ticket| (ticket, outcome)));
    }
}

/// A store that fails.
pub(crate) struct Broken(pub(crate) StoreError);

impl Store for Broken {
    fn reserve(&self, _: &Claim, _: u32) -> Result<Reserved, StoreError> {
        Err(self.0)
    }

    fn born(&self, _: u32) -> Result<u32, StoreError> {
        Err(self.0)
    }

    fn settle(&self, _: Passes, _: Outcome) {}
}

pub(crate) fn config(route: Value, replay: Value) -> Plan {
    let mut own = json!({"name": "only", "match": {"path": "/x"}, "verify": "twilio"});
    own.as_object_mut().expect("an object").extend(route.as_object().expect("an object").clone());
    plan(&json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "current"}]}],
        "default": "deny",
        "routes": [own],
        "replay": replay,
    }))
}

/// A signed form.
pub(crate) fn form(params: &[(&str, &str)]) -> Request {
    let pairs: Vec<_> = params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Request::post("/x", FORM, encode_form(&pairs)).sign_form(TOKEN_A.as_bytes(), &pairs)
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes(ReplayMark),
    Refused(Reject),
    Observed(Reject),
}

fn judge_with(
    plan: &Plan,
    request: &Request,
    times: &[(&str, &str)],
    now: u64,
    store: &dyn Store,
) -> Verdict {
    let mut head = request.head(plan, false);
    head.time_headers = times.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let (mut transaction, mut step) = Transaction::begin(plan, &head);
    if matches!(step, Step::Hold) {
        let body = request.body.clone();
        step = transaction.body(body.len(), true, |_| Some(body));
    }
    let Step::Admit(verified) = step else { panic!("not genuine: {step:?}") };
    match transaction.admit(verified, plan.replay_store(), now, store) {
        Step::Forward(Disposition::Verified(_, mark)) => Verdict::Passes(mark),
        Step::Forward(Disposition::ObservedReject(refused)) => Verdict::Observed(refused.reject),
        Step::Refuse(refused) => Verdict::Refused(refused.reject),
        other => panic!("{other:?}"),
    }
}

fn judge(plan: &Plan, request: &Request, now: u64) -> Verdict {
    judge_with(plan, request, &[], now, &Memory::default())
}

pub(crate) const SID: &str = "SM0123456789abcdef0123456789abcdef";

#[test]
fn a_signed_time_bounds_the_age_at_the_second() {
    let plan = config(json!({}), json!({"freshness": {"sources": [{"param": "When"}]}}));
    for (written, time) in [
        ("1795341600", NOW),
        ("1795341600999", NOW),
        ("Sun, 22 Nov 2026 10:00:00 +0000", NOW),
        ("2026-11-22T11:00:00+01:00", NOW),
    ] {
        let request = form(&[("When", written)]);
        for (now, verdict) in [
            (time, Verdict::Passes(ReplayMark::Unchecked)),
            (time + 300, Verdict::Passes(ReplayMark::Unchecked)),
            (time + 301, Verdict::Refused(Reject::Stale)),
            (time - 60, Verdict::Passes(ReplayMark::Unchecked)),
            (time - 61, Verdict::Refused(Reject::FromFuture)),
        ] {
            assert_eq!(judge(&plan, &request, now), verdict, "{written} at {now}");
        }
    }
    for bad in ["", "soon", "179534160"] {
        assert_eq!(
            judge(&plan, &form(&[("When", bad)]), NOW),
            Verdict::Refused(Reject::MalformedTime),
            "{bad}"
        );
    }
    let twice = form(&[("When", "1795341600"), ("When", "1795341601")]);
    assert_eq!(judge(&plan, &twice, NOW), Verdict::Refused(Reject::MalformedTime));
}

#[test]
fn where_a_time_is_demanded_its_absence_refuses_also_by_folding() {
    let plan = config(json!({}), json!({"freshness": {"require": true, "sources": [{"param": "When"}]}}));
    assert_eq!(judge(&plan, &form(&[("A", "b")]), NOW), Verdict::Refused(Reject::TimeMissing));
    // The same signed text, with the parameter folded into its neighbour.
    let genuine = form(&[("A", "b"), ("When", "1795341600")]);
    let folded = form(&[("A", "bWhen1795341600")]);
    assert_eq!(judge(&plan, &genuine, NOW), Verdict::Passes(ReplayMark::Unchecked));
    assert_eq!(judge(&plan, &folded, NOW), Verdict::Refused(Reject::TimeMissing));
}

#[test]
fn an_unsigned_time_can_only_narrow() {
    let sources = json!([{"param": "When"}, {"header": "X-Request-Timestamp", "format": "epoch"}]);
    let plan = config(json!({}), json!({"freshness": {"require": true, "sources": sources}}));
    let header = |value| [("x-request-timestamp", value)];
    let memory = Memory::default();
    let timed = form(&[("When", "1795341600")]);
    for (value, verdict) in [
        ("1795341600", Verdict::Passes(ReplayMark::Unchecked)),
        ("1795341200", Verdict::Refused(Reject::Stale)),
        ("1795341700", Verdict::Refused(Reject::FromFuture)),
        ("now", Verdict::Refused(Reject::MalformedTime)),
    ] {
        assert_eq!(judge_with(&plan, &timed, &header(value), NOW, &memory), verdict, "{value}");
    }
    let two = [("x-request-timestamp", "1795341600"), ("x-request-timestamp", "1795341600")];
    assert_eq!(judge_with(&plan, &timed, &two, NOW, &memory), Verdict::Refused(Reject::MalformedTime));
    let untimed = form(&[("A", "b")]);
    let verdict = judge_with(&plan, &untimed, &header("1795341600"), NOW, &memory);
    assert_eq!(verdict, Verdict::Refused(Reject::TimeMissing));
}

#[test]
fn a_copy_is_counted_however_its_parameters_are_folded() {
    let plan = config(json!({}), json!({}));
    let genuine = form(&[("Body", "hi"), ("MessageSid", SID), ("To", "+1")]);
    let folded = form(&[("Body", &format!("hiMessageSid{SID}")), ("To", "+1")]);
    let torn = form(&[("Body", "hiMessage"), ("Sid", SID), ("To", "+1")]);
    for (first, second) in [(&genuine, &folded), (&folded, &genuine), (&genuine, &torn), (&torn, &folded)] {
        let memory = Memory::default();
        assert_eq!(judge_with(&plan, first, &[], NOW, &memory), Verdict::Passes(ReplayMark::First));
        assert_eq!(judge_with(&plan, second, &[], NOW, &memory), Verdict::Refused(Reject::InFlight));
    }
}

#[test]
fn what_identifies_no_event_is_looked_up_and_not_counted() {
    let plan = config(json!({}), json!({}));
    let memory = Memory::default();
    let voice = form(&[("CallSid", "CA0123456789abcdef0123456789abcdef"), ("Digits", "9")]);
    for _ in 0..20 {
        assert_eq!(judge_with(&plan, &voice, &[], NOW, &memory), Verdict::Passes(ReplayMark::Unchecked));
    }
    let always = config(json!({}), json!({"dedupe": {"eligible": "always"}}));
    assert_eq!(judge_with(&always, &voice, &[], NOW, &memory), Verdict::Passes(ReplayMark::First));
    assert_eq!(judge_with(&plan, &voice, &[], NOW, &memory), Verdict::Refused(Reject::InFlight));
}

#[test]
fn a_store_that_cannot_tell_lets_nothing_pass_that_is_counted() {
    let plan = config(json!({}), json!({}));
    let message = form(&[("MessageSid", SID)]);
    for (error, reject) in [
        (StoreError::Full, Reject::StoreFull),
        (StoreError::Contended, Reject::StoreUnusable),
        (StoreError::Unusable, Reject::StoreUnusable),
    ] {
        let verdict = judge_with(&plan, &message, &[], NOW, &Broken(error));
        assert_eq!(verdict, Verdict::Refused(reject), "{error:?}");
    }
    let off = config(json!({}), json!({"dedupe": {"eligible": "none"}}));
    let verdict = judge_with(&off, &message, &[], NOW, &Broken(StoreError::Full));
    assert_eq!(verdict, Verdict::Passes(ReplayMark::Unchecked));
}

#[test]
fn a_strict_store_passes_what_is_younger_than_itself_until_it_is_a_window_old() {
    let sources = json!([{"param": "When"}]);
    let replay = json!({"cold_start": "strict", "freshness": {"sources": sources}});
    let plan = config(json!({}), replay);
    let memory = Memory::default();
    memory.born(u32::try_from(NOW).expect("small")).expect("born");
    let untimed = |sid: &str| form(&[("MessageSid", sid)]);
    let timed = |when: u64| form(&[("MessageSid", SID), ("When", &when.to_string())]);
    assert_eq!(
        judge_with(&plan, &untimed(SID), &[], NOW + 600, &memory),
        Verdict::Refused(Reject::ColdStart)
    );
    assert_eq!(judge_with(&plan, &timed(NOW), &[], NOW + 10, &memory), Verdict::Refused(Reject::ColdStart));
    assert_eq!(
        judge_with(&plan, &timed(NOW + 1), &[], NOW + 10, &memory),
        Verdict::Passes(ReplayMark::First)
    );
    assert_eq!(judge_with(&plan, &untimed(SID), &[], NOW + 601, &memory), Verdict::Passes(ReplayMark::First));
}

#[test]
fn observing_reports_a_copy_and_lets_it_pass() {
    let plan = config(json!({"mode": "observe"}), json!({}));
    let memory = Memory::default();
    let message = form(&[("MessageSid", SID)]);
    assert_eq!(judge_with(&plan, &message, &[], NOW, &memory), Verdict::Passes(ReplayMark::First));
    assert_eq!(judge_with(&plan, &message, &[], NOW, &memory), Verdict::Observed(Reject::InFlight));
}

#[test]
fn each_event_of_a_batch_has_to_be_fresh() {
    let plan = config(json!({"profile": "event-streams", "accounts": [SID_A]}), json!({}));
    let batch = |times: &[&str]| {
        let events: Vec<Value> = times.iter().map(|time| json!({"id": "e", "time": time})).collect();
        let body = Value::Array(events).to_string();
        let target = format!("/x?bodySHA256={}", sha256(body.as_bytes()));
        Request::post(target, "application/json", body).sign_url(TOKEN_A.as_bytes())
    };
    for (times, verdict) in [
        (&["2026-11-22T09:59:00Z", "2026-11-21T10:00:01Z"][..], Verdict::Passes(ReplayMark::First)),
        (&["2026-11-22T09:59:00Z", "2026-11-21T09:59:59Z"], Verdict::Refused(Reject::Stale)),
        (&["2026-11-22T10:01:01Z"], Verdict::Refused(Reject::FromFuture)),
        (&["yesterday"], Verdict::Refused(Reject::MalformedTime)),
        (&[], Verdict::Refused(Reject::TimeMissing)),
    ] {
        assert_eq!(judge(&plan, &batch(times), NOW), verdict, "{times:?}");
    }
}

/// The window is at least as long as a signed time is fresh, so that no second is left in which a capture is both forgotten and fresh.
#[test]
fn a_capture_is_remembered_for_as_long_as_it_is_fresh() {
    let replay = json!({
        "freshness": {"sources": [{"param": "When"}], "max_age": "300s", "max_skew": "60s"},
        "dedupe": {"eligible": "always", "window": "360s"},
    });
    let (plan, store) = (config(json!({}), replay), Memory::default());
    let request = form(&[("When", "1795341600")]);
    let mut passes = 0;
    for now in NOW - 60..NOW + 400 {
        passes += u32::from(matches!(judge_with(&plan, &request, &[], now, &store), Verdict::Passes(_)));
    }
    assert_eq!(passes, 1 + 5, "the first, and one for each lease that ended");
}
