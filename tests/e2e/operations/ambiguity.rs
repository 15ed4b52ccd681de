//! Paths that proxy and application may read differently: no spelling leads to a weaker rule.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::Twilio;

/// Spellings by which an application could be led to `/sms`.
const SPELLINGS: [&str; 20] = [
    "/public/..%2fsms",
    "/public/..%2Fsms",
    "/public/../sms",
    "/public/%2e%2e/sms",
    "/public/..;/sms",
    "/public/..%3b/sms",
    "/public/..%5csms",
    "/public/..%252fsms",
    "/public//../sms",
    "/public/./../sms",
    "/./sms",
    "//sms",
    "/sms//",
    "/SMS",
    "/Sms",
    "/sms/",
    "/sms;v=1",
    "/%2573ms",
    "/%252e%252e/sms",
    "/sms%2f",
];

#[tokio::test]
async fn an_ambiguous_path_is_refused_where_another_rule_is_stricter() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "public", "match": {"path_prefix": "/public"}, "verify": "none"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for path in SPELLINGS {
        guarded.expect(path, &Request::get(path), Refused(403, "ambiguous_path")).await?;
        let exchange = guarded.send(Protocol::Http1, &twilio.form(path, &MESSAGE)).await?;
        exchange.assert(path, Refused(403, "ambiguous_path"));
    }
    // What can be read in one way only is governed by what it reads.
    guarded.expect("/%73ms", &Request::get("/%73ms"), Refused(401, "missing_signature")).await?;
    guarded.expect("/%73ms", &twilio.get("/%73ms"), Verified).await?;
    for path in ["/public/page", "/public/a.b/..c", "/public/", "/public/sms", "/smsx", "/x%20y"] {
        guarded.expect(path, &Request::get(path), Unprotected).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn another_host_that_nothing_protects_keeps_its_spellings() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms", "hosts": ["hooks.example.org"]}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    for path in SPELLINGS {
        guarded.expect(path, &Request::get(path), Refused(403, "ambiguous_path")).await?;
        let other = Request::get(path).authority("shop.example.org");
        let exchange = guarded.send(Protocol::Http1, &other).await?;
        exchange.assert(path, Unprotected);
        assert_eq!(exchange.received[0].target, path, "the target arrives as it was sent");
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_prefix_does_not_hide_a_deeper_stricter_route() -> Result<()> {
    let routes = json!([
        {"name": "status", "match": {"path_template": "/public/{sid}/status"}, "verify": "twilio"},
        {"name": "secret", "match": {"path_prefix": "/public/secret"}, "verify": "deny"},
        {"name": "public", "match": {"path_prefix": "/public"}, "verify": "none"},
    ]);
    let guarded = Guarded::start(&plugin("deny", routes)).await?;
    for path in [
        "/public/SECRET/x",
        "/public/CA1/STATUS",
        "/public/CA1/status/",
        "/Public/secret",
        "/public/secret;x",
    ] {
        let exchange = guarded.send(Protocol::Http1, &Request::get(path)).await?;
        assert_eq!(exchange.response.status, 403, "{path}: {}", exchange.line.0);
        assert!(exchange.received.is_empty(), "{path}");
    }
    guarded.expect("plain", &Request::get("/public/page"), Unprotected).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn an_ambiguous_path_is_judged_by_its_signature_where_every_rule_is_equally_strict() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "hooks", "match": {"path_prefix": "/hooks"}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("twilio", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for path in SPELLINGS.into_iter().chain(["/hooks/a;b//c"]) {
        let exchange = guarded.send(Protocol::Http1, &twilio.get(path)).await?;
        exchange.assert(path, Verified);
        assert_eq!(exchange.received[0].target, path, "the target arrives as it was sent");
        let exchange = guarded.send(Protocol::Http2, &Request::get(path)).await?;
        exchange.assert(path, Refused(401, "missing_signature"));
    }
    assert_vm_alive(&guarded.envoy).await
}
