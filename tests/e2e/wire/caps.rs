//! Bodies at each limit, and one byte more.

use bytes::Bytes;
use serde_json::{Value, json};

use super::probe::Probe;
use super::twilio;
use crate::guarded::{plugin, routes};
use crate::support::client::{self, Protocol};
use crate::support::config::{Listener, WasmFilter};
use crate::support::http::Request;
use crate::support::sign::encode_form;
use crate::support::{Result, module};

const TOO_LARGE: (u16, &str) = (413, "body_too_large");

fn with_limits(limits: Value) -> Value {
    let mut settings = plugin("none", routes());
    settings["limits"] = limits;
    settings
}

/// A genuine form whose body has exactly this length.
fn form(length: usize) -> Request {
    let padding = "a".repeat(length - encode_form(&[("Body", "")]).len());
    let request = twilio().form("/sms", &[("Body", &padding)]);
    assert_eq!(request.body.len(), length);
    request
}

/// Genuine JSON whose body has exactly this length.
fn json_text(length: usize) -> Request {
    twilio().json("/events", &format!("{:?}", "a".repeat(length - 2)))
}

/// At the limit with a declared length and without; one byte more, likewise. Over HTTP/1.1 an undeclared length is
/// chunked.
async fn check(probe: &mut Probe, limit: usize, of_length: fn(usize) -> Request) -> Result<()> {
    for protocol in Protocol::BOTH {
        for (what, request) in
            [("declared", of_length(limit)), ("open", of_length(limit).undeclared_length())]
        {
            probe.accept(&format!("{limit} bytes, {what}"), protocol, &request).await?;
        }
        let over = of_length(limit + 1);
        for (what, request) in [("declared", over.clone()), ("open", over.undeclared_length())] {
            probe.refuse(&format!("{limit} bytes and one, {what}"), protocol, &request, TOO_LARGE).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_form_may_have_max_form_bytes_and_json_max_body_bytes_and_no_more() -> Result<()> {
    let mut probe = Probe::start(&with_limits(json!({"max_form": 1024, "max_body": 4096}))).await?;
    check(&mut probe, 1024, form).await?;
    check(&mut probe, 4096, json_text).await?;
    probe.finish().await
}

#[tokio::test]
async fn a_form_may_not_have_more_than_max_body_bytes_either() -> Result<()> {
    let mut probe = Probe::start(&with_limits(json!({"max_form": 4096, "max_body": 1024}))).await?;
    check(&mut probe, 1024, form).await?;
    probe.finish().await
}

#[tokio::test]
async fn the_default_limits_fit_into_the_default_listener() -> Result<()> {
    let mut probe = Probe::start(&plugin("none", routes())).await?;
    check(&mut probe, 65_536, form).await?;
    check(&mut probe, 1_000_000, json_text).await?;
    probe.finish().await
}

/// A proxy that may buffer less than the filter allows: Envoy itself answers, and still nothing goes upstream. Over
/// HTTP/1.1 the listener's limit counts, over HTTP/2 the stream's window.
#[tokio::test]
async fn what_envoy_may_not_buffer_it_answers_413_itself() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let small = |ingress: Listener| {
        ingress.buffer_limit(65_535).edit(|manager| {
            manager["http2_protocol_options"]["initial_stream_window_size"] = json!(65_535);
        })
    };
    let mut probe = Probe::with(filter, |config| config.ingress(small)).await?;
    for protocol in Protocol::BOTH {
        probe.accept("within the buffer", protocol, &json_text(16_000)).await?;
        let large = json_text(500_000);
        for request in [large.clone(), large.undeclared_length()] {
            let response = client::send(probe.envoy.address(), protocol, &request).await?;
            assert_eq!(response.status, 413, "{protocol:?}");
            let line = probe.turned_away("beyond the buffer").await?;
            assert_eq!(line.details(), "request_payload_too_large", "{protocol:?}");
        }
    }
    probe.finish().await
}

/// Over the limit, the sender is answered at once: it need not have sent the rest.
#[tokio::test]
async fn a_body_over_the_limit_is_answered_before_its_end() -> Result<()> {
    let mut probe = Probe::start(&with_limits(json!({"max_form": 1024, "max_body": 4096}))).await?;
    for protocol in Protocol::BOTH {
        // A form is known by its head to be too long; of JSON without length the first bytes too many tell.
        let mut declared = client::Client::connect(probe.envoy.address(), protocol).await?;
        let (_feed, pending) = declared.start(&form(1024), Some(100_000)).await?;
        probe.refused("declared", &pending.response().await?, TOO_LARGE).await?;

        let mut open = client::Client::connect(probe.envoy.address(), protocol).await?;
        let (feed, pending) = open.start(&json_text(4096), None).await?;
        feed.data(Bytes::from(vec![b'a'; 4097]));
        probe.refused("open", &pending.response().await?, TOO_LARGE).await?;
    }
    probe.finish().await
}
