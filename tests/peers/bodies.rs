//! Requests with bodies: forms, JSON under a hash, and what neither covers.

use crate::case::{Case, FORM, SIGNATURE, Signed};
use crate::form::{self, Params};
use crate::support::sign::body_sha256;
use crate::twilio::{mac, request, signed};
use crate::urls::{self, Base};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;

pub fn form_case(rng: &mut Rng, method: &str, target: &str, params: Params) -> Case {
    let base = Base::random(rng);
    let mut case = request(rng, &base, method, target);
    case.set("content-type", FORM);
    case.body = form::encode(rng, &params);
    signed(rng, &base, case, params)
}

pub fn form_post(rng: &mut Rng) -> Case {
    let (target, params) = (urls::target(rng), form::params(rng, 8));
    form_case(rng, "POST", &target, params)
}

pub fn many_params(rng: &mut Rng) -> Case {
    let count = rng.usize(900..1100);
    let large = if rng.u8(..3) == 0 { 200 } else { 1 };
    let params =
        (0..count).map(|index| (format!("p{}", index % 1050), "v".repeat(rng.usize(..=large)))).collect();
    form_case(rng, "POST", "/sms", params)
}

pub fn broken_form(rng: &mut Rng) -> Case {
    let base = Base::random(rng);
    let mut case = request(rng, &base, "POST", "/sms");
    case.set("content-type", FORM);
    let (body, params) = form::broken(rng);
    case.body = body;
    signed(rng, &base, case, params)
}

