//! Arbitrary bytes in arbitrary order: no panic, no second verdict, and nothing verified that was not signed.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use twilio_guard::config::{Hold, Plan, Protection};
use twilio_guard::guard::{Disposition, Passes, Step, Store, Transaction};
use twilio_guard::replay::{Claim, Reservation, Reserved, StoreError};

use super::core_support::cases;
use super::core_support::{
    FORM, HOST, Request, SID_A, SID_B, TOKEN_A, TOKEN_B, URL, canonical, canonical_utf16, decode_form, plan,
    sha256, sign,
};

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
    let accounts = json!([
        {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "a"}]},
        {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B", "label": "b"}]},
    ]);
    let single = json!([{"auth_tokens": [{"env": "TOKEN_A", "label": "a"}]}]);
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms", "hosts": [HOST]}, "verify": "twilio", "require_params": ["Extra"]},
        {"name": "public", "match": {"path_prefix": "/public"}, "verify": "none"},
        {"name": "closed", "match": {"path_template": "/{x}/closed"}, "verify": "deny"},
        {"name": "tried", "match": {"path": "/tried"}, "verify": "twilio", "mode": "observe", "profile": "media-stream", "accounts": [SID_A]},
    ]);
    let base = json!({"public_url": URL, "accounts": accounts, "default": "twilio"});
    let with = |edits: Value| {
        let mut config = base.clone();
        config.as_object_mut().expect("an object").extend(edits.as_object().expect("an object").clone());
        plan(&config)
    };
    let limits = json!({"max_body": 64, "max_form": 48, "max_params": 3, "max_candidates": 8, "max_hashed_bytes": 300});
    vec![
        with(json!({})),
        with(json!({"accounts": single})),
        with(json!({"accounts": single, "hold": "body"})),
        with(json!({"accounts": single, "mode": "observe"})),
        with(json!({"accounts": single, "public_url": {"from": "request"}, "accept_hosts": "any"})),
        with(json!({
            "accounts": single, "accept_hosts": "any",
            "public_url": {"from": "forwarded", "trusted_peers": ["10.0.0.0/8"]},
        })),
        with(json!({"accounts": single, "limits": limits})),
        with(json!({"default": "none", "routes": routes})),
        with(json!({"default": "deny", "routes": routes})),
    ]
});

const NAMES: &[&str] = &[
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "upgrade",
    ":protocol",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
    "x-request-id",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-twilio-guard",
    "host",
];

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..most)
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec())
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let known = word(&[
        "",
        "0",
        "1",
        "18446744073709551615",
        "99999999999999999999",
        "websocket",
        "chunked",
        "identity",
        "gzip",
        "https",
        "http",
        "hooks.example.org",
        FORM,
        "application/json",
        "application/x-www-form-urlencoded; charset=latin1",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ]);
    prop_oneof![bytes(40), known]
}

fn header() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    (prop_oneof![4 => word(NAMES), 1 => bytes(12)], value())
}

