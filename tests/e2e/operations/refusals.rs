//! One request for each reason for which a request can be refused at once, under one configuration.

use serde_json::{Value, json};
use twilio_guard::config::{MintKey, Secret};
use twilio_guard::replay::mint;

use crate::guarded::plugin;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, message};
use crate::support::sendgrid::{Sendgrid, TIMESTAMP};
use crate::support::sign::{FORM_TYPE, SETTINGS, SIGNATURE, Twilio, now};

use super::message_of;

/// A second account, and its token.
pub const OTHER_ACCOUNT: &str = "ACffffffffffffffffffffffffffffffff";
/// Its token.
pub const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";

/// A refused request.
pub struct Refusal {
    /// The reason.
    pub code: &'static str,
    /// The default status of its class.
    pub status: u16,
    /// The rule.
    pub route: &'static str,
    /// Whether the account was found, so that its keys were tried.
    pub keys_tried: bool,
    /// The request.
    pub request: Request,
}

/// The configuration under which [`all`] are refused.
pub fn configuration() -> Value {
    let forwarded = json!({"from": "forwarded", "trusted_peers": ["10.0.0.0/8"]});
    let mut plugin = plugin(
        "none",
        json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "accounts": [ACCOUNT]},
            {"name": "events", "match": {"path": "/events"}, "verify": "twilio", "accounts": [ACCOUNT]},
            {"name": "status", "match": {"path": "/status"}, "verify": "twilio", "accounts": [ACCOUNT],
             "require_params": ["MessageSid", "SequenceNumber"]},
            {"name": "shared", "match": {"path": "/shared"}, "verify": "twilio"},
            {"name": "forwarded", "match": {"path": "/forwarded"}, "verify": "twilio",
             "accept_hosts": ["hooks.example.org"], "public_url": forwarded},
            {"name": "budget", "match": {"path": "/budget"}, "verify": "twilio", "accounts": [ACCOUNT],
             "limits": {"max_hashed_bytes": 4096}},
            {"name": "slow", "match": {"path": "/slow"}, "verify": "twilio", "accounts": [ACCOUNT],
             "limits": {"body_timeout": "300ms"}},
            {"name": "mail", "match": {"path": "/mail"}, "verify": "sendgrid"},
            {"name": "denied", "match": {"path": "/denied"}, "verify": "deny"},
            {"name": "timed", "match": {"path": "/timed"}, "verify": "twilio", "accounts": [ACCOUNT],
             "replay": {"freshness": {"require": true, "sources": [{"param": "When"}]}}},
            {"name": "minted", "match": {"path": "/minted"}, "verify": "twilio", "accounts": [ACCOUNT],
             "replay": {"minted": {"require": true}}},
            {"name": "cold", "match": {"path": "/cold"}, "verify": "twilio", "accounts": [ACCOUNT],
             "replay": {"dedupe": {"eligible": "event_id"}}},
        ]),
    );
    let other = json!({"sid": OTHER_ACCOUNT, "auth_tokens": [{"value": OTHER_TOKEN, "label": "other"}]});
    plugin["accounts"].as_array_mut().expect("a list").push(other);
    plugin["shared_keys"] = json!([
        {"id": "KEYID", "secret": {"value": "a shared key"}, "algorithm": "hmac-sha256", "account": ACCOUNT},
    ]);
    plugin["sendgrid_keys"] = json!([{"value": Sendgrid::genuine().public_key()}]);
    plugin["mint_keys"] = json!([{"id": "m1", "secret": {"value": MINT_SECRET}}]);
    plugin["replay"]["cold_start"] = "strict".into();
    plugin["limits"] = json!({"max_form": 1024, "max_params": 20, "max_target": 2048});
    plugin
}

/// The secret of the key that mints.
pub const MINT_SECRET: &str = "a key for tests, of thirty-two bytes or more";

/// The path with query of a callback URL that ends in this second.
pub fn minted(path: &str, expires_at: u64) -> String {
    let key = MintKey::new("m1", &Secret::from(MINT_SECRET.to_owned())).expect("a key");
    let url = mint(&format!("https://hooks.example.org{path}"), &key, expires_at).expect("a URL");
    url.replace("https://hooks.example.org", "")
}

