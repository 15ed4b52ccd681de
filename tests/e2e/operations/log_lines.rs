//! The operator's log: one line for each refusal, made of codes and configured names.

use serde_json::json;

use crate::guarded::{Guarded, assert_vm_alive};
use crate::support::client::{self, Client, Protocol};
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, TOKEN, message};
use crate::support::sign::{FORM_TYPE, SIGNATURE, Twilio, encode_form};
use crate::support::{Result, eventually};

use super::fingerprint;
use super::refusals::{self, Refusal};

#[tokio::test]
async fn each_refusal_writes_one_line_that_says_which_and_why() -> Result<()> {
    let guarded = Guarded::start(&refusals::configuration()).await?;
    let key = format!("current#{}", fingerprint(TOKEN));
    guarded.send(Protocol::Http1, &message()).await?;
    assert!(guarded.envoy.module_lines().is_empty(), "an accepted request writes none");
    for (done, Refusal { code, status, route, keys_tried, request }) in
        refusals::all().into_iter().enumerate()
    {
        let protocol = Protocol::BOTH[done % 2];
        let response = guarded.send(protocol, &request).await?.response;
        let lines = guarded.envoy.module_lines();
        assert_eq!(lines.len(), done + 1, "{code}");
        let text = response.text();
        let id = text.trim_end().rsplit(' ').next().ok_or("no id")?;
        let mut expected = json!({
            "event": "refused", "code": code, "status": status, "route": route, "request_id": id,
            "lines_dropped_before": 0,
        });
        if keys_tried {
            expected["account"] = ACCOUNT.into();
            expected["keys_tried"] = json!([key]);
        }
        assert_eq!(lines[done], expected);
    }
    let lines = guarded.envoy.module_lines().len();
    let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
    let (feed, pending) = client.start(&refusals::slow(), Some(100)).await?;
    feed.data("Body=");
    assert_eq!(pending.response().await?.status, 408);
    let line = guarded.envoy.module_lines().remove(lines);
    assert_eq!((&line["code"], &line["status"]), (&"body_timeout".into(), &408.into()));
    assert_eq!(guarded.envoy.module_lines().len(), lines + 1);
    assert_vm_alive(&guarded.envoy).await
}

/// A request with the marker in whatever it may carry.
fn marked(path: &str) -> Request {
    let body =
        encode_form(&[("PLANTED-name", "PLANTED-value"), ("Body", "PLANTED"), ("AccountSid", "PLANTED")]);
    let headers = [
        "user-agent",
        "referer",
        "cookie",
        "authorization",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-twilio-guard",
        "x_twilio_guard",
        "x-original-url",
        "x-planted-header",
        "i-twilio-idempotency-token",
        "x-home-region",
        "traceparent",
        "content-encoding",
        "origin",
    ];
    let request = Request::post(path, FORM_TYPE, body);
    headers.into_iter().fold(request, |request, name| request.header(name, "PLANTED"))
}

