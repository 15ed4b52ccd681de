//! How a body can be cut and ended: trailers, single bytes, nothing at all.

use serde_json::json;

use super::probe::Probe;
use super::{EVENT, exchange, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::Result;
use crate::support::client::{self, Client, Protocol};
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::{FORM_TYPE, SIGNATURE};

async fn probe() -> Result<Probe> {
    Probe::start(&plugin("none", routes())).await
}

#[tokio::test]
async fn a_request_that_ends_with_trailers_is_judged_by_its_whole_body() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in Protocol::BOTH {
        let accepted = [
            ("a form", twilio().form("/sms", &MESSAGE)),
            ("JSON", twilio().json("/events", EVENT)),
            ("an empty form", twilio().form("/sms", &[])),
            ("an empty JSON body", twilio().json("/events", "")),
        ];
        let forged = [
            ("a forged form", stranger().form("/sms", &MESSAGE), "mismatch"),
            ("a changed form", twilio().form("/sms", &MESSAGE).body("Body=changed"), "mismatch"),
            ("a form without its body", twilio().form("/sms", &MESSAGE).body(""), "mismatch"),
            ("changed JSON", twilio().json("/events", EVENT).body("{}"), "body_hash_mismatch"),
            ("JSON without its body", twilio().json("/events", EVENT).body(""), "body_hash_mismatch"),
            ("a body behind a GET", twilio().get("/events").body("a=b"), "unsigned_body"),
        ];
        for (what, request) in accepted {
            let recorded = probe.accept(what, protocol, &request.trailer("x-end", "yes")).await?;
            assert_eq!(recorded.trailers.get("x-end").map(|value| value.as_bytes()), Some(&b"yes"[..]));
        }
        for (what, mut request, code) in forged {
            if protocol == Protocol::Http1 && request.method == "GET" {
                // The client sends a GET's body of undeclared length only when told so.
                request = request.header("transfer-encoding", "chunked");
            }
            probe.refuse(what, protocol, &request.trailer("x-end", "yes"), (401, code)).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_put_together_over_http1() -> Result<()> {
    let mut probe = probe().await?;
    let requests = [twilio().form("/sms", &MESSAGE), twilio().json("/events", EVENT)];
    for request in requests {
        let framings = [
            ("one byte a chunk", raw::chunked(&request, 1)),
            ("one byte a chunk, trailers", raw::chunked(&request.clone().trailer("x-end", "yes"), 1)),
            ("declared length", raw::with_length(&request)),
        ];
        for (what, bytes) in framings {
            let mut connection = RawConnection::connect(probe.envoy.address()).await?;
            connection.write_in_pieces(bytes, 1).await?;
            let response = connection.response().await?;
            probe.accepted(what, &response, &request.body).await?;
        }
        let changed = request.clone().body(request.body.iter().rev().copied().collect::<Vec<_>>());
        for bytes in [raw::chunked(&changed, 1), raw::with_length(&changed)] {
            let mut connection = RawConnection::connect(probe.envoy.address()).await?;
            connection.write_in_pieces(bytes, 1).await?;
            let response = connection.response().await?;
            assert_eq!(response.status, 401);
            assert_eq!(probe.next_line().await?.status(), 401);
            probe.nothing_arrived("a body byte by byte, backwards");
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_put_together_over_http2() -> Result<()> {
    let mut probe = probe().await?;
    for request in [twilio().form("/sms", &MESSAGE), twilio().json("/events", EVENT)] {
        for length in [Some(u64::try_from(request.body.len())?), None] {
            let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
            let (feed, pending) = client.start(&request, length).await?;
            for byte in &request.body {
                feed.data(vec![*byte]);
                tokio::task::yield_now().await;
            }
            drop(feed);
            let response = pending.response().await?;
            probe.accepted("one byte a frame", &response, &request.body).await?;

            let (feed, pending) = client.start(&request, length).await?;
            for byte in request.body.iter().rev() {
                feed.data(vec![*byte]);
            }
            drop(feed);
            assert_eq!(pending.response().await?.status, 401);
            assert_eq!(probe.next_line().await?.status(), 401);
            probe.nothing_arrived("one byte a frame, backwards");
        }
    }
    probe.finish().await
}

/// Requests without a body, signed over their URL alone.
fn empty() -> [(&'static str, Request); 5] {
    [
        ("no content type", twilio().url_only(Request::new("POST", "/events"))),
        ("an empty form", twilio().form("/sms", &[])),
        ("empty JSON", twilio().url_only(Request::post("/events", "application/json", ""))),
        ("empty JSON with its hash", twilio().json("/events", "")),
        ("GET", twilio().get("/events?a=b")),
    ]
}

#[tokio::test]
async fn an_empty_body_is_signed_by_the_url_alone_over_http1() -> Result<()> {
    let mut probe = probe().await?;
    for (what, request) in empty() {
        for (framing, bytes) in [
            ("content-length: 0", raw::with_length(&request)),
            ("no chunk", raw::chunked(&request, 1)),
            ("neither length nor chunks", raw::head(&request)),
        ] {
            let response = exchange(probe.envoy.address(), bytes).await?;
            probe.accepted(&format!("{what}, {framing}"), &response, b"").await?;
        }
        let forged = request.clone().with(SIGNATURE, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        for bytes in [raw::with_length(&forged), raw::chunked(&forged, 1), raw::head(&forged)] {
            let response = exchange(probe.envoy.address(), bytes).await?;
            probe.refused(what, &response, (401, "mismatch")).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn an_empty_body_is_signed_by_the_url_alone_over_http2() -> Result<()> {
    let mut probe = probe().await?;
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    for (what, request) in empty() {
        // With a length, the head ends the stream; without, an empty DATA frame does.
        for length in [Some(0), None] {
            let (feed, pending) = client.start(&request, length).await?;
            drop(feed);
            let response = pending.response().await?;
            probe.accepted(&format!("{what}, {length:?}"), &response, b"").await?;

            let (feed, pending) =
                client.start(&request.clone().with(SIGNATURE, "A".repeat(27) + "="), length).await?;
            drop(feed);
            let response = pending.response().await?;
            probe.refused(what, &response, (401, "mismatch")).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn one_byte_where_nothing_is_signed_is_refused() -> Result<()> {
    let mut probe = probe().await?;
    let cases = [
        ("no content type", twilio().url_only(Request::new("POST", "/events")), "unsigned_body"),
        ("form", twilio().url_only(Request::post("/sms", FORM_TYPE, "")), "mismatch"),
        ("JSON", twilio().url_only(Request::post("/events", "application/json", "")), "body_hash_missing"),
        ("JSON with a hash", twilio().json("/events", ""), "body_hash_mismatch"),
        ("GET", twilio().get("/events?a=b"), "unsigned_body"),
    ];
    for (what, request, code) in cases {
        let request = request.body("x");
        for bytes in [raw::with_length(&request), raw::chunked(&request, 1)] {
            let response = exchange(probe.envoy.address(), bytes).await?;
            probe.refused(what, &response, (401, code)).await?;
        }
        for request in [request.clone(), request.undeclared_length()] {
            probe.refuse(what, Protocol::Http2, &request, (401, code)).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn a_head_is_judged_as_a_get_is() -> Result<()> {
    let mut settings = plugin("none", routes());
    settings["routes"][1]["methods"] = json!(["GET", "HEAD", "POST"]);
    let mut probe = Probe::start(&settings).await?;
    let head = |target: &str| twilio().url_only(Request::new("HEAD", target));
    for protocol in Protocol::BOTH {
        let response = client::send(probe.envoy.address(), protocol, &head("/events?a=b")).await?;
        let recorded = probe.accepted("HEAD", &response, b"").await?;
        assert_eq!(recorded.method, "HEAD", "{protocol:?}");
        for (request, status, code) in [
            (head("/events?a=b").with(SIGNATURE, "A".repeat(27) + "="), 401, "mismatch"),
            (head("/events?a=b").body("x"), 401, "unsigned_body"),
            (head("/sms"), 405, "method_not_allowed"),
        ] {
            let response = client::send(probe.envoy.address(), protocol, &request).await?;
            assert_eq!((response.status, response.body.len()), (status, 0), "{protocol:?}, {code}");
            let line = probe.turned_away(code).await?;
            assert_eq!(line.details(), format!("twilio_guard_{code}"), "{protocol:?}");
        }
    }
    probe.finish().await
}