/// Every reason but those that need time ([`slow`]), copies that came before (`replayed`, `attempts_exhausted`,
/// `in_flight`: the tests of replay windows), a store without room or another host.
pub fn all() -> Vec<Refusal> {
    let twilio = Twilio::new(TOKEN);
    let unsigned = message().without(SIGNATURE);
    let signature = twilio.get("/sms").headers.remove(0).1;
    let sequence = |value| [("MessageSid", MESSAGE[0].1), ("SequenceNumber", value)];
    let many: Vec<_> = (0..21).map(|n| format!("p{n}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "")).collect();
    let long = "a".repeat(2000);
    let json_body = || Request::post("/events", "application/json", "{}");
    let stranger = message_of("AC11111111111111111111111111111111");
    let timed = |time: &str| twilio.form("/timed", &[("When", time)]);

    let at_the_head = [
        ("denied", 403, "denied", Request::post("/denied", "text/plain", "text")),
        ("ambiguous_path", 403, "default", Request::post("//sms", FORM_TYPE, "a=b")),
        ("host_not_accepted", 403, "sms", message().authority("elsewhere.example")),
        (
            "untrusted_peer",
            403,
            "forwarded",
            twilio.form("/forwarded", &MESSAGE).header("x-forwarded-proto", "https"),
        ),
        ("method_not_allowed", 405, "sms", Request { method: "PUT".to_owned(), ..message() }),
        ("missing_signature", 401, "sms", unsigned.clone()),
        ("repeated_signature", 401, "sms", message().header(SIGNATURE, &signature)),
        ("malformed_signature", 401, "sms", unsigned.clone().header(SIGNATURE, "c2hvcnQ=")),
        ("malformed_settings", 401, "sms", message().header(SETTINGS, "KEYID")),
        ("unknown_key", 401, "sms", message().header(SETTINGS, "key=ANOTHER,algorithm=HMAC_SHA256")),
        ("algorithm_mismatch", 401, "sms", message().header(SETTINGS, "key=KEYID,algorithm=HMAC_SHA1")),
        (
            "malformed_timestamp",
            401,
            "mail",
            Sendgrid::genuine().events("/mail", "[]").with(TIMESTAMP, "now"),
        ),
        ("target_too_large", 413, "sms", twilio.form(&format!("/sms?{long}{long}"), &MESSAGE)),
        ("body_hash_missing", 401, "events", twilio.url_only(json_body())),
        ("unsigned_body", 401, "sms", twilio.url_only(Request::post("/sms", "text/plain", "text"))),
        (
            "bad_content_type",
            401,
            "sms",
            message().with("content-type", format!("{FORM_TYPE}; charset=latin1")),
        ),
        ("body_too_large", 413, "sms", twilio.form("/sms", &[("Body", &long)])),
    ];
    let at_the_end = [
        ("malformed_body", 401, "sms", message().body("Body=%zz"), false),
        ("unknown_account", 401, "shared", twilio.form("/shared", &stranger), false),
        ("account_missing", 401, "shared", twilio.form("/shared", &[("Body", "text")]), false),
        ("account_mismatch", 401, "sms", twilio.form("/sms", &message_of(OTHER_ACCOUNT)), false),
        ("too_many_params", 413, "sms", twilio.form("/sms", &many), false),
        ("mismatch", 401, "sms", message().body("Body=changed"), true),
        ("body_hash_mismatch", 401, "events", twilio.json("/events", "{}").body("[]"), true),
        ("missing_param", 401, "status", twilio.form("/status", &sequence("1")[..1]), true),
        ("malformed_param", 401, "status", twilio.form("/status", &sequence("one")), true),
        ("stale", 408, "timed", timed(&(now() - 3600).to_string()), true),
        ("from_future", 408, "timed", timed(&(now() + 3600).to_string()), true),
        ("malformed_time", 408, "timed", timed("soon"), true),
        ("time_missing", 408, "timed", twilio.form("/timed", &MESSAGE), true),
        ("mint_missing", 401, "minted", twilio.form("/minted", &MESSAGE), true),
        (
            "mint_invalid",
            401,
            "minted",
            twilio.form(&minted("/minted", now() + 60).replace("tg_key=m1", "tg_key=m2"), &MESSAGE),
            true,
        ),
        ("mint_expired", 408, "minted", twilio.form(&minted("/minted", now() - 1), &MESSAGE), true),
        ("cold_start", 503, "cold", twilio.form("/cold", &MESSAGE), true),
        // Enough for the largest form; a forged one with a long target as well needs more.
        (
            "hash_budget_exceeded",
            413,
            "budget",
            Request { target: format!("/budget?{long}"), ..message() },
            true,
        ),
    ];
    let at_the_head =
        at_the_head.into_iter().map(|(code, status, route, request)| (code, status, route, request, false));
    at_the_head
        .chain(at_the_end)
        .map(|(code, status, route, request, keys_tried)| Refusal {
            code,
            status,
            route,
            keys_tried,
            request,
        })
        .collect()
}

/// A genuine message whose body the test leaves unfinished: `body_timeout`, 408, route `slow`.
pub fn slow() -> Request {
    Twilio::new(TOKEN).form("/slow", &MESSAGE)
}
