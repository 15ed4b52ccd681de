//! What the log formats and the spans print of a request: nothing of its PHI.

use serde_json::json;

use super::requests::raw;
use super::shipped::{Hardened, MANAGER, Setup, bucket};
use crate::support::access_log;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::{Result, binary, eventually, scenarios, since};

/// Of the request below: the caller's number and city, and what a client may say of a patient in its headers.
const PHI: [&str; 3] = ["5005550006", "Springfield", "patient-7731"];

/// What the policy leaves of its target, where there is no key.
const REDACTED: &str = "/voice?CallSid=CA00000000000000000000000000000001\
    &AccountSid=AC0123456789abcdef0123456789abcdef&From=[REDACTED]&FromCity=[REDACTED]";

/// A call whose query names the caller.
fn call() -> Request {
    let target = format!(
        "/voice?CallSid=CA00000000000000000000000000000001&AccountSid={}&From=%2B15005550006&FromCity=Springfield",
        scenarios::ACCOUNT
    );
    Twilio::new(scenarios::TOKEN)
        .get(&target)
        .header("user-agent", "patient-7731")
        .header("referer", "https://portal.example.org/patients/patient-7731")
        .header("x-request-id", "patient-7731")
        .header("x-client-trace-id", "patient-7731")
}

/// Another filter in the place of ours: what a dead VM leaves of the file's promises.
fn without_filter(setup: Setup) -> Setup {
    let buffer = json!({"name": "buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
        "max_request_bytes": 1_000_000,
    }});
    setup.change(format!("{MANAGER}/http_filters/0"), buffer)
}

fn assert_no_phi(what: &str, text: &str) {
    for marker in PHI {
        assert!(!text.contains(marker), "{marker} in {what}:\n{text}");
    }
}

/// Accepted, refused, refused by a later filter, and refused by the router, in all three formats.
#[tokio::test]
async fn every_log_format_prints_the_redacted_path() -> Result<()> {
    let setup = Setup::blocks(&["text", "default"])
        .change(format!("{MANAGER}/http_filters/1/typed_config/token_bucket"), bucket(1));
    let hardened = Hardened::with(setup).await?;
    let elsewhere = Request { target: call().target.replace("/voice", "/other"), ..call() };
    let other = REDACTED.replace("/voice", "/other");
    let rows = [
        (call(), 200, REDACTED),
        (call(), 429, REDACTED),
        (call().without(SIGNATURE), 401, REDACTED),
        (elsewhere, 403, &other),
    ];
    for (row, (request, status, path)) in rows.iter().enumerate() {
        assert_eq!(hardened.send(Protocol::Http1, request).await?.status, *status);
        let line = &hardened.json_log(row + 1).await?[row];
        assert_eq!((&line["path"], &line["status"]), (&json!(path), &json!(status)));
        assert_eq!(line["user_agent"], "[REDACTED]");
        let (text, default) = eventually("the other two formats", async || {
            let log = hardened.envoy.stdout();
            let text =
                access_log::lines(&log).into_iter().filter(|line| !line.0.starts_with('{')).nth(row)?;
            let default = log.lines().filter(|line| line.starts_with('[')).nth(row)?.to_owned();
            Some((text, default))
        })
        .await?;
        assert_eq!(text.field("path"), *path);
        assert!(line["id"].as_str().is_some_and(|id| id.len() == 36 && text.field("id") == id), "{line}");
        assert!(default.contains(&format!("\"GET {path} HTTP/1.1\" {status} ")), "{default}");
    }
    let received = hardened.upstream.wait_for(1).await?.remove(0);
    assert_eq!(received.target, call().target, "the application's is exact");
    assert_eq!(hardened.json_log(1).await?[0]["id"], received.headers["x-request-id"].to_str()?);
    assert_no_phi("the access logs", &hardened.envoy.stdout());
    assert_no_phi("Envoy's log", &hardened.envoy.log());
    Ok(())
}

