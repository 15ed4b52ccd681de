//! What becomes of a request for which the shared store is asked: every answer, and every way of getting none.

use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::guard::{Disposition, NoAnswer, ReplayMark, Step, Store, Transaction, Wait};
use twilio_guard::reject::Reject;
use twilio_guard::replay::{
    Claim, Fingerprint, Outcome, Repetition, Reservation, SharedError, StoreError, Ticket,
};

use crate::admission::{Broken, Memory, NOW, SID, Verdict, config, form};
use crate::core_support::Request;

/// A plan with a shared store.
pub(crate) fn shared(route: Value, on_error: &str, replay: &Value) -> Plan {
    let mut own = json!({"store": {"redis": {"cluster": "store", "on_error": on_error}}});
    own.as_object_mut().expect("an object").extend(replay.as_object().expect("an object").clone());
    config(route, own)
}

pub(crate) fn message() -> Request {
    form(&[("MessageSid", SID)])
}

/// A genuine request up to where the stores come in.
fn begin(plan: &Plan, request: &Request, store: &dyn Store) -> (Transaction, Step) {
    begin_at(plan, request, NOW, store)
}

pub(crate) fn begin_at(plan: &Plan, request: &Request, now: u64, store: &dyn Store) -> (Transaction, Step) {
    let (mut transaction, step) = Transaction::begin(plan, &request.head(plan, false));
    assert!(matches!(step, Step::Hold), "{step:?}");
    let body = request.body.clone();
    let Step::Admit(verified) = transaction.body(body.len(), true, |_| Some(body)) else {
        panic!("not genuine")
    };
    let step = transaction.admit(verified, plan.replay_store(), now, store);
    (transaction, step)
}

/// One for which the shared store is asked.
fn asked(plan: &Plan, store: &dyn Store) -> (Transaction, Claim) {
    match begin(plan, &message(), store) {
        (transaction, Step::Ask(claim)) => (transaction, claim),
        (_, step) => panic!("nobody is asked: {step:?}"),
    }
}

pub(crate) fn verdict(step: Step) -> Verdict {
    match step {
        Step::Forward(Disposition::Verified(_, mark)) => Verdict::Passes(mark),
        Step::Forward(Disposition::ObservedReject(refused)) => Verdict::Observed(refused.reject),
        Step::Refuse(refused) => Verdict::Refused(refused.reject),
        other => panic!("{other:?}"),
    }
}

/// What a further copy meets: a question, or a verdict without one.
fn next(plan: &Plan, store: &dyn Store) -> Option<Verdict> {
    match begin(plan, &message(), store).1 {
        Step::Ask(_) => None,
        step => Some(verdict(step)),
    }
}

/// Every answer, and every way of getting none.
fn answers(fingerprint: Fingerprint) -> Vec<Result<Reservation, NoAnswer>> {
    let pass = Ticket::asked(fingerprint, 77);
    let mut answers = vec![
        Ok(Reservation::Granted(pass, Repetition::First)),
        Ok(Reservation::Granted(pass, Repetition::Again)),
        Ok(Reservation::Unrecorded),
        Ok(Reservation::InFlight),
        Ok(Reservation::Delivered),
        Ok(Reservation::Exhausted),
        Ok(Reservation::TooYoung),
    ];
    for &error in SharedError::ALL {
        answers.extend([None, Some(pass)].map(|in_doubt| Err(NoAnswer { error, in_doubt })));
    }
    answers
}

/// The verdict that the documentation names.
fn expected(
    answer: &Result<Reservation, NoAnswer>,
    on_error: &str,
    on_replay: &str,
) -> Result<ReplayMark, Reject> {
    match answer {
        Ok(Reservation::Granted(_, Repetition::First)) => Ok(ReplayMark::First),
        Ok(Reservation::Granted(_, Repetition::Again)) => Ok(ReplayMark::Again),
        Ok(Reservation::Delivered) if on_replay == "flag" => Ok(ReplayMark::Repeated),
        Ok(Reservation::Delivered) => Err(Reject::Replayed),
        Ok(Reservation::InFlight) => Err(Reject::InFlight),
        Ok(Reservation::Exhausted) => Err(Reject::AttemptsExhausted),
        Ok(Reservation::TooYoung) => Err(Reject::ColdStart),
        Ok(Reservation::Unrecorded) => Err(Reject::StoreUnusable),
        Err(_) if on_error != "deny" => Ok(ReplayMark::Unshared),
        Err(NoAnswer { error: SharedError::Full, .. }) => Err(Reject::StoreFull),
        Err(_) => Err(Reject::StoreUnusable),
    }
}

/// The pass that the shared store gave, or may have given.
fn shared_pass(answer: &Result<Reservation, NoAnswer>) -> Option<Ticket> {
    match answer {
        Ok(Reservation::Granted(pass, _)) => Some(*pass),
        Ok(_) => None,
        Err(no_answer) => no_answer.in_doubt,
    }
}

