//! What the proxy's logs get to see of a request, and what the application still receives.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Unprotected, Verified};
use crate::guarded::{Exchange, Guarded, assert_vm_alive, plugin};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::raw::RawConnection;
use crate::support::scenarios::TOKEN;
use crate::support::sign::Twilio;
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

/// A target with personal data, and what may be seen of it.
const TARGET: &str = "/patients/jane-roe/sms?From=%2B12025550123&Body=chest+pain&NumMedia=0&note=a";
const SHOWN: &str = "/patients/[REDACTED]/sms?From=[REDACTED]&NumMedia=0&note=[REDACTED]";

const UUID: &str = "7d3e2f10-1c2b-4a5d-8e9f-001122334455";

async fn guarded(rewrite_headers: &str) -> Result<Guarded> {
    let mut settings = plugin(
        "none",
        json!([
            {"name": "own", "match": {"path": "/own"}, "verify": "twilio", "redaction": {"allow_params": ["note"]}},
            {"name": "observed", "match": {"path_template": "/seen/{who}"}, "verify": "twilio", "mode": "observe"},
            {"name": "twilio", "match": {"path": "/patients/jane-roe/sms"}, "verify": "twilio"},
        ]),
    );
    settings["redaction"] = json!({"rewrite_headers": rewrite_headers});
    Guarded::start(&settings).await
}

fn twilio() -> Twilio {
    Twilio::new(TOKEN)
}

fn spoofed(request: Request) -> Request {
    request.header("x-envoy-original-path", "/spoofed").header("X-Envoy-Original-Path", "/spoofed-again")
}

/// That both places show the same text, and that the upstream got the target itself.
fn assert_shown(what: &str, exchange: &Exchange, target: &str, shown: &str) {
    assert_eq!((exchange.line.field("path"), exchange.line.field("shown")), (shown, shown), "{what}");
    if let Some(received) = exchange.received.first() {
        assert_eq!(received.target, target, "{what}: the target");
        assert_eq!(exchange.received_header("x-envoy-original-path"), Some(shown), "{what}: the header");
    }
}

#[tokio::test]
async fn every_verdict_shows_the_redacted_target_and_the_upstream_gets_the_exact_one() -> Result<()> {
    let guarded = guarded("protected").await?;
    let elsewhere = TARGET.replace("/sms?", "/calls?");
    let shown_elsewhere = SHOWN.replace("/sms?", "/calls?");
    for protocol in Protocol::BOTH {
        for (what, request, expected, shown) in [
            ("verified", twilio().get(TARGET), Verified, SHOWN),
            ("refused", Request::get(TARGET), Refused(401, "missing_signature"), SHOWN),
            ("unmatched", Request::get(&elsewhere), Unprotected, &shown_elsewhere),
            ("another method", Request::new("DELETE", TARGET), Refused(405, "method_not_allowed"), SHOWN),
            ("a route's own", twilio().get("/own?note=a&step=b"), Verified, "/own?note=a&step=[REDACTED]"),
            ("not Twilio's", Request::get("/own?note=a"), Refused(401, "missing_signature"), "/own?note=a"),
        ] {
            let request = spoofed(request);
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(what, expected);
            assert_shown(what, &exchange, &request.target, shown);
        }
        let observed = spoofed(Request::get("/seen/roe?Body=pain"));
        let exchange = guarded.send(protocol, &observed).await?;
        assert_eq!(exchange.line.field("verdict"), "observed_reject");
        assert_shown("observed", &exchange, "/seen/roe?Body=pain", "/seen/[REDACTED]");
    }
    assert_vm_alive(&guarded.envoy).await
}

/// Headers as a client sends them, and as they are then shown and received: user-agent, referer, x-request-id. `None`
/// stands for a header that is not there, and for a new request id.
type Case = ([&'static str; 3], [Option<&'static str>; 3]);

const HEADERS: [Case; 3] = [
    (
        ["TwilioProxy/1.1", "https://portal.example.org/patients/42?name=roe", UUID],
        [Some("TwilioProxy/1.1"), Some("https://portal.example.org"), Some(UUID)],
    ),
    (
        ["Mozilla/5.0-Janes-iPhone", "https://12025550123.example.org/x", "jane-roe-12025550123"],
        [Some("[REDACTED]"), None, None],
    ),
    (
        ["TwilioProxy/12025550123", "http://Portal.Example.org:8080", "7d3e2f101c2b4a5d8e9f001122334455"],
        [Some("[REDACTED]"), Some("http://portal.example.org"), Some("7d3e2f101c2b4a5d8e9f001122334455")],
    ),
];