/// What Envoy answers before any filter runs.
#[tokio::test]
async fn the_logs_are_safe_where_envoy_answers_first() -> Result<()> {
    let hardened = Hardened::with(Setup::blocks(&["text", "default"])).await?;
    let headers = "user-agent: patient-7731\r\nreferer: https://patient-7731.example.org\r\n\
        x-request-id: patient-7731\r\nx-envoy-original-path: /patient-7731\r\nx-forwarded-for: patient-7731\r\n";
    let response = raw(&hardened, &format!("GET {} HTTP/1.1\r\n{headers}\r\n", call().target)).await?;
    assert_eq!(response.status, 400);
    let line = hardened.json_log(1).await?.remove(0);
    assert_eq!((&line["path"], &line["verdict"]), (&json!(REDACTED), &json!("unjudged")));
    three_lines(&hardened).await
}

#[tokio::test]
async fn the_logs_are_safe_without_the_filter() -> Result<()> {
    let hardened = Hardened::with(without_filter(Setup::blocks(&["text", "default"]))).await?;
    assert_eq!(hardened.send(Protocol::Http1, &call()).await?.status, 200);
    assert_eq!(hardened.json_log(1).await?[0]["path"], json!(null));
    three_lines(&hardened).await
}

/// One line of each format, none of which carries PHI.
async fn three_lines(hardened: &Hardened) -> Result<()> {
    let log = eventually("three lines", async || {
        let log = hardened.envoy.stdout();
        (log.lines().count() == 3 && log.ends_with('\n')).then_some(log)
    })
    .await?;
    assert!(log.lines().all(|line| line.contains("GET")), "{log}");
    assert_no_phi("the access logs", &log);
    Ok(())
}

#[tokio::test]
async fn with_a_key_one_caller_has_one_pseudonym() -> Result<()> {
    let setup = Setup { hash_key: Some("0123456789abcdef0123456789abcdef"), ..Setup::default() };
    let hardened = Hardened::with(setup).await?;
    let form = Request { target: call().target.replace("From=%2B1", "Caller=%2B1"), ..call() };
    for request in [call(), form] {
        hardened.send(Protocol::Http2, &request).await?;
    }
    let log = hardened.json_log(2).await?;
    let pseudonym = |line: usize| {
        let path = log[line]["path"].as_str().unwrap_or_default();
        path.split_once("[h:").map(|(_, rest)| rest.split(']').next().unwrap_or_default().to_owned())
    };
    assert_eq!(pseudonym(0).map(|digits| digits.len()), Some(16), "{log:?}");
    assert_eq!(pseudonym(0), pseudonym(1), "{log:?}");
    assert_no_phi("the access log", &hardened.envoy.stdout());
    Ok(())
}

/// The block `tracing`, what it leaves without the filter, and what Envoy sends without its tags.
#[tokio::test]
async fn spans_carry_nothing_but_the_redacted_url() -> Result<()> {
    let traced = || {
        let every = format!("{MANAGER}/tracing/random_sampling/value");
        Setup::blocks(&["tracing"]).change(every, json!(100))
    };
    let handled = spans(traced()).await?;
    let url = format!("https://hooks.example.org{REDACTED}");
    // Envoy 1.36 has no tag that could tell it, and tells the host alone.
    assert_eq!(handled.contains(&url), binary::minor()? >= since::HARDENED_FILE, "{handled}");
    assert_no_phi("the spans", &handled);
    assert_no_phi("the spans without the filter", &spans(without_filter(traced())).await?);

    let bare = without_filter(traced())
        .change(format!("{MANAGER}/tracing/custom_tags"), json!([]))
        .change(format!("{MANAGER}/tracing/max_path_tag_length"), json!(256));
    let control = spans(bare).await?;
    assert!(PHI.iter().all(|marker| control.contains(marker)), "{control}");
    Ok(())
}

/// What the collector receives of an accepted call.
async fn spans(setup: Setup) -> Result<String> {
    let hardened = Hardened::with(setup).await?;
    assert_eq!(hardened.send(Protocol::Http2, &call()).await?.status, 200);
    let exported = hardened.collector.as_ref().ok_or("no collector")?.wait_for(1).await?.remove(0);
    assert_eq!(exported.target, "/v1/traces");
    Ok(String::from_utf8_lossy(&exported.body).into_owned())
}