fn method() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => word(&["GET", "POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "get", ""]), 1 => bytes(8)]
}

fn authority() -> impl Strategy<Value = Vec<u8>> {
    let known =
        word(&[HOST, "HOOKS.example.org.:443", "", ":", "[::1]:80", "[", "h:", "a@b", "other.example"]);
    prop_oneof![8 => known, 1 => bytes(20)]
}

fn target() -> impl Strategy<Value = Vec<u8>> {
    let known = word(&[
        "/",
        "/sms?Extra=1",
        "/public/x",
        "/a/closed",
        "/tried",
        "*",
        "",
        "?",
        "//",
        "/public/..%2fsms",
        "sms",
        "/%",
    ]);
    prop_oneof![2 => known, 1 => bytes(30)]
}

/// Random heads and bodies: nothing in them is signed.
fn noise() -> impl Strategy<Value = Request> {
    let head = (method(), authority(), target(), word(&["https", "http", "ftp", ""]));
    let peer = prop::option::of(prop_oneof![word(&["10.0.0.1:1", "192.0.2.1:1", "[::1]:1", ""]), bytes(12)]);
    (head, vec(header(), 0..6), bytes(80), peer).prop_map(
        |((method, authority, target, scheme), headers, body, peer)| Request {
            method,
            scheme,
            authority,
            target,
            headers,
            body,
            peer,
        },
    )
}

/// Genuine requests, some of which are damaged afterwards.
fn signed() -> impl Strategy<Value = Request> {
    let damage = prop::option::weighted(
        0.5,
        prop_oneof![
            header().prop_map(Damage::Header),
            method().prop_map(Damage::Method),
            authority().prop_map(Damage::Authority),
            target().prop_map(Damage::Target),
            bytes(30).prop_map(Damage::Body),
            Just(Damage::DropHeader),
        ],
    );
    let account = prop::sample::select(vec![(SID_A, TOKEN_A), (SID_B, TOKEN_B)]);
    (0..5, account, word(&["/sms", "/public", "/x/closed", "/tried", "/other"]), damage).prop_map(
        |(kind, (sid, token), path, damage)| {
            let path = String::from_utf8(path).expect("a word");
            let target = format!("{path}?AccountSid={sid}&Extra=1");
            let token = token.as_bytes();
            let form = format!("AccountSid={sid}&Extra=1");
            let mut request = match kind {
                0 => Request::new("GET", target).sign_url(token),
                1 => {
                    let body = "{\"a\":1}";
                    let target = format!("{target}&bodySHA256={}", sha256(body.as_bytes()));
                    Request::post(target, "application/json", body).sign_url(token)
                }
                2 => {
                    let signature = sign(token, format!("wss://{HOST}{target}").as_bytes());
                    Request::new("GET", target)
                        .header("upgrade", "websocket")
                        .header("x-twilio-signature", &signature)
                }
                _ => {
                    let pairs = decode_form(form.as_bytes()).expect("a form");
                    Request::post(path, FORM, form).sign_form(token, &pairs)
                }
            };
            request.peer = Some(b"10.0.0.1:1".to_vec());
            request = request.header("x-forwarded-proto", "https");
            match damage {
                None => {}
                Some(Damage::Header(header)) => request.headers.push(header),
                Some(Damage::Method(method)) => request.method = method,
                Some(Damage::Authority(authority)) => request.authority = authority,
                Some(Damage::Target(target)) => request.target = target,
                Some(Damage::Body(body)) => request.body = body,
                Some(Damage::DropHeader) => drop(request.headers.remove(0)),
            }
            request
        },
    )
}

#[derive(Debug, Clone)]
enum Damage {
    Header((Vec<u8>, Vec<u8>)),
    Method(Vec<u8>),
    Authority(Vec<u8>),
    Target(Vec<u8>),
    Body(Vec<u8>),
    DropHeader,
}

/// One callback of the host, in an order that no host may ever produce.
#[derive(Debug, Clone)]
enum Call {
    /// More of the body has arrived.
    Body {
        more: usize,
        end: bool,
    },
    /// A length that has nothing to do with the body.
    Odd {
        length: usize,
        end: bool,
    },
    /// A body that the host cannot read, or reads with another length.
    Unreadable {
        answer: Option<Vec<u8>>,
        end: bool,
    },
    Trailers,
    Timeout(bool),
    HostFailed,
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (0..60_usize, any::<bool>()).prop_map(|(more, end)| Call::Body { more, end }),
        1 => (prop_oneof![Just(usize::MAX), Just(0), 0..200_000_usize], any::<bool>()).prop_map(|(length, end)| Call::Odd { length, end }),
        1 => (prop::option::of(bytes(8)), any::<bool>()).prop_map(|(answer, end)| Call::Unreadable { answer, end }),
        2 => Just(Call::Trailers),
        1 => any::<bool>().prop_map(Call::Timeout),
        1 => Just(Call::HostFailed),
    ]
}

/// Whether any spelling of the signed text, under any token, has the request's one signature, and binds this body.
fn is_signed(request: &Request, body: &[u8]) -> bool {
    let values = |name: &str| -> Vec<&[u8]> {
        request
            .headers
            .iter()
            .filter(|(own, _)| own == name.as_bytes())
            .map(|(_, value)| value.as_slice())
            .collect()
    };
    let [signature] = values("x-twilio-signature")[..] else { return false };
    let mut bases = Vec::new();
    let own = [request.authority.as_slice(), HOST.as_bytes()];
    for authority in own.into_iter().chain(values("x-forwarded-host")) {
        let host = authority.split(|&b| b == b':').next().unwrap_or_default();
        for scheme in ["http", "https", "ws", "wss"] {
            for authority in
                [authority.to_vec(), host.to_vec(), [host, b":443"].concat(), [host, b":80"].concat()]
            {
                bases.push([scheme.as_bytes(), b"://", &authority].concat());
            }
        }
    }
    let query = request.target.splitn(2, |&b| b == b'?').nth(1).unwrap_or_default();
    let hash = format!("bodySHA256={}", sha256(body));
    let is_hashed = query.split(|&b| b == b'&').any(|pair| pair == hash.as_bytes());
    let mut parameters = Vec::new();
    if body.is_empty() || is_hashed {
        parameters.push(Vec::new());
    }
    if let Some(pairs) = decode_form(body) {
        parameters.extend([canonical(&pairs), canonical_utf16(&pairs)]);
    }
    let texts = bases.iter().flat_map(|base| {
        parameters.iter().map(move |own| [base, &request.target, own].map(Vec::as_slice).concat())
    });
    texts
        .flat_map(|text| [TOKEN_A, TOKEN_B].map(|token| sign(token.as_bytes(), &text)))
        .any(|own| own.as_bytes() == signature.trim_ascii())
}

