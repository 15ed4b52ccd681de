//! What protects a stricter route from weaker ones, in the mode of the route that is protected.

use serde_json::json;

use crate::guarded::Outcome::{self, Refused, Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::raw::RawConnection;
use crate::support::scenarios::message;
use crate::support::sign::{FORM_TYPE, SIGNATURE};

const AMBIGUOUS: Outcome = Refused(403, "ambiguous_path");
const UNSIGNED: Outcome = Refused(401, "missing_signature");

/// Observing everything else does not weaken what is enforced.
#[tokio::test]
async fn a_gate_is_enforced_where_the_protected_route_is() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "mode": "enforce"},
        {"name": "voice", "match": {"path": "/voice"}, "verify": "twilio"},
        {"name": "post", "match": {"path": "/post", "methods": ["POST"]}, "verify": "twilio", "mode": "enforce"},
    ]);
    let mut plugin = plugin("none", routes);
    plugin["mode"] = "observe".into();
    let guarded = Guarded::start(&plugin).await?;
    for path in ["/SMS", "/sms/", "/x/../sms", "/sms.json", "/%2573ms", "//sms"] {
        guarded.expect(path, &Request::get(path), AMBIGUOUS).await?;
        let post = Request::post(path, FORM_TYPE, "Body=forged");
        guarded.expect(path, &post, AMBIGUOUS).await?;
    }
    guarded.expect("itself", &Request::get("/sms"), UNSIGNED).await?;
    guarded.expect("genuine", &message(), Verified).await?;
    guarded.expect("a method", &Request::get("/post"), Refused(405, "method_not_allowed")).await?;
    // What only an observed route would have to be protected from, is observed.
    for path in ["/voice", "/VOICE", "/voice/"] {
        let exchange = guarded.send(Protocol::Http1, &Request::get(path)).await?;
        assert_eq!(
            (exchange.response.status, exchange.line.field("verdict")),
            (200, "observed_reject"),
            "{path}"
        );
    }
    guarded.expect("elsewhere", &Request::get("/other"), Unprotected).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn what_frameworks_take_for_a_protected_path_is_refused() -> Result<()> {
    let routes = json!([{"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"}]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    for path in [
        "/sms.json",
        "/sms.php",
        "/index.php/sms",
        "/INDEX.PHP/sms.json",
        "/sms%3fx=1",
        "/sms%3Fx=1?y=2",
        "/sms%20",
        "/sms.",
        "/sms%23x",
    ] {
        guarded.expect(path, &Request::get(path), AMBIGUOUS).await?;
        guarded.expect(path, &Request::post(path, FORM_TYPE, "Body=forged"), AMBIGUOUS).await?;
    }
    for path in ["/smsjson", "/index.php", "/index.php/other", "/x?/sms"] {
        guarded.expect(path, &Request::get(path), Unprotected).await?;
    }
    assert_eq!(guarded.upstream.count(), 8);
    assert_vm_alive(&guarded.envoy).await
}

/// A spelling of the host does not lead past a route that asks for one.
#[tokio::test]
async fn an_authority_that_is_no_plain_host_does_not_lead_past_a_route_for_a_host() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms", "hosts": ["hooks.example.org"]}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    for (host, reason) in [
        ("hooks.example.org:", "missing_signature"),
        ("HOOKS.example.org.:", "missing_signature"),
        ("u@hooks.example.org", "host_not_accepted"),
        ("hooks.example.org:99999", "host_not_accepted"),
        ("hooks.example.org:80x", "host_not_accepted"),
        ("hooks.example.org..", "host_not_accepted"),
        ("hooks.example.org,else.example", "host_not_accepted"),
    ] {
        let before = guarded.envoy.access_log().len();
        let mut connection = RawConnection::connect(guarded.envoy.address()).await?;
        connection.write(format!("GET /sms HTTP/1.1\r\nHost: {host}\r\n\r\n")).await?;
        let http1 = connection.response().await?.status;
        let mut fields = hostile::fields("GET", b"/sms");
        fields.retain(|(name, _)| *name != ":authority");
        fields.push((":authority", host.as_bytes()));
        let http2 = hostile::send(guarded.envoy.address(), &fields, b"").await;
        let lines = guarded.envoy.wait_for_access_log(before + 2).await?.split_off(before);
        let expected = if reason == "missing_signature" { 401 } else { 403 };
        let details = format!("twilio_guard_{reason}");
        assert_eq!((http1, lines[0].details()), (expected, &*details), "{host}, HTTP/1.1");
        // Over HTTP/2 Envoy's own codec turns user information away.
        let details = if host.contains('@') { "http2.invalid.header.field" } else { &details };
        assert_eq!(lines[1].details(), details, "{host}, HTTP/2");
        assert_eq!(
            http2.ok().map(|answer| answer.status),
            (!host.contains('@')).then_some(expected),
            "{host}"
        );
    }
    assert_eq!(guarded.upstream.connections(), 0);
    guarded.expect("genuine", &message(), Verified).await?;
    let other = message().without(SIGNATURE).authority("else.example");
    guarded.expect("a foreign host", &other, Unprotected).await?;
    assert_vm_alive(&guarded.envoy).await
}