#[test]
fn each_answer_has_its_verdict_and_each_store_is_told_once() {
    let mut seen = 0;
    for on_error in ["deny", "local", "allow"] {
        for on_replay in ["deny", "acknowledge", "flag"] {
            for mode in ["enforce", "observe"] {
                let plan =
                    shared(json!({"mode": mode}), on_error, &json!({"dedupe": {"on_replay": on_replay}}));
                let (_, claim) = asked(&plan, &Memory::default());
                for answer in answers(claim.fingerprint) {
                    let case = format!("{answer:?} {on_error} {on_replay} {mode}");
                    one_answer(&plan, answer, expected(&answer, on_error, on_replay), mode, on_replay, &case);
                    seen += 1;
                }
            }
        }
    }
    assert_eq!(seen, 3 * 3 * 2 * (7 + 2 * 9));
}

fn one_answer(
    plan: &Plan,
    answer: Result<Reservation, NoAnswer>,
    expected: Result<ReplayMark, Reject>,
    mode: &str,
    on_replay: &str,
    case: &str,
) {
    let is_enforced = mode == "enforce";
    let refused = |reject| if is_enforced { Verdict::Refused(reject) } else { Verdict::Observed(reject) };
    let copy = match on_replay {
        "flag" => Verdict::Passes(ReplayMark::Repeated),
        _ => refused(Reject::Replayed),
    };
    let shared = shared_pass(&answer);
    let was_delivered = answer == Ok(Reservation::Delivered);
    for (status, outcome) in [(200, Outcome::Delivered), (500, Outcome::Attempted)] {
        let memory = Memory::default();
        let (mut transaction, _) = asked(plan, &memory);
        let step = transaction.answer(answer, &memory);
        assert_eq!(transaction.waits_for(), None, "{case}");
        assert_eq!(verdict(step), expected.map_or_else(refused, Verdict::Passes), "{case}");
        // Who holds a pass still has it; who does not gave it back.
        let holds = expected.is_ok() && !was_delivered;
        assert_eq!(transaction.is_reserved(), holds, "{case}");
        let told: Vec<_> = shared.iter().filter(|_| !holds).map(|pass| (*pass, Outcome::Released)).collect();
        assert_eq!(*memory.told.borrow(), told, "{case}");
        if !holds {
            let known = was_delivered.then_some(&copy);
            assert_eq!(next(plan, &memory).as_ref(), known, "{case}: what another copy meets here");
        }
        // Nobody asked again, so a further answer is nobody's.
        assert!(matches!(transaction.answer(answer, &memory), Step::Hold), "{case}");
        assert_eq!(transaction.is_reserved(), holds, "{case}");
        transaction.settle(Some(status), true, &memory);
        transaction.settle(Some(status), true, &memory);
        let told: Vec<_> =
            shared.iter().map(|pass| (*pass, if holds { outcome } else { Outcome::Released })).collect();
        assert_eq!(*memory.told.borrow(), told, "{case}");
        if holds {
            let known = (outcome == Outcome::Delivered).then_some(&copy);
            assert_eq!(next(plan, &memory).as_ref(), known, "{case}: after {outcome:?}");
        }
    }
}

#[test]
fn what_the_own_store_refuses_is_asked_of_nobody() {
    let plan = shared(json!({}), "deny", &json!({}));
    let memory = Memory::default();
    let (mut transaction, _) = asked(&plan, &memory);
    assert_eq!(next(&plan, &memory), Some(Verdict::Refused(Reject::InFlight)), "while the first asks");
    let pass = Ticket::asked(Fingerprint::of("x", b"y"), 1);
    let step = transaction.answer(Ok(Reservation::Granted(pass, Repetition::First)), &memory);
    assert_eq!(verdict(step), Verdict::Passes(ReplayMark::First));
    transaction.settle(Some(204), true, &memory);
    assert_eq!(next(&plan, &memory), Some(Verdict::Refused(Reject::Replayed)));
}