/// A store that has seen nothing.
struct Anything;

impl Store for Anything {
    fn settle(&self, _: Passes, _: twilio_guard::replay::Outcome) {}

    fn reserve(&self, _: &Claim, _: u32) -> Result<Reserved, StoreError> {
        Ok(Reservation::Unrecorded.into())
    }

    fn born(&self, now: u32) -> Result<u32, StoreError> {
        Ok(now)
    }
}

/// Drives a transaction through any calls and checks what no order of calls may break.
fn drive(plan: &Plan, request: &Request, end_of_stream: bool, calls: &[Call]) -> Result<(), TestCaseError> {
    let mut head = request.head(plan, end_of_stream);
    head.host_delivers_bodies = request.body.len().is_multiple_of(2);
    let is_upgrade = head.is_upgrade();
    let (mut transaction, first) = Transaction::begin(plan, &head);
    let (mut is_forwarded, mut is_answered) = (false, false);
    let mut seen: Vec<u8> = Vec::new();
    let mut arrived = 0;
    let mut step = first;
    let mut calls = calls.iter();
    let mut last_call: Option<&Call> = None;
    loop {
        if let Step::Admit(verified) = step {
            step = transaction.admit(verified, plan.replay_store(), 0, &Anything);
        }
        let rule = transaction.rule();
        match &step {
            Step::Refuse(_) => {
                let may_repeat = matches!(last_call, Some(Call::HostFailed));
                prop_assert!(may_repeat || (!is_answered && !is_forwarded), "a second verdict");
                is_answered = true;
            }
            Step::Forward(disposition) => {
                prop_assert!(!is_answered && !is_forwarded, "forwarded after a verdict");
                is_forwarded = true;
                match disposition {
                    Disposition::Verified(..) => {
                        prop_assert!(is_signed(request, &seen), "verified and not signed");
                        prop_assert!(
                            last_call.is_some() || end_of_stream || is_upgrade,
                            "verified before its end"
                        );
                    }
                    Disposition::Unprotected => prop_assert!(matches!(rule.protection, Protection::None)),
                    Disposition::ObservedReject(_) => {
                        prop_assert_eq!(rule.mode, twilio_guard::config::Mode::Observe)
                    }
                }
            }
            Step::Admit(_) | Step::Ask(_) => prop_assert!(false, "asked again whether it may pass"),
            Step::Pass => prop_assert!(is_forwarded && !is_answered, "passed without a verdict"),
            Step::Hold => prop_assert!(!is_forwarded || is_answered, "held after it was forwarded"),
            Step::HoldBody => prop_assert!(last_call.is_none() && rule.hold == Hold::Body),
        }
        prop_assert_eq!(transaction.waits_for().is_some(), !is_forwarded && !is_answered);
        let Some(call) = calls.next() else { return Ok(()) };
        last_call = Some(call);
        let mut read = |answer: Option<Vec<u8>>| {
            seen = answer.clone().unwrap_or_default();
            answer
        };
        step = match call {
            Call::Body { more, end } => {
                arrived = request.body.len().min(arrived + more);
                transaction.body(arrived, *end, |length| read(request.body.get(..length).map(<[u8]>::to_vec)))
            }
            Call::Odd { length, end } => {
                transaction.body(*length, *end, |length| read(Some(vec![b'a'; length.min(300)])))
            }
            Call::Unreadable { answer, end } => transaction.body(arrived, *end, |_| read(answer.clone())),
            Call::Trailers => {
                transaction.trailers(|length| read(request.body.get(..length).map(<[u8]>::to_vec)))
            }
            Call::Timeout(host_delivers) => transaction.timeout(*host_delivers),
            Call::HostFailed => transaction.host_failed(),
        };
    }
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn noise_is_survived_and_never_verified(
        request in noise(), plan in 0..9_usize, end_of_stream: bool, calls in vec(call(), 0..8),
    ) {
        drive(&PLANS[plan], &request, end_of_stream, &calls)?;
    }

    #[test]
    fn what_is_verified_was_signed_in_any_order_of_calls(
        request in signed(), plan in 0..9_usize, end_of_stream: bool, calls in vec(call(), 0..8),
    ) {
        drive(&PLANS[plan], &request, end_of_stream, &calls)?;
    }
}

#[test]
fn a_request_that_cannot_be_read_is_answered_at_once() {
    for plan in PLANS.iter() {
        let (mut transaction, step) = Transaction::unreadable(plan);
        assert!(matches!(step, Step::Refuse(_)) && transaction.waits_for().is_none());
        assert!(matches!(transaction.body(3, true, |_| None), Step::Hold));
        assert!(matches!(transaction.timeout(true), Step::Hold));
    }
}