/// The control: the marker is in every field, and the upstream gets it where nothing is demanded.
#[tokio::test]
async fn nothing_of_a_request_is_told_by_log_statistics_or_answer() -> Result<()> {
    let mut configuration = refusals::configuration();
    configuration["routes"].as_array_mut().ok_or("no routes")?.push(
        json!({"name": "call", "match": {"path_template": "/calls/{sid}"}, "verify": "twilio", "accounts": [ACCOUNT]}),
    );
    let guarded = Guarded::start(&configuration).await?;
    let signed = |request: Request| Twilio::new(TOKEN).url_only(request);
    let wrong = "PLANTEDPLANTEDPLANTEDPLANTE=";
    let target = "/calls/PLANTED?PLANTED=PLANTED&bodySHA256=PLANTED&AccountSid=PLANTED";
    let with_json = |request: Request| request.with("content-type", "application/json");
    let mut answers = Vec::new();
    for request in [
        marked("/calls/PLANTED?PLANTED=PLANTED"),
        marked("/calls/PLANTED?PLANTED=PLANTED").header(SIGNATURE, "PLANTED"),
        marked("/calls/PLANTED").header(SIGNATURE, wrong),
        marked("/calls/PLANTED").without("content-encoding").header(SIGNATURE, wrong),
        marked("/sms?PLANTED").without("content-encoding").header(SIGNATURE, wrong).body("PLANTED=%PLANTED"),
        marked("/sms").header(SIGNATURE, wrong).header("x-twilio-webhooks-signature-settings", "PLANTED"),
        marked("/sms").with("content-type", "PLANTED").header(SIGNATURE, wrong),
        marked("/sms").with("content-type", format!("{FORM_TYPE}; charset=PLANTED")).header(SIGNATURE, wrong),
        marked("/denied?PLANTED"),
        marked("//PLANTED/..;PLANTED"),
        marked("/sms").authority("planted.PLANTED.example"),
        marked("/forwarded?PLANTED").header(SIGNATURE, wrong),
        marked("/shared?AccountSid=PLANTED").without("content-encoding").header(SIGNATURE, wrong),
        with_json(marked("/events?PLANTED").header(SIGNATURE, wrong)),
        signed(with_json(marked("/events?PLANTED"))),
        signed(with_json(marked(target))),
        signed(marked("/calls/PLANTED").without("content-encoding")).trailer("x-planted", "PLANTED"),
        signed(Request { method: "PUT".to_owned(), ..marked("/sms?PLANTED") }),
        marked("/sms?PLANTED").header(SIGNATURE, wrong).body("PLANTED".repeat(200)),
    ] {
        for protocol in Protocol::BOTH {
            let response = client::send(guarded.envoy.address(), protocol, &request).await?;
            assert!((401..=413).contains(&response.status), "{} {request:?}", response.status);
            answers.push(format!("{response:?}"));
        }
    }
    // Bytes that are no text, and a method and an upgrade that name the marker.
    let mut fields = hostile::fields("PLANTED", b"/sms?PLANTED=\xff\xfe");
    fields.extend([("user-agent", &b"PLANTED\xff"[..]), (SIGNATURE, b"PLANTED\x80")]);
    answers.push(format!("{:?}", hostile::send(guarded.envoy.address(), &fields, b"PLANTED").await?));
    let upgrade = Request::websocket("/sms?PLANTED").header("sec-websocket-protocol", "PLANTED");
    answers.push(format!("{:?}", client::send(guarded.envoy.address(), Protocol::Http1, &upgrade).await?));
    let refused = guarded.envoy.module_lines().len();
    assert_eq!(refused, answers.len(), "one line each");
    assert_eq!(guarded.upstream.connections(), 0);

    let exchange = guarded.send(Protocol::Http1, &marked("/open?PLANTED")).await?;
    let received = format!("{:?}", exchange.received);
    // Two that are never let through, `content-type`, and what Envoy itself sets.
    assert!(received.matches("PLANTED").count() > 15, "{received}");
    for page in ["/stats", "/stats/prometheus"] {
        answers.push(guarded.envoy.admin_get(page).await?.text());
    }
    answers.extend([guarded.envoy.log(), guarded.envoy.stdout()]);
    for text in answers {
        let line = text.lines().find(|line| line.to_ascii_lowercase().contains("planted"));
        assert_eq!(line, None);
    }
    assert_vm_alive(&guarded.envoy).await
}

/// However many are refused, the log stays readable, and says what it left out.
#[tokio::test]
async fn a_flood_of_refusals_writes_a_bounded_number_of_lines() -> Result<()> {
    const FLOOD: usize = 2_000;
    const CLIENTS: usize = 4;
    const BURST: usize = 50;
    const DROPPED: &str = "wasmcustom.twilio_guard_log_lines_dropped";
    let guarded = Guarded::start(&refusals::configuration()).await?;
    let address = guarded.envoy.address();
    let started = std::time::Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::connect(address, Protocol::BOTH[number % 2]).await?;
            for _ in 0..FLOOD / CLIENTS {
                assert_eq!(client.send(&Request::get("/sms")).await?.status, 401);
            }
            Result::Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    let lines = guarded.envoy.module_lines();
    let earned = usize::try_from(started.elapsed().as_millis() / 100)? + 1;
    assert!((BURST..=BURST + earned).contains(&lines.len()), "{} lines, {earned} earned", lines.len());
    let dropped = guarded.envoy.stat(DROPPED).await?;
    assert_eq!(usize::try_from(dropped)? + lines.len(), FLOOD, "each was written or counted");
    let counter = super::requests("refused", "missing_signature", "sms");
    assert_eq!(super::counters(&guarded.envoy).await?[&counter], u64::try_from(FLOOD)?);

    // The first line after the flood says how many were left out.
    let before = lines.len();
    eventually("a line after the flood", async || {
        client::send(address, Protocol::Http1, &Request::get("/sms")).await.ok()?;
        (guarded.envoy.module_lines().len() > before).then_some(())
    })
    .await?;
    let told = guarded
        .envoy
        .module_lines()
        .iter()
        .filter_map(|line| line["lines_dropped_before"].as_u64())
        .sum::<u64>();
    assert_eq!(told, guarded.envoy.stat(DROPPED).await?);
    assert!(told > 1_000, "{told}");
    assert_vm_alive(&guarded.envoy).await
}
