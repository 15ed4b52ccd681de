//! The holder of one account's token speaks for no other account.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::reject::Reject;

use super::core_support::cases;
use super::core_support::{FORM, Outcome, Request, SID_A, SID_B, TOKEN_A, URL, decode_form, plan, sha256};

fn plan_with(default: &str, routes: &Value) -> Plan {
    plan(&json!({
        "public_url": URL,
        "accounts": [
            {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "a"}]},
            {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B", "label": "b"}]},
        ],
        "default": default,
        "routes": routes,
    }))
}

fn plans() -> [Plan; 3] {
    let bound = |sid: &str| json!([{"name": "all", "match": {"path_prefix": "/"}, "verify": "twilio", "accounts": [sid]}]);
    [plan_with("twilio", &json!([])), plan_with("deny", &bound(SID_A)), plan_with("deny", &bound(SID_B))]
}

/// Pieces of a query or a form that name accounts, plainly and otherwise.
fn parameters() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "AccountSid",
        "Account%53id",
        "%41ccountSid",
        "accountsid",
        "AccountSid%00",
        "AccountSid[]",
        "+AccountSid",
        "x",
        "",
        "Account%zzSid",
        "AccountSid%3D",
    ]);
    let value = prop::sample::select(vec![
        SID_A.to_owned(),
        SID_B.to_owned(),
        SID_B.to_ascii_uppercase(),
        format!("{SID_A},{SID_B}"),
        format!("{SID_A}%00"),
        format!("{SID_A}%"),
        format!("%41{}", &SID_A[1..]),
        format!("%41{}", &SID_B[1..]),
        String::new(),
        format!("{SID_A};AccountSid={SID_B}"),
    ]);
    let separator = prop::sample::select(vec!["&", "&&", ";", "?"]);
    let pair = (name, value, prop::bool::weighted(0.9), separator).prop_map(|(name, value, equals, end)| {
        format!("{name}{}{value}{end}", if equals { "=" } else { "" })
    });
    vec(pair, 0..5).prop_map(|pairs| pairs.concat())
}

/// Every value of `AccountSid` that an application would find.
fn named(text: &[u8]) -> Vec<Vec<u8>> {
    text.split(|&b| b == b'&')
        .filter_map(decode_form)
        .flatten()
        .filter(|(name, _)| name == b"AccountSid")
        .map(|(_, value)| value)
        .collect()
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn a_token_verifies_no_request_that_names_another_account(query in parameters(), body in parameters(), kind in 0..4) {
        let target = format!("/sms?{query}");
        let token = TOKEN_A.as_bytes();
        let (request, body) = match kind {
            0 => (Request::new("GET", target.clone()).sign_url(token), String::new()),
            1 => (Request::new("POST", target.clone()).sign_url(token), String::new()),
            2 => {
                let target = format!("{target}&bodySHA256={}", sha256(body.as_bytes()));
                (Request::post(target, "application/json", body.clone()).sign_url(token), String::new())
            }
            _ => {
                // A body that is no form can be signed in no way; it is sent all the same.
                let pairs = decode_form(body.as_bytes()).unwrap_or_default();
                (Request::post(target.clone(), FORM, body.clone()).sign_form(token, &pairs), body)
            }
        };
        let named: Vec<_> = named(query.as_bytes()).into_iter().chain(named(body.as_bytes())).collect();
        let [open, bound_to_a, bound_to_b] = plans();
        for (plan, must_name) in [(open, true), (bound_to_a, false)] {
            let outcome = request.send(&plan);
            if let Outcome::Verified { account, key } = &outcome {
                prop_assert_eq!(account.as_deref(), Some(SID_A));
                prop_assert_eq!(key, "a");
                prop_assert!(named.iter().all(|sid| sid == SID_A.as_bytes()), "{:?}", named);
                prop_assert!(!named.is_empty() || !must_name);
            } else {
                prop_assert!(matches!(outcome, Outcome::Refused(_)));
            }
        }
        prop_assert!(matches!(request.send(&bound_to_b), Outcome::Refused(_)));
    }
}

#[test]
fn the_cases_of_the_property_reach_every_verdict() {
    let [open, bound_to_a, bound_to_b] = plans();
    let get = |query: &str| Request::new("GET", format!("/sms?{query}")).sign_url(TOKEN_A.as_bytes());
    let verified = Outcome::Verified { account: Some(SID_A.to_owned()), key: "a".to_owned() };
    let refused = Outcome::Refused;
    for (plan, query, expected) in [
        (&open, format!("AccountSid={SID_A}"), verified.clone()),
        (&open, format!("AccountSid={SID_A}&Account%53id={SID_A}"), verified.clone()),
        (&open, String::new(), refused(Reject::AccountMissing)),
        (&open, format!("AccountSid={SID_B}"), refused(Reject::Mismatch)),
        (&open, format!("AccountSid={SID_A}&AccountSid={SID_B}"), refused(Reject::AccountMismatch)),
        (&open, "AccountSid=AC".to_owned(), refused(Reject::UnknownAccount)),
        (&bound_to_a, String::new(), verified),
        (&bound_to_a, format!("AccountSid={SID_B}"), refused(Reject::AccountMismatch)),
        (&bound_to_b, String::new(), refused(Reject::Mismatch)),
        (&bound_to_b, format!("AccountSid={SID_A}"), refused(Reject::AccountMismatch)),
    ] {
        assert_eq!(get(&query).send(plan), expected, "{query}");
    }
}
