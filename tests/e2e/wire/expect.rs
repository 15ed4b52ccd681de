//! `Expect: 100-continue`: Envoy itself says 100, before the filter has judged.

use super::probe::Probe;
use super::{EVENT, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::raw::{self, RawConnection};
use crate::support::scenarios::MESSAGE;

/// Sends the head, waits for 100, then sends the body.
async fn ask_first(probe: &Probe, request: &Request) -> Result<RawConnection> {
    let head = request
        .clone()
        .header("expect", "100-continue")
        .header("content-length", request.body.len().to_string());
    let mut connection = RawConnection::connect(probe.envoy.address()).await?;
    connection.write(raw::head(&head)).await?;
    let interim = connection.interim().await?;
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    probe.nothing_arrived("before the body");
    connection.write(&request.body).await?;
    Ok(connection)
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_and_judged_by_its_body() -> Result<()> {
    let mut probe = Probe::start(&plugin("none", routes())).await?;
    let forged = [
        ("a forged form", stranger().form("/sms", &MESSAGE), "mismatch"),
        ("no signature", Request::post("/sms", "text/plain", "a"), "missing_signature"),
        ("changed JSON", twilio().json("/events", EVENT).body("{}"), "body_hash_mismatch"),
    ];
    for (what, request, code) in forged {
        let response = ask_first(&probe, &request).await?.response().await?;
        probe.refused(what, &response, (401, code)).await?;
        let request = request.header("expect", "100-continue");
        probe.refuse(what, Protocol::Http2, &request, (401, code)).await?;
    }
    for (what, request) in
        [("form", twilio().form("/sms", &MESSAGE)), ("JSON", twilio().json("/events", EVENT))]
    {
        let response = ask_first(&probe, &request).await?.response().await?;
        probe.accepted(what, &response, &request.body).await?;
        probe.accept(what, Protocol::Http2, &request.header("expect", "100-continue")).await?;
    }
    probe.finish().await
}