#[test]
fn an_own_store_that_fails_is_made_up_for_by_the_shared_one_where_all_is_allowed() {
    for error in [StoreError::Full, StoreError::Contended, StoreError::Unusable] {
        let reject = if error == StoreError::Full { Reject::StoreFull } else { Reject::StoreUnusable };
        for on_error in ["deny", "local"] {
            let plan = shared(json!({}), on_error, &json!({}));
            assert_eq!(next(&plan, &Broken(error)), Some(Verdict::Refused(reject)), "{on_error}");
        }
        let plan = shared(json!({}), "allow", &json!({}));
        let (_, claim) = asked(&plan, &Broken(error));
        for answer in answers(claim.fingerprint) {
            let (mut transaction, _) = asked(&plan, &Broken(error));
            assert!(!transaction.is_reserved());
            // Only what is told to the shared store is looked at from here on.
            let memory = Memory::default();
            let step = transaction.answer(answer, &memory);
            let expected = expected(&answer, "allow", "deny");
            assert_eq!(verdict(step), expected.map_or_else(Verdict::Refused, Verdict::Passes), "{answer:?}");
            transaction.settle(Some(200), true, &memory);
            let told: Vec<_> =
                shared_pass(&answer).into_iter().map(|pass| (pass, Outcome::Delivered)).collect();
            assert_eq!(*memory.told.borrow(), told, "{answer:?}");
        }
    }
}

#[test]
fn where_redis_decides_a_claim_never_says_that_the_own_store_may_refuse_for_want_of_room() {
    let dedupe = json!({
        "window": "10m", "lease": "30s", "max_deliveries": 2, "max_attempts": 3, "on_full": "deny", "eligible": "always",
    });
    let plan = shared(json!({}), "deny", &json!({"dedupe": dedupe}));
    let (_, claim) = asked(&plan, &Memory::default());
    assert_eq!((claim.window, claim.lease), (601, 30));
    assert_eq!((claim.max_deliveries, claim.max_attempts, claim.since), (2, 3, None));
    assert!(claim.is_recorded && claim.evicts);
    let same = asked(&shared(json!({}), "allow", &json!({})), &Memory::default()).1;
    assert_eq!(claim.fingerprint.as_bytes(), same.fingerprint.as_bytes(), "a copy is one for every replica");
}

/// Where it may have to decide alone, it forgets nothing that its rule says it may not.
#[test]
fn an_own_store_that_may_decide_alone_keeps_to_its_rule_for_want_of_room() {
    for on_error in ["local", "allow"] {
        for (on_full, evicts) in [("deny", false), ("evict_oldest", true)] {
            let plan = shared(json!({}), on_error, &json!({"dedupe": {"on_full": on_full}}));
            assert_eq!(asked(&plan, &Memory::default()).1.evicts, evicts, "{on_error}, {on_full}");
        }
    }
}

#[test]
fn what_is_not_counted_is_asked_of_nobody() {
    let voice = form(&[("CallSid", "CA0123456789abcdef0123456789abcdef")]);
    let plan = shared(json!({}), "deny", &json!({}));
    let (transaction, step) = begin(&plan, &voice, &Memory::default());
    assert_eq!(verdict(step), Verdict::Passes(ReplayMark::Unchecked));
    assert!(!transaction.is_reserved());
    let plan = shared(json!({}), "deny", &json!({"dedupe": {"eligible": "none"}}));
    assert_eq!(next(&plan, &Broken(StoreError::Unusable)), Some(Verdict::Passes(ReplayMark::Unchecked)));
}

/// It is the shared store whose age counts, and that alone knows it.
#[test]
fn a_strict_store_is_asked_for_its_age_and_not_the_own_one() {
    let strict = json!({"cold_start": "strict", "freshness": {"sources": [{"param": "When"}]}});
    let plan = shared(json!({}), "deny", &strict);
    let now = u32::try_from(NOW).expect("small");
    let memory = Memory::default();
    memory.born(now).expect("born just now");
    let claim_of = |request: &Request| match begin(&plan, request, &memory).1 {
        Step::Ask(claim) => claim.since,
        step => panic!("{step:?}"),
    };
    assert_eq!(claim_of(&message()), Some(now - 601), "a window ago");
    let timed = form(&[("MessageSid", SID), ("When", &(NOW - 10).to_string())]);
    assert_eq!(claim_of(&timed), Some(now - 11), "just before it was made");
}

/// Without an answer the own store would decide, and cannot know what was before it.
#[test]
fn a_strict_store_that_is_too_young_does_not_decide_alone() {
    let strict = json!({"cold_start": "strict"});
    let unheard = |pass| Err(NoAnswer { error: SharedError::Timeout, in_doubt: Some(pass) });
    let now = u32::try_from(NOW).expect("small");
    for (on_error, born, expected) in [
        ("deny", now, Verdict::Refused(Reject::StoreUnusable)),
        ("local", now, Verdict::Refused(Reject::ColdStart)),
        ("allow", now, Verdict::Refused(Reject::ColdStart)),
        ("local", now - 601, Verdict::Passes(ReplayMark::Unshared)),
        ("allow", now - 601, Verdict::Passes(ReplayMark::Unshared)),
    ] {
        let plan = shared(json!({}), on_error, &strict);
        let memory = Memory::default();
        memory.born(born).expect("born");
        let (mut transaction, claim) = asked(&plan, &memory);
        let pass = Ticket::asked(claim.fingerprint, 7);
        assert_eq!(verdict(transaction.answer(unheard(pass), &memory)), expected, "{on_error}");
        let is_refused = !transaction.is_reserved();
        let told = if is_refused { vec![(pass, Outcome::Released)] } else { Vec::new() };
        assert_eq!(*memory.told.borrow(), told, "{on_error}");
        // What was refused holds nothing, here or there.
        assert_eq!(next(&plan, &memory).is_none(), is_refused, "{on_error}");
    }
}

