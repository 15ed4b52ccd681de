//! `explain`: for every cause of a genuine webhook being refused, the operator's log names that cause.
//!
//! Each case is a request as it arrives, and the text that its sender really signed.
#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation must fail its test")]

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use twilio_guard::config::Plan;
use twilio_guard::guard::{Step, Transaction};
use twilio_guard::request::RequestHead;
use twilio_guard::signature::explain::Hint;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";
const SHARED: &str = "sk_0123456789abcdef";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const OTHER_ACCOUNT: &str = "ACfedcba9876543210fedcba9876543210";
const FORM: &str = "application/x-www-form-urlencoded";

fn config() -> Value {
    json!({
        "public_url": "https://hooks.example.org/api",
        "accept_hosts": ["hooks.example.org", "other.example.org", "internal"],
        "accounts": [
            {"sid": ACCOUNT, "auth_tokens": [{"value": TOKEN}]},
            {"sid": OTHER_ACCOUNT, "auth_tokens": [{"value": OTHER_TOKEN}]},
        ],
        "shared_keys": [{"id": "k1", "secret": {"value": SHARED}, "algorithm": "hmac-sha1", "account": ACCOUNT}],
        "allow_inline_secrets": true,
        "explain": true,
        "default": "none",
        "routes": [{"name": "all", "match": {"path_prefix": "/"}, "verify": "twilio", "accounts": [ACCOUNT]}],
    })
}

fn sign(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes every key");
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A request and what was signed in its place.
struct Case {
    method: &'static str,
    authority: &'static str,
    target: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
    key: &'static str,
    signed: String,
}

impl Case {
    /// A form at `/sms`, for which `signed` was signed.
    fn form(body: &str, signed: &str) -> Self {
        Self {
            method: "POST",
            authority: "hooks.example.org",
            target: "/sms",
            headers: vec![("content-type", FORM.to_owned())],
            body: body.to_owned(),
            key: TOKEN,
            signed: signed.to_owned(),
        }
    }

    fn at(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    fn host(mut self, authority: &'static str) -> Self {
        self.authority = authority;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn by(mut self, key: &'static str) -> Self {
        self.key = key;
        self
    }

    fn get(mut self) -> Self {
        self.method = "GET";
        self.headers.clear();
        self
    }

    fn upgrade(self) -> Self {
        self.get().header("upgrade", "websocket")
    }

    fn explained(&self) -> Vec<&'static str> {
        let plan =
            Plan::parse(config().to_string().as_bytes(), &|_: &str| None).expect("a valid configuration");
        let mut pairs = vec![
            (":method", self.method.to_owned()),
            (":authority", self.authority.to_owned()),
            (":path", self.target.to_owned()),
            ("x-twilio-signature", sign(self.key, &self.signed)),
        ];
        pairs.extend(self.headers.iter().map(|(name, value)| (*name, value.clone())));
        if !self.body.is_empty() {
            pairs.push(("content-length", self.body.len().to_string()));
        }
        let bytes = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let mut head = RequestHead::read(bytes, self.body.is_empty(), |_| false);
        head.host_delivers_bodies = true;
        let (mut transaction, mut step) = Transaction::begin(&plan, &head);
        if matches!(step, Step::Hold) {
            step = transaction.body(self.body.len(), true, |_| Some(self.body.clone().into_bytes()));
        }
        let Step::Refuse(refused) = step else { panic!("{step:?} is no refusal") };
        transaction.explain(&plan, &refused).into_iter().map(Hint::code).collect()
    }
}

const URL: &str = "https://hooks.example.org/api/sms";

fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("scheme", Case::form("a=1", "http://hooks.example.org/api/smsa1")),
        (
            "port",
            Case::form("a=1", "https://hooks.example.org:8443/api/smsa1").host("hooks.example.org:8443"),
        ),
        ("request_host", Case::form("a=1", "https://internal/api/smsa1").host("internal")),
        ("listed_host", Case::form("a=1", "https://other.example.org/api/smsa1")),
        (
            "forwarded_host",
            Case::form("a=1", "https://edge.example.org/api/smsa1")
                .header("x-forwarded-host", "edge.example.org"),
        ),
        ("prefix_dropped", Case::form("a=1", "https://hooks.example.org/smsa1")),
        (
            "prefix_forwarded",
            Case::form("a=1", "https://hooks.example.org/v2/smsa1").header("x-forwarded-prefix", "/v2/"),
        ),
        ("trailing_slash", Case::form("a=1", &format!("{URL}/a1"))),
        ("query_dropped", Case::form("a=1", &format!("{URL}a1")).at("/sms?added=1")),
        ("query_sorted", Case::form("a=1", &format!("{URL}?a=2&b=1a1")).at("/sms?b=1&a=2")),
        ("query_reencoded", Case::form("a=1", &format!("{URL}?q=x+ya1")).at("/sms?q=x%20y")),
        ("other_key", Case::form("a=1", &format!("{URL}a1")).by(OTHER_TOKEN)),
        ("params_ignored", Case::form("a=1", URL)),
        ("params_trimmed", Case::form("a=+1+", &format!("{URL}a1"))),
        ("params_empty_dropped", Case::form("a=1&b=", &format!("{URL}a1"))),
        ("params_first_only", Case::form("a=2&a=1", &format!("{URL}a2"))),
        (
            "json_as_form",
            Case::form(r#"{"a": "1", "n": 2}"#, &format!("{URL}a1n2"))
                .header("content-type", "application/json"),
        ),
        ("query_appended", Case::form("", &format!("{URL}?b=2&a=1a1b2")).at("/sms?b=2&a=1").get()),
        ("websocket_scheme", Case::form("", URL).upgrade()),
        ("shared_key_unnamed", Case::form("a=1", &format!("{URL}a1")).by(SHARED)),
        (
            "token_instead",
            Case::form("a=1", &format!("{URL}a1"))
                .header("x-twilio-webhooks-signature-settings", "key=k1,algorithm=HMAC_SHA1"),
        ),
    ]
}

#[test]
fn every_cause_is_named() {
    let mut named = BTreeSet::new();
    for (hint, case) in cases() {
        assert_eq!(case.explained(), [hint]);
        named.insert(hint);
    }
    let all: BTreeSet<_> = Hint::ALL.iter().map(|hint| hint.code()).collect();
    assert_eq!(named, all, "each hint has its case");
}

#[test]
fn two_causes_are_named_together() {
    let internal = Case::form("a=1", "http://internal/api/smsa1").host("internal");
    assert_eq!(internal.explained(), ["scheme", "request_host"]);
}

#[test]
fn a_json_body_that_nothing_signs_is_explained_by_its_url() {
    let json = Case::form(r#"{"a": 1}"#, URL).header("content-type", "application/json");
    assert_eq!(json.explained(), ["params_ignored"]);
}

#[test]
fn a_forgery_has_no_explanation() {
    assert_eq!(
        Case::form("a=1", &format!("{URL}a1")).by("not a key of anybody").explained(),
        Vec::<&str>::new()
    );
}
