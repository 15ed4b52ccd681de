//! Several requests on one connection.

use super::probe::Probe;
use super::{EVENT, statuses, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;
use crate::support::sign::SIGNATURE;

async fn probe() -> Result<Probe> {
    Probe::start(&plugin("none", routes())).await
}

/// Refused requests after which an HTTP/1.1 connection can go on: nothing of their bodies is left unread.
fn refusals() -> Vec<(&'static str, Request, &'static str)> {
    vec![
        ("a forged form", stranger().form("/sms", &MESSAGE), "mismatch"),
        ("no signature", twilio().form("/sms", &MESSAGE).without(SIGNATURE), "missing_signature"),
        (
            "no hash",
            twilio().url_only(Request::post("/events", "application/json", EVENT)),
            "body_hash_missing",
        ),
        ("a GET with a body", twilio().get("/events").body("a=b"), "unsigned_body"),
        ("a forged GET", stranger().get("/events"), "mismatch"),
    ]
}

#[tokio::test]
async fn a_refused_request_does_not_cost_the_connection() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in Protocol::BOTH {
        let mut client = Client::connect(probe.envoy.address(), protocol).await?;
        let name = format!("{protocol:?}");
        for (what, refused, code) in refusals() {
            let response = client.send(&refused).await?;
            probe.refused(&format!("{what}, {name}"), &response, (401, code)).await?;
            let genuine = twilio().form("/sms", &MESSAGE);
            let response = client.send(&genuine).await?;
            probe.accepted(&format!("after {what}, {name}"), &response, &genuine.body).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn of_pipelined_requests_the_upstream_sees_the_genuine_ones_alone() -> Result<()> {
    let mut probe = probe().await?;
    let genuine = twilio().form("/sms", &MESSAGE);
    let last = raw::with_length(&genuine.clone().header("connection", "close"));
    for (what, refused, code) in refusals() {
        let mut connection = RawConnection::connect(probe.envoy.address()).await?;
        // All at once, so that the bytes of the second wait behind the first.
        connection.write([raw::with_length(&refused), last.clone()].concat()).await?;
        assert_eq!(statuses(connection).await?, ["401", "200"], "{what}");
        assert_eq!(probe.next_line().await?.details(), format!("twilio_guard_{code}"), "{what}");
        assert_eq!(probe.next_line().await?.details(), "via_upstream", "{what}");
        let recorded = probe.arrived(what).await?;
        assert_eq!((recorded.target.as_str(), &recorded.body), ("/sms", &genuine.body), "{what}");
    }
    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    let forged = stranger().form("/sms", &MESSAGE).header("connection", "close");
    connection.write([raw::with_length(&genuine), raw::with_length(&forged)].concat()).await?;
    assert_eq!(statuses(connection).await?, ["200", "401"]);
    probe.next_line().await?;
    probe.next_line().await?;
    probe.arrived("genuine first").await?;
    probe.finish().await
}

/// Answered before its end, the rest of a request is not taken for another one.
#[tokio::test]
async fn behind_an_early_answer_the_connection_ends() -> Result<()> {
    let mut probe = probe().await?;
    let unsigned = twilio().form("/sms", &MESSAGE).without(SIGNATURE);
    let head = raw::head(&unsigned.header("transfer-encoding", "chunked"));
    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    connection.write(&head).await?;
    connection.write("5\r\nBody=\r\n").await?;
    assert_eq!(probe.next_line().await?.details(), "twilio_guard_missing_signature");
    // Were the chunks forgotten, this would be a genuine request of its own.
    let _ = connection.write(raw::with_length(&twilio().form("/sms", &MESSAGE))).await;
    assert_eq!(statuses(connection).await?, ["401"]);
    probe.nothing_arrived("behind an early answer");
    probe.finish().await
}

#[tokio::test]
async fn streams_of_one_connection_are_judged_apart() -> Result<()> {
    let mut probe = probe().await?;
    let mut client = Client::connect(probe.envoy.address(), Protocol::Http2).await?;
    let genuine = twilio().form("/sms", &MESSAGE);
    let forged = stranger().form("/sms", &MESSAGE);
    // Frame by frame in turn: the bodies must not mix.
    let length = Some(u64::try_from(genuine.body.len())?);
    let (good, good_pending) = client.start(&genuine, length).await?;
    let (bad, bad_pending) = client.start(&forged, length).await?;
    for byte in &genuine.body {
        good.data(vec![*byte]);
        bad.data(vec![*byte]);
    }
    drop(bad);
    let response = bad_pending.response().await?;
    probe.refused("the forged stream", &response, (401, "mismatch")).await?;
    drop(good);
    let response = good_pending.response().await?;
    probe.accepted("the genuine stream", &response, &genuine.body).await?;
    probe.finish().await
}