#[tokio::test]
async fn headers_that_the_default_format_prints_are_rewritten_where_the_policy_says() -> Result<()> {
    for (policy, on_verified, on_open) in
        [("protected", true, false), ("all", true, true), ("none", false, false)]
    {
        let guarded = guarded(policy).await?;
        for protocol in Protocol::BOTH {
            for (sent, [agent, referer, id]) in HEADERS {
                for (rewritten, request) in
                    [(on_verified, twilio().get(TARGET)), (on_open, Request::get("/open"))]
                {
                    let request = ["user-agent", "referer", "x-request-id"]
                        .into_iter()
                        .zip(sent)
                        .fold(request, |request, (name, value)| request.header(name, value));
                    let exchange = guarded.send(protocol, &request).await?;
                    let what = format!("{policy}, {protocol:?}, {sent:?}");
                    let line = &exchange.line;
                    assert_eq!(exchange.received.len(), 1, "{what}");
                    // Filter state never shows more than the policy, whatever becomes of the header.
                    assert_eq!(Some(line.field("agent")), agent, "{what}");
                    assert_eq!(line.field("referer"), referer.unwrap_or("-"), "{what}");
                    let shown_state = if rewritten { line.field("id") } else { id.unwrap_or("-") };
                    assert_eq!(line.field("request_id"), shown_state, "{what}");
                    if rewritten {
                        assert_eq!(Some(line.field("shown_agent")), agent, "{what}");
                        assert_eq!(line.field("shown_referer"), referer.unwrap_or("-"), "{what}");
                        assert_eq!(exchange.received_header("referer"), referer, "{what}");
                        let shown_id = line.field("id");
                        assert_eq!(exchange.received_header("x-request-id"), Some(shown_id), "{what}");
                        assert!(id.map_or(shown_id.len() == 36, |id| id == shown_id), "{what}: {shown_id}");
                    } else {
                        assert_eq!(line.field("shown_agent"), sent[0], "{what}");
                        assert_eq!(line.field("shown_referer"), sent[1], "{what}");
                        assert_eq!(line.field("id"), sent[2], "{what}");
                    }
                }
            }
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_replaced_request_id_is_the_one_that_the_caller_is_told() -> Result<()> {
    let guarded = guarded("protected").await?;
    for protocol in Protocol::BOTH {
        let request = Request::get(TARGET).header("x-request-id", "jane-roe");
        let exchange = guarded.send(protocol, &request).await?;
        let told = String::from_utf8_lossy(&exchange.response.body).into_owned();
        assert_eq!(told, format!("Request refused. Request id: {}\n", exchange.line.field("id")));
    }
    Ok(())
}

/// Answered before any filter runs. The filter state is right all the same; the default format prints what it likes.
#[tokio::test]
async fn requests_that_never_reach_the_filter_are_shown_in_the_log_phase() -> Result<()> {
    let guarded = guarded("protected").await?;
    for (what, head, details, shown) in [
        (
            "no host",
            format!("GET {TARGET} HTTP/1.1\r\nx-request-id: jane-roe\r\n\r\n"),
            "missing_host_header",
            SHOWN,
        ),
        (
            "a fragment",
            "GET /sms?Body=pain#jane HTTP/1.1\r\nhost: hooks.example.org\r\n\r\n".to_owned(),
            "path_normalization_failed",
            "/sms#[REDACTED]",
        ),
    ] {
        let lines = guarded.envoy.access_log().len();
        let mut connection = RawConnection::connect(guarded.envoy.address()).await?;
        connection.write(head).await?;
        let response = connection.response().await?;
        let line = guarded.envoy.wait_for_access_log(lines + 1).await?.remove(lines);
        assert_eq!(response.status, 400, "{what}");
        assert_eq!((line.details(), line.field("path")), (details, shown), "{what}");
        assert_eq!((line.field("verdict"), line.field("request_id")), ("unjudged", "-"), "{what}");
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_tunnel_without_a_target_shows_none_of_the_clients() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &plugin("none", json!([])));
    let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(|listener| listener.connect());
    let envoy = Envoy::start(&config).await?;
    let mut connection = RawConnection::connect(envoy.address()).await?;
    let head = "CONNECT hooks.example.org:443 HTTP/1.1\r\nhost: hooks.example.org:443\r\n\
                x-envoy-original-path: /patients/jane-roe\r\n\r\n";
    connection.write(head).await?;
    drop(connection);
    let line = envoy.wait_for_access_log(1).await?.remove(0);
    assert_eq!((line.field("path"), line.field("shown")), ("-", "-"), "{}", line.0);
    assert_vm_alive(&envoy).await
}

/// The query of an HTTP/2 target may hold any byte.
#[tokio::test]
async fn raw_bytes_in_an_http2_target_are_never_shown() -> Result<()> {
    let guarded = guarded("protected").await?;
    let target: Vec<u8> = [b"/open?Body=", &b"jane\xff\x80"[..], b"&q=roe\xfe&NumMedia=0"].concat();
    hostile::send(guarded.envoy.address(), &hostile::fields("GET", &target), b"").await?;
    let line = guarded.envoy.wait_for_access_log(1).await?.remove(0);
    assert_eq!(line.details(), "via_upstream", "the test's upstream does not like it, the filter passes it");
    assert_eq!(line.field("path"), "/open?q=[REDACTED]&NumMedia=0");
    assert_eq!(line.field("shown"), "/open?q=[REDACTED]&NumMedia=0");
    assert_vm_alive(&guarded.envoy).await
}