#[test]
fn nothing_but_the_answer_moves_a_request_that_waits_for_it() {
    let plan = shared(json!({}), "deny", &json!({}));
    let memory = Memory::default();
    let (mut transaction, claim) = asked(&plan, &memory);
    assert_eq!(transaction.waits_for(), Some(Wait::Store));
    for end_of_stream in [false, true] {
        assert!(matches!(
            transaction.body(99_999_999, end_of_stream, |_| panic!("nothing is read")),
            Step::Hold
        ));
    }
    assert!(matches!(transaction.trailers(|_| panic!("nothing is read")), Step::Hold));
    for host_delivers_bodies in [false, true] {
        assert!(matches!(transaction.timeout(host_delivers_bodies), Step::Hold));
    }
    assert_eq!(transaction.waits_for(), Some(Wait::Store));
    let pass = Ticket::asked(claim.fingerprint, 1);
    let step = transaction.answer(Ok(Reservation::Granted(pass, Repetition::First)), &memory);
    assert_eq!(verdict(step), Verdict::Passes(ReplayMark::First));
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let plan = shared(json!({}), "deny", &json!({}));
    let memory = Memory::default();
    let request = message();
    let (mut transaction, _) = Transaction::begin(&plan, &request.head(&plan, false));
    let pass = Ticket::asked(Fingerprint::of("x", b"y"), 1);
    let step = transaction.answer(Ok(Reservation::Granted(pass, Repetition::First)), &memory);
    assert!(matches!(step, Step::Hold));
    assert_eq!(transaction.waits_for(), Some(Wait::Body), "it still waits for its body");
    assert!(!transaction.is_reserved());
}

#[test]
fn whoever_leaves_while_the_store_is_asked_takes_nothing_with_it() {
    // Also where only the body is held, and the head went upstream before.
    for hold in ["headers", "body"] {
        let plan = shared(json!({"hold": hold}), "deny", &json!({}));
        let memory = Memory::default();
        let request = message();
        let (mut transaction, _) = Transaction::begin(&plan, &request.head(&plan, false));
        let body = request.body.clone();
        let Step::Admit(verified) = transaction.body(body.len(), true, |_| Some(body)) else {
            panic!("not genuine")
        };
        let step = transaction.admit(verified, plan.replay_store(), NOW, &memory);
        let Step::Ask(claim) = step else { panic!("{step:?}") };
        let pass = Ticket::asked(claim.fingerprint, 7);
        transaction.leave(pass, &memory);
        assert!(!transaction.is_reserved());
        assert_eq!(*memory.told.borrow(), [(pass, Outcome::Released)], "{hold}");
        let again = shared(json!({}), "deny", &json!({}));
        assert_eq!(next(&again, &memory), None, "the next copy is asked for");
    }
}

/// The host fails while a request waits: it is refused, and its pass is given back.
#[test]
fn a_host_that_fails_while_the_store_is_asked_refuses_the_request() {
    let plan = shared(json!({"mode": "observe"}), "allow", &json!({}));
    let memory = Memory::default();
    let (mut transaction, claim) = asked(&plan, &memory);
    assert_eq!(verdict(transaction.host_failed()), Verdict::Refused(Reject::HostError));
    let pass = Ticket::asked(claim.fingerprint, 1);
    assert!(matches!(
        transaction.answer(Ok(Reservation::Granted(pass, Repetition::First)), &memory),
        Step::Hold
    ));
    transaction.settle(None, false, &memory);
    assert_eq!(next(&plan, &memory), None);
}

#[test]
fn a_request_that_waits_shows_nothing_by_debug() {
    let plan = shared(json!({}), "deny", &json!({}));
    let request = form(&[("MessageSid", SID), ("Body", "janeroe")]);
    let (_, signature) =
        request.headers.iter().find(|(name, _)| name == b"x-twilio-signature").expect("signed");
    let signature = String::from_utf8(signature.clone()).expect("text");
    let (transaction, step) = begin(&plan, &request, &Memory::default());
    assert!(matches!(step, Step::Ask(_)));
    for shown in [format!("{transaction:?}"), format!("{step:?}")] {
        let bytes = |text: &str| text.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(", ");
        for marker in [SID, "janeroe", signature.as_str()] {
            assert!(!shown.contains(marker) && !shown.contains(&bytes(marker)), "{shown}");
        }
    }
}
