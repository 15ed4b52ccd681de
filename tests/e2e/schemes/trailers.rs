//! Trailers are not signed, and servers hand them to applications as headers: what must not arrive as a header must not
//! arrive as a trailer either.

use serde_json::json;

use crate::guarded::Outcome::{Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::Twilio;
use crate::support::upstream::Recorded;

/// Names that must not arrive, and the value by which they would be found on the wire.
const UNWANTED: [&str; 8] = [
    "x-twilio-guard",
    "x_twilio_guard",
    "X-Twilio.Guard",
    "x-http-method-override",
    "x_http_method_override",
    "x-original-url",
    "X-Rewrite-URL",
    "x-method-override",
];
const SPOOF: &str = "spoofed-by-trailer";

fn with_trailers(request: Request) -> Request {
    let request = UNWANTED.into_iter().fold(request, |request, name| request.trailer(name, SPOOF));
    request.trailer("x-end", "kept").trailer("x-twilio-guards", "kept")
}

fn assert_clean(what: &str, received: &Recorded) {
    let fields = received.headers.iter().chain(&received.trailers);
    for (name, value) in fields.filter(|(name, _)| *name != "trailer") {
        assert_ne!(value, SPOOF, "{what}: {name} arrived");
    }
    let kept: Vec<_> = received.trailers.values().filter(|value| *value == "kept").collect();
    assert_eq!(kept.len(), 2, "{what}: harmless trailers arrive: {:?}", received.trailers);
}

fn configuration() -> serde_json::Value {
    plugin(
        "none",
        json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "events", "match": {"path": "/events"}, "verify": "twilio"},
            {"name": "body", "match": {"path": "/body"}, "verify": "twilio", "hold": "body"},
            {"name": "observed", "match": {"path": "/observed"}, "verify": "twilio", "mode": "observe"},
            {"name": "open", "match": {"path": "/open"}, "verify": "none"},
        ]),
    )
}

#[tokio::test]
async fn no_unwanted_trailer_arrives_with_verified_or_unprotected_requests() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let twilio = Twilio::new(TOKEN);
    for (name, request, expected) in [
        ("a form", twilio.form("/sms", &MESSAGE), Verified),
        ("JSON", twilio.json("/events", "{}"), Verified),
        ("an empty form", twilio.form("/sms", &[]), Verified),
        ("a body without type", Request::post("/open", "text/plain", "text"), Unprotected),
        ("a form for nobody", twilio.form("/other", &MESSAGE), Unprotected),
        ("no body", Request::new("POST", "/open"), Unprotected),
    ] {
        let request = with_trailers(request);
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &request).await?;
            let what = format!("{name}, {protocol:?}");
            exchange.assert(&what, expected);
            assert_clean(&what, &exchange.received[0]);
            let header = exchange.received_header("x-twilio-guard");
            assert_eq!(
                header.is_some_and(|value| value.starts_with("scheme=twilio; ")),
                expected == Verified
            );
        }
        // Over HTTP/1.1 also such as no header announces.
        let (before, lines) = (guarded.upstream.count(), guarded.envoy.access_log().len());
        let mut connection = RawConnection::connect(guarded.envoy.address()).await?;
        connection.write(raw::chunked(&request, 7)).await?;
        assert_eq!(connection.response().await?.status, 200, "{name}");
        guarded.envoy.wait_for_access_log(lines + 1).await?;
        assert_clean(&format!("{name}, chunked"), &guarded.upstream.requests()[before]);
    }
    let wire = String::from_utf8_lossy(&guarded.upstream.bytes()).into_owned();
    assert!(wire.contains("kept") && !wire.contains(SPOOF));
    assert_vm_alive(&guarded.envoy).await
}

/// The head is upstream already when the trailers come.
#[tokio::test]
async fn no_unwanted_trailer_arrives_behind_a_body_that_was_held_or_observed() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    for protocol in Protocol::BOTH {
        for (target, verdict) in [("/body", "verified"), ("/observed", "observed_reject")] {
            let request = if target == "/body" {
                Twilio::new(TOKEN).form(target, &MESSAGE)
            } else {
                Request::post(target, "text/plain", "text")
            };
            let exchange = guarded.send(protocol, &with_trailers(request)).await?;
            assert_eq!((exchange.response.status, exchange.line.field("verdict")), (200, verdict));
            let received = guarded.upstream.wait_for(guarded.upstream.count()).await?;
            assert_clean(target, received.last().ok_or("nothing arrived")?);
            assert_eq!(exchange.received_header("x-twilio-guard"), None, "{target}");
        }
    }
    // Trailers that come long after the verdict, behind a body in pieces.
    let request = with_trailers(Request::post("/open", "text/plain", "text"));
    let mut client = Client::connect(guarded.envoy.address(), Protocol::Http2).await?;
    let before = guarded.upstream.count();
    let (feed, pending) = client.start(&request, None).await?;
    feed.data("one ");
    crate::support::eventually("the head", async || (guarded.upstream.count() > before).then_some(()))
        .await?;
    feed.data("two");
    feed.trailers(&request.trailers);
    drop(feed);
    assert_eq!(pending.response().await?.status, 200);
    assert_clean("late trailers", &guarded.upstream.requests()[before]);
    assert_vm_alive(&guarded.envoy).await
}
