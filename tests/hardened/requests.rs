//! What is let through, what is refused, and the headers of every answer.

use serde_json::json;

use super::shipped::{Hardened, MANAGER, Setup};
use crate::support::client::{self, Protocol};
use crate::support::http::{Request, Response};
use crate::support::raw::RawConnection;
use crate::support::sign::{SIGNATURE, Twilio, encode_form, now, rfc2822};
use crate::support::upstream::Behaviour;
use crate::support::{Result, binary, scenarios, since};

#[tokio::test]
async fn genuine_webhooks_pass_and_nothing_else() -> Result<()> {
    let hardened = Hardened::start().await?;
    let twilio = Twilio::new(scenarios::TOKEN);
    let time = rfc2822(now());
    let call = |sequence| {
        let parameters = [
            ("CallSid", "CA00000000000000000000000000000001"),
            ("AccountSid", scenarios::ACCOUNT),
            ("CallStatus", "completed"),
            ("SequenceNumber", sequence),
            ("Timestamp", &time),
        ];
        twilio.get(&format!("/calls/7/status?{}", encode_form(&parameters)))
    };
    let genuine = |sequence, event| {
        [
            ("message", scenarios::another_message()),
            ("call status", call(sequence)),
            ("event", twilio.json("/events", &scenarios::event(event, 0))),
            ("media stream", twilio.websocket("/media")),
        ]
    };
    let message = scenarios::message();
    let forged = [
        ("unsigned", message.clone().without(SIGNATURE), 401),
        ("other body", message.clone().body("Body=forged"), 401),
        ("other host", message.clone().authority("elsewhere.example"), 403),
        ("unnamed path", twilio.get("/else"), 403),
        ("path with dots", twilio.form("/calls/../sms", &scenarios::MESSAGE), 403),
    ];
    for (protocol, genuine) in Protocol::BOTH.into_iter().zip([genuine("2", "sent"), genuine("3", "read")]) {
        for (what, request) in &genuine {
            let response = hardened.send(protocol, request).await?;
            assert!(response.accepted() || response.status == 200, "{what}, {protocol:?}: {response:?}");
        }
        let received = hardened.upstream.count();
        for (what, request, status) in &forged {
            let response = hardened.send(protocol, request).await?;
            assert_eq!(response.status, *status, "{what}, {protocol:?}");
        }
        assert_eq!(hardened.upstream.count(), received, "a forged request arrived");
    }
    assert_eq!(hardened.upstream.count(), 2 * 4);
    Ok(())
}

/// Answers of the application, of the filter, of the router, and of Envoy before any filter.
#[tokio::test]
async fn every_answer_carries_hsts_once() -> Result<()> {
    let hardened = Hardened::start().await?;
    let message = scenarios::message();
    hardened.upstream.script("/sms/status", Behaviour::Reset);
    let status = Twilio::new(scenarios::TOKEN).form(
        "/sms/status",
        &[
            ("AccountSid", scenarios::ACCOUNT),
            ("MessageSid", scenarios::MESSAGE[0].1),
            ("MessageStatus", "sent"),
        ],
    );
    for protocol in Protocol::BOTH {
        for (what, request, expected) in [
            ("the application's", scenarios::another_message(), 200),
            ("the filter's", message.clone().without(SIGNATURE), 401),
            ("the router's", status.clone(), 503),
        ] {
            let response = hardened.send(protocol, &request).await?;
            assert_headers(what, &response, expected);
        }
    }
    let long = format!("GET /sms?{} HTTP/1.1\r\nHost: hooks.example.org\r\n\r\n", "a".repeat(50_000));
    for (what, head, expected) in [
        ("no host", "GET /sms HTTP/1.1\r\n\r\n", 400),
        ("underscore", "GET /sms HTTP/1.1\r\nHost: hooks.example.org\r\nx_twilio_guard: 1\r\n\r\n", 400),
        ("a long target", &long, 431),
    ] {
        assert_headers(what, &raw(&hardened, head).await?, expected);
    }
    Ok(())
}

/// Sends bytes over TLS.
pub async fn raw(hardened: &Hardened, bytes: &str) -> Result<Response> {
    let stream = hardened.client().stream(hardened.envoy.address(), Protocol::Http1).await?;
    let mut connection = RawConnection::over(stream);
    connection.write(bytes).await?;
    connection.response().await
}

