//! What the application may believe: the verified header, in no spelling of the client's, and no unsigned override.

use serde_json::json;

use crate::guarded::Outcome::{Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::Recorded;

const SPOOF: &str = "scheme=twilio; account=ACspoofed; key=spoofed; route=sms";

/// Spellings that a server which turns headers into variables could take for the verified header.
const SPELLINGS: [&str; 8] = [
    "X-Twilio-Guard",
    "x_twilio_guard",
    "X_Twilio_Guard",
    "x-twilio_guard",
    "x.twilio.guard",
    "X_TWILIO-GUARD",
    "x~twilio!guard",
    "x-twilio.guard",
];

const OVERRIDES: [&str; 11] = [
    "X-Original-URL",
    "x_original_url",
    "x-rewrite-url",
    "X_Rewrite_URL",
    "x-http-method-override",
    "X_HTTP_METHOD_OVERRIDE",
    "x-http-method",
    "x-method-override",
    "x-original-uri",
    "x.original.url",
    "x-override-url",
];

/// A request with every header that must not arrive, and some that look alike and must.
fn spoofed(request: Request) -> Request {
    let spoofed = SPELLINGS.into_iter().chain(OVERRIDES).flat_map(|name| [name, name]);
    let request = spoofed.fold(request, |request, name| request.header(name, SPOOF));
    ["x-twilio-guards", "y-twilio-guard", "x-twilioguard", "x-original-urls", "original-url"]
        .into_iter()
        .fold(request, |request, name| request.header(name, "kept"))
}

/// That of those headers only the harmless ones arrived, and at most the filter's own.
fn assert_clean(what: &str, received: &Recorded) {
    let plain = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let unwanted: Vec<_> =
        SPELLINGS.iter().chain(&OVERRIDES).map(|name| plain(name).to_lowercase()).collect();
    for (name, value) in &received.headers {
        assert!(!value.as_bytes().windows(7).any(|part| part == b"spoofed"), "{what}: {name} arrived");
        assert!(
            name == "x-twilio-guard" || !unwanted.contains(&plain(name.as_str())),
            "{what}: {name} arrived"
        );
    }
    let kept = received.headers.values().filter(|value| *value == "kept").count();
    assert_eq!(kept, 5, "{what}: {:?}", received.headers);
}

#[tokio::test]
async fn neither_a_spoofed_header_nor_an_override_arrives_in_any_spelling() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "events", "match": {"path": "/events"}, "verify": "twilio", "methods": ["POST", "GET", "HEAD"]},
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio"},
        {"name": "observed", "match": {"path": "/observed"}, "verify": "twilio", "mode": "observe"},
        {"name": "open", "match": {"path": "/open"}, "verify": "none"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for (name, request, expected) in [
        ("a form", message(), Verified),
        ("JSON", twilio.json("/events", "{}"), Verified),
        ("a GET", twilio.get("/events?a=b"), Verified),
        ("a websocket", twilio.websocket("/media"), Verified),
        ("an unprotected route", Request::post("/open", "text/plain", "text"), Unprotected),
        ("the default", Request::get("/anything"), Unprotected),
        ("an unprotected websocket", Request::websocket("/anything"), Unprotected),
    ] {
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &spoofed(request.clone())).await?;
            exchange.assert(name, expected);
            assert_clean(name, &exchange.received[0]);
        }
    }
    for request in [Request::post("/observed", "text/plain", "text"), Request::get("/observed")] {
        let exchange = guarded.send(Protocol::Http1, &spoofed(request)).await?;
        assert_eq!(exchange.line.field("verdict"), "observed_reject");
        assert_clean("observed", &exchange.received[0]);
        assert_eq!(exchange.received_header("x-twilio-guard"), None);
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn the_verified_header_has_its_exact_value_and_its_configured_name() -> Result<()> {
    let mut plugin = plugin("none", routes());
    plugin["verified_header"] = "x-webhook-proof".into();
    let guarded = Guarded::start(&plugin).await?;
    let twilio = Twilio::new(TOKEN);
    for (route, request) in [
        ("sms", twilio.form("/sms", &MESSAGE)),
        ("events", twilio.json("/events", "{}")),
        ("media", twilio.websocket("/media")),
    ] {
        let request = request.header("X-Webhook-Proof", SPOOF).header("x_webhook_proof", SPOOF);
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &request).await?;
            assert_eq!(
                exchange.received_header("x-webhook-proof"),
                Some(&*format!(
                    "scheme=twilio; account=AC0123456789abcdef0123456789abcdef; key=current; route={route}; replay=unchecked"
                )),
            );
            let headers = &exchange.received[0].headers;
            assert!(!headers.contains_key("x_webhook_proof") && !headers.contains_key("x-twilio-guard"));
        }
    }
    let open = Request::get("/open").header("x.webhook.proof", SPOOF).header("x-webhook-proof", SPOOF);
    let exchange = guarded.send(Protocol::Http1, &open).await?;
    assert!(exchange.received[0].headers.keys().all(|name| !name.as_str().contains("proof")));
    assert_vm_alive(&guarded.envoy).await
}

/// The account is named only where the configuration names it.
#[tokio::test]
async fn without_a_configured_sid_the_header_names_no_account() -> Result<()> {
    let mut plugin = plugin("none", routes());
    plugin["accounts"][0].as_object_mut().ok_or("no account")?.remove("sid");
    plugin["accounts"][0]["auth_tokens"][0].as_object_mut().ok_or("no token")?.remove("label");
    let guarded = Guarded::start(&plugin).await?;
    let exchange = guarded.send(Protocol::Http1, &message()).await?;
    let expected = "scheme=twilio; key=token0; route=sms; replay=unchecked";
    assert_eq!(exchange.received_header("x-twilio-guard"), Some(expected));
    let signature = exchange.received[0].headers.get(SIGNATURE);
    assert_eq!(signature, Some(&message().headers[1].1), "the signature itself is left alone");
    assert_vm_alive(&guarded.envoy).await
}