pub fn utf16_form(rng: &mut Rng) -> Case {
    let base = Base::random(rng);
    let mut params = form::params(rng, 3);
    params.extend(
        [("\u{1f600}", "1"), ("\u{ff5e}", "2"), ("x", "\u{e000}"), ("x", "\u{10ffff}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mut case = request(rng, &base, "POST", "/sms");
    case.set("content-type", FORM);
    case.body = form::encode(rng, &params);
    let url = format!("{}/sms", base.signed(rng, false));
    let text = format!("{url}{}", form::canonical_utf16(&params));
    case.set(SIGNATURE, mac("HMAC_SHA1", &case.keys.tokens[0], &text));
    case.signed = Signed { url, params, in_utf16_order: true };
    case
}

pub fn form_content_type(rng: &mut Rng) -> Case {
    const TYPES: &[&str] = &[
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded;charset=\"utf-8\"",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16",
        "application/x-www-form-urlencoded; charset=",
        "application/x-www-form-urlencoded, text/plain",
        "application/x-www-form-urlencoded; a=b, text/plain",
        "application/x-www-form-urlencodedx",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json",
        "",
    ];
    let mut case = form_post(rng);
    match rng.u8(..10) {
        0 => case.headers.push(("content-type", FORM.into())),
        1 => case.set("content-encoding", "gzip"),
        2 => case.set("content-encoding", "identity"),
        _ => case.set("content-type", TYPES[rng.usize(..TYPES.len())]),
    }
    case
}

pub fn hash_pair(body: &[u8]) -> String {
    format!("bodySHA256={}", body_sha256(body))
}

/// A body under the two rules at once, signed as a form, or as what the hash covers.
pub fn form_with_hash(rng: &mut Rng) -> Case {
    let base = Base::random(rng);
    let params = form::params(rng, 3);
    let body = form::encode(rng, &params);
    let hashed: &[u8] = if rng.bool() { &body } else { b"{}" };
    let mut case = request(rng, &base, "POST", &format!("/sms?x=1&{}", hash_pair(hashed)));
    case.set("content-type", FORM);
    let (body, params) = match rng.u8(..3) {
        0 => (body, params),
        1 => (body, Vec::new()),
        _ => (Vec::new(), Vec::new()),
    };
    case.body = body;
    signed(rng, &base, case, params)
}

/// Bytes moved between URL, names and values, under the same signed text.
pub fn glued(rng: &mut Rng) -> Case {
    let base = Base::random(rng);
    let pairs: &[(&str, &str)] =
        [&[("ab", "c")][..], &[("a", "bc")], &[("a", "1b2")], &[("a", "1"), ("b", "2")], &[]][rng.usize(..5)];
    let params: Params =
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut case = request(rng, &base, "POST", "/sms");
    case.set("content-type", FORM);
    case.body = form::encode(rng, &params);
    let mut case = signed(rng, &base, case, params.clone());
    match rng.u8(..3) {
        0 => (case.target, case.body) = (format!("/sms{}", form::canonical(&params)).into(), Vec::new()),
        1 => (case.target, case.body) = (b"/s".to_vec(), format!("ms{}=", form::canonical(&params)).into()),
        _ => case.body = form::canonical(&params).into(),
    }
    case
}

pub fn get_with_body(rng: &mut Rng) -> Case {
    let (target, params) = (urls::target(rng), form::params(rng, 4));
    let mut case = form_case(rng, "GET", &target, params);
    if rng.u8(..4) == 0 {
        let base = Base::random(rng);
        let body = case.body.clone();
        case = request(rng, &base, "GET", &format!("/x?{}", hash_pair(&body)));
        case.body = body;
        case = signed(rng, &base, case, Vec::new());
    }
    case
}

const JSON_TYPES: &[&str] = &[
    "application/json",
    "application/json; charset=utf-8",
    "application/cloudevents-batch+json",
    "text/plain",
    "multipart/form-data",
];

pub fn json_body(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..10) {
        0 => Vec::new(),
        1 => b"[{\"data\":\"\xff\xfe\"}]".to_vec(),
        _ => serde_json::json!([{"specversion": "1.0", "data": {"text": form::text(rng, 6)}}])
            .to_string()
            .into(),
    }
}

pub fn json_case(rng: &mut Rng, body: Vec<u8>, query: &str) -> Case {
    let base = Base::random(rng);
    let mut case = request(rng, &base, "POST", &format!("/events?{query}"));
    if rng.u8(..10) > 0 {
        case.set("content-type", JSON_TYPES[rng.usize(..JSON_TYPES.len())]);
    }
    case.body = body;
    signed(rng, &base, case, Vec::new())
}

pub fn json(rng: &mut Rng) -> Case {
    let body = json_body(rng);
    let hash = hash_pair(&body);
    let query = match rng.u8(..4) {
        0 => format!("x=1&{hash}"),
        1 => format!("{hash}&x=%20"),
        _ => hash,
    };
    json_case(rng, body, &query)
}

pub fn json_odd_hash(rng: &mut Rng) -> Case {
    let body = json_body(rng);
    let good = body_sha256(&body);
    let other = body_sha256(b"{}");
    let query = match rng.u8(..14) {
        0 => format!("bodySHA256={good}&bodySHA256={good}"),
        1 => format!("bodySHA256={good}&bodySHA256={other}"),
        2 => format!("bodySHA256={other}&bodySHA256={good}"),
        3 => format!("bodySHA256=&bodySHA256={good}"),
        4 => format!("bodySHA256={}", good.to_ascii_uppercase()),
        5 => format!("%62odySHA256={good}"),
        6 => format!("bodySHA256=%{:02x}{}", good.as_bytes()[0], &good[1..]),
        7 => format!("bodysha256={good}"),
        8 => format!("xbodySHA256={good}"),
        9 => format!("bodySHA256={}", &good[..63]),
        10 => format!("bodySHA256=+{good}"),
        11 => format!("bodySHA256={}", STANDARD.encode(&good)),
        12 => format!("x=1;bodySHA256={good}"),
        _ => format!("bodySHA256{}", if rng.bool() { "=" } else { "" }),
    };
    let is_blank = query.len() < 12;
    let body = if is_blank && rng.bool() { Vec::new() } else { body };
    json_case(rng, body, &query)
}

pub fn json_no_hash(rng: &mut Rng) -> Case {
    let body = json_body(rng);
    json_case(rng, body, "x=1")
}

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

pub fn account(rng: &mut Rng) -> Case {
    const LOOKALIKES: &[&str] =
        &["accountsid", "AccountSid[]", "Account_Sid", " AccountSid", "AccountSid\0x"];
    let mut params = form::params(rng, 3);
    for _ in 0..rng.usize(..=2) {
        let sid = if rng.bool() { ACCOUNT } else { "AC00000000000000000000000000000000" };
        params.push(("AccountSid".to_owned(), sid.to_owned()));
    }
    if rng.u8(..4) == 0 {
        params.push((LOOKALIKES[rng.usize(..LOOKALIKES.len())].to_owned(), ACCOUNT.to_owned()));
    }
    let target = if rng.u8(..8) == 0 { "/sms?x=1;AccountSid=AC1" } else { "/sms" };
    let mut case = form_case(rng, "POST", target, params);
    case.keys.account = Some(ACCOUNT.to_owned());
    case
}