fn assert_headers(what: &str, response: &Response, status: u16) {
    assert_eq!(response.status, status, "{what}");
    let values = |name| response.headers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(
        values("strict-transport-security"),
        ["max-age=63072000; includeSubDomains"],
        "{what}: {response:?}"
    );
    assert_eq!(values("cache-control"), ["no-store"], "{what}");
    assert_eq!(values("server"), ["webhooks"], "{what}");
}

#[tokio::test]
async fn what_a_client_says_of_its_address_is_not_believed() -> Result<()> {
    let hardened = Hardened::start().await?;
    for protocol in Protocol::BOTH {
        let forged = scenarios::another_message()
            .header("x-forwarded-for", "198.51.100.7")
            .header("x-forwarded-host", "forged.example")
            .header("forwarded", "for=198.51.100.7")
            .header("x-real-ip", "198.51.100.7")
            .header("x-forwarded-proto", "http")
            .header("x-envoy-internal", "true")
            .header("x-request-id", "forged-by-198.51.100.7");
        assert_eq!(hardened.send(protocol, &forged).await?.status, 200);
    }
    for request in hardened.upstream.wait_for(2).await? {
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert_eq!(request.headers.get("x-envoy-internal"), None);
        assert!(!format!("{:?}", request.headers).contains("198.51.100.7"), "{:?}", request.headers);
        assert!(!format!("{:?}", request.headers).contains("forged"), "{:?}", request.headers);
    }
    assert!(hardened.json_log(2).await?.iter().all(|line| line["peer"] == "127.0.0.1"));
    assert!(!hardened.envoy.stdout().contains("forged"));
    Ok(())
}

#[tokio::test]
async fn the_admin_interface_answers_monitoring_only() -> Result<()> {
    let hardened = Hardened::start().await?;
    // Without `allow_paths` everything is answered.
    let (dump, logging) = if binary::minor()? < since::HARDENED_FILE { (200, 405) } else { (403, 403) };
    for (path, status) in
        [("/ready", 200), ("/stats/prometheus", 200), ("/config_dump", dump), ("/logging", logging)]
    {
        let response = client::send(hardened.envoy.admin(), Protocol::Http1, &Request::get(path)).await?;
        assert_eq!(response.status, status, "{path}");
    }
    Ok(())
}

/// All other tests leave out for Envoy 1.36 what the file says that it does not know.
#[tokio::test]
async fn as_it_stands_it_loads_on_envoy_1_37_and_later() -> Result<()> {
    let started = Hardened::with(Setup { as_it_stands: true, ..Setup::default() }).await;
    match binary::minor()? {
        ..since::HARDENED_FILE => {
            assert!(started.is_err_and(|error| error.to_string().contains("'allow_paths'")))
        }
        _ => {
            let unsigned = scenarios::message().without(SIGNATURE);
            assert_headers("the filter's", &started?.send(Protocol::Http2, &unsigned).await?, 401);
        }
    }
    Ok(())
}

#[tokio::test]
async fn large_heads_and_bodies_are_refused() -> Result<()> {
    let hardened = Hardened::start().await?;
    let long = "a".repeat(70_000);
    let mut parameters = scenarios::MESSAGE.to_vec();
    parameters.push(("Padding", &long));
    let twilio = Twilio::new(scenarios::TOKEN);
    for protocol in Protocol::BOTH {
        let response = hardened.send(protocol, &twilio.form("/sms", &parameters)).await?;
        assert_eq!(response.status, 413, "{protocol:?}: over max_form");
        let response = hardened.send(protocol, &twilio.json("/events", &" ".repeat(1_000_001))).await?;
        assert_eq!(response.status, 413, "{protocol:?}: over max_body");
    }
    let target = twilio.get(&format!("/voice?{}", "a".repeat(50_000)));
    assert_eq!(hardened.send(Protocol::Http1, &target).await?.status, 431);
    // Over HTTP/2 the stream is reset: the codec did not finish a head that it could answer.
    assert!(hardened.send(Protocol::Http2, &target).await.is_err());
    assert_eq!(hardened.upstream.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn a_head_that_does_not_end_is_given_up() -> Result<()> {
    let setup = Setup::default().change(format!("{MANAGER}/request_headers_timeout"), json!("0.2s"));
    let hardened = Hardened::with(setup).await?;
    let response = raw(&hardened, "POST /sms HTTP/1.1\r\nHost: hooks").await?;
    assert_headers("a slow head", &response, 408);
    Ok(())
}
