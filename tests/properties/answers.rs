//! What a refused caller, the upstream and the log are told.

use proptest::prelude::*;
use serde_json::json;
use twilio_guard::config::Plan;
use twilio_guard::guard::{Disposition, Refusal, ReplayMark, Report, Step, Transaction, client_request_id};
use twilio_guard::reject::Reject;
use uuid::Uuid;

use super::core_support::cases;
use super::core_support::{FORM, Request, SID_A, TOKEN_A, URL, plan};

fn plan_with(statuses: &[u16]) -> Plan {
    let keys =
        ["missing_signature", "invalid_signature", "denied", "timeout", "too_large", "method", "undecidable"];
    let statuses: serde_json::Map<_, _> =
        keys.into_iter().zip(statuses).map(|(key, &status)| (key.to_owned(), json!(status))).collect();
    plan(&json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A"}]}],
        "default": "deny",
        "routes": [
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "public", "match": {"path": "/public"}, "verify": "none"},
        ],
        "statuses": statuses,
    }))
}

/// Everything of an answer that the caller sees, `allow` of a 405 aside.
fn seen(refusal: &Refusal) -> (u16, String, Vec<(&'static str, String)>) {
    let headers =
        refusal.headers.iter().filter(|(name, _)| refusal.status != 405 || *name != "allow").cloned();
    (refusal.status, refusal.body.clone(), headers.collect())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn answers_with_one_status_differ_in_the_request_id_alone(
        statuses in prop_oneof![
            prop::collection::vec(400..600_u16, 7),
            prop::collection::vec(prop::sample::select(vec![401_u16, 403, 405]), 7),
            Just(vec![401, 401, 403, 408, 413, 405, 503]),
        ],
        ids in any::<(u128, u128)>(),
    ) {
        let plan = plan_with(&statuses);
        let ids = [Uuid::from_u128(ids.0), Uuid::from_u128(ids.1)];
        let mut answers = Vec::new();
        for rule in plan.rules() {
            for &reject in Reject::ALL {
                let [answer, other] = ids.map(|id| Refusal::new(rule, reject, rule.protection.methods(), id));
                prop_assert_eq!(&answer.details, &format!("twilio_guard_{}", reject.code()));
                prop_assert_eq!(answer.body.replace(&ids[0].to_string(), "ID"), other.body.replace(&ids[1].to_string(), "ID"));
                prop_assert_eq!(&answer.headers, &other.headers);
                prop_assert!(!answer.body.contains(reject.code()));
                answers.push(seen(&answer));
            }
        }
        for answer in &answers {
            for other in answers.iter().filter(|other| other.0 == answer.0) {
                prop_assert_eq!(answer, other);
            }
            let challenges = answer.2.iter().filter(|(name, _)| *name == "www-authenticate").count();
            prop_assert_eq!(challenges, usize::from(answer.0 == 401));
        }
    }

    #[test]
    fn nothing_of_a_request_is_told_to_anyone(at in 0..12_usize, is_signed: bool, path in prop::sample::select(vec!["sms", "public", "x"])) {
        const MARKER: &str = "M4RK3R";
        let marked = |own: usize, plain: &str| if own == at { MARKER.to_owned() } else { plain.to_owned() };
        let mut request = Request::post(format!("/{path}{}?a={}", marked(0, ""), marked(1, "")), FORM, marked(2, "a=b"));
        request.method = marked(3, "POST").into();
        request.authority = marked(4, "hooks.example.org").into();
        request.scheme = marked(5, "https").into();
        for (own, name) in ["x-request-id", "content-encoding", "x-forwarded-host", "upgrade", "transfer-encoding"].iter().enumerate() {
            if at == own + 6 {
                request = request.header(name, MARKER);
            }
        }
        if at == 11 {
            request = request.header("x-twilio-signature", MARKER);
        } else if is_signed {
            let pairs = super::core_support::decode_form(&request.body).unwrap_or_default();
            request = request.sign_form(TOKEN_A.as_bytes(), &pairs);
        }
        let plan = plan_with(&[401, 401, 403, 408, 413, 405, 503]);
        let head = request.head(&plan, false);
        let id = client_request_id(&head).unwrap_or_default();
        let (mut transaction, mut step) = Transaction::begin(&plan, &head);
        if transaction.waits_for().is_some() {
            step = transaction.body(request.body.len(), true, |_| Some(request.body.clone()));
        }
        let rule = transaction.rule();
        let told = match &step {
            Step::Refuse(refused) => {
                let report = Report::of_refusal(rule, refused);
                format!("{:?}{report:?}{}", Refusal::new(rule, refused.reject, None, id), report.log_line(id, 0, &[]))
            }
            Step::Forward(disposition) => {
                let report = Report::of_disposition(rule, disposition);
                format!("{report:?}{}", report.log_line(id, 0, &[]))
            }
            Step::Admit(verified) => {
                let disposition = Disposition::Verified(verified.clone(), ReplayMark::First);
                let report = Report::of_disposition(rule, &disposition);
                format!("{verified:?}{report:?}{}", report.log_line(id, 0, &[]))
            }
            other => panic!("{other:?}"),
        };
        prop_assert!(!told.contains(MARKER), "{}", told);
    }
}

#[test]
fn only_a_uuid_is_taken_for_a_request_id() {
    let plan = plan_with(&[401; 7]);
    let id = "11111111-2222-3333-4444-555555555555";
    let read = |values: &[&str]| {
        let request = values
            .iter()
            .fold(Request::new("GET", "/"), |request, value| request.header("x-request-id", value));
        client_request_id(&request.head(&plan, true)).map(|id| id.to_string())
    };
    assert_eq!(read(&[id]).as_deref(), Some(id));
    for other in [
        &["+15550001111"][..],
        &["11111111222233334444555555555555"],
        &["{11111111-2222-3333-4444-555555555555}"],
        &[id, id],
        &[],
        &[""],
    ] {
        assert_eq!(read(other), None, "{other:?}");
    }
}
