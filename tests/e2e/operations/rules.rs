//! Which rule governs a request: hosts, methods, paths, and what becomes of the rest.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::{SIGNATURE, Twilio};

#[tokio::test]
async fn a_host_is_compared_without_case_port_and_trailing_dot() -> Result<()> {
    let guarded = Guarded::start(&plugin("none", routes())).await?;
    for host in
        ["HOOKS.Example.ORG", "hooks.example.org:8443", "hooks.example.org.", "Hooks.example.org.:443"]
    {
        guarded.expect(host, &message().authority(host), Verified).await?;
    }
    for host in ["elsewhere.example", "hooks.example.org.evil.example", "xhooks.example.org", "127.0.0.1"] {
        guarded.expect(host, &message().authority(host), Refused(403, "host_not_accepted")).await?;
        let get = Twilio::new(TOKEN).get("/events").authority(host);
        guarded.expect(host, &get, Refused(403, "host_not_accepted")).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn accept_hosts_names_the_hosts_and_any_takes_all() -> Result<()> {
    let mut plugin = plugin(
        "none",
        json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "open", "match": {"path": "/open"}, "verify": "twilio", "accept_hosts": "any"},
        ]),
    );
    plugin["accept_hosts"] = json!(["one.example", "TWO.example."]);
    let guarded = Guarded::start(&plugin).await?;
    for host in ["one.example", "two.example:81"] {
        guarded.expect(host, &message().authority(host), Verified).await?;
    }
    // The list replaces the host of the public URL.
    for host in ["hooks.example.org", "three.example"] {
        guarded.expect(host, &message().authority(host), Refused(403, "host_not_accepted")).await?;
        let open = Twilio::new(TOKEN).form("/open", &MESSAGE).authority(host);
        guarded.expect(host, &open, Verified).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_route_takes_the_hosts_that_it_matches() -> Result<()> {
    let hosts = json!(["hooks.example.org"]);
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms", "hosts": hosts}, "verify": "twilio"},
        {"name": "closed", "match": {"hosts": ["closed.example"]}, "verify": "deny"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let unsigned = message().without(SIGNATURE);
    guarded.expect("genuine", &message(), Verified).await?;
    for host in ["hooks.example.org", "HOOKS.example.org.:80"] {
        let expected = Refused(401, "missing_signature");
        guarded.expect(host, &unsigned.clone().authority(host), expected).await?;
    }
    guarded.expect("another host", &unsigned.clone().authority("app.example"), Unprotected).await?;
    guarded.expect("a host alone", &unsigned.authority("CLOSED.example:8"), Refused(403, "denied")).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_path_is_matched_exactly_by_prefix_and_by_template() -> Result<()> {
    let routes = json!([
        {"name": "exact", "match": {"path": "/voice"}, "verify": "twilio"},
        {"name": "prefix", "match": {"path_prefix": "/hooks"}, "verify": "twilio"},
        {"name": "template", "match": {"path_template": "/calls/{sid}/status"}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for (path, route) in [
        ("/voice", "exact"),
        ("/voice?x=1", "exact"),
        ("/%76oice", "exact"),
        ("/hooks", "prefix"),
        ("/hooks/a/b?c", "prefix"),
        ("/calls/CA1/status", "template"),
        ("/calls/a%20b/status", "template"),
    ] {
        guarded.expect(path, &twilio.get(path), Verified).await?;
        let exchange = guarded.send(Protocol::Http1, &twilio.form(path, &MESSAGE)).await?;
        exchange.assert(path, Verified);
        assert_eq!(exchange.line.field("route"), route, "{path}");
        assert_eq!(exchange.received[0].target, path, "the target arrives as it was sent");
        guarded.expect(path, &Request::get(path), Refused(401, "missing_signature")).await?;
    }
    for path in ["/voicemail", "/voice/x", "/hooksx", "/calls/CA1", "/calls/CA1/status/x", "/"] {
        guarded.expect(path, &Request::get(path), Unprotected).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn the_first_route_that_matches_governs() -> Result<()> {
    let routes = json!([
        {"name": "health", "match": {"path": "/hooks/health"}, "verify": "none"},
        {"name": "retired", "match": {"path_prefix": "/hooks/old"}, "verify": "deny"},
        {"name": "hooks", "match": {"path_prefix": "/hooks"}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    guarded.expect("health", &Request::get("/hooks/health"), Unprotected).await?;
    let twilio = Twilio::new(TOKEN);
    guarded.expect("retired", &twilio.get("/hooks/old/sms"), Refused(403, "denied")).await?;
    guarded.expect("hooks", &twilio.get("/hooks/sms"), Verified).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn another_method_is_answered_405_with_the_methods_that_are_allowed() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "post", "match": {"path": "/post"}, "verify": "twilio", "methods": ["POST"]},
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio", "profile": "media-stream"},
        {"name": "head", "match": {"path": "/head"}, "verify": "twilio", "methods": ["GET", "HEAD"]},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for (method, target, allow) in [
        ("PUT", "/sms", "POST, GET"),
        ("DELETE", "/sms", "POST, GET"),
        ("HEAD", "/sms", "POST, GET"),
        ("OPTIONS", "/sms", "POST, GET"),
        ("PATCH", "/sms", "POST, GET"),
        ("GET", "/post", "POST"),
        ("POST", "/media", "GET"),
    ] {
        for protocol in Protocol::BOTH {
            let request = Request { method: method.to_owned(), ..twilio.get(target) };
            let exchange = guarded.send(protocol, &request).await?;
            exchange.assert(method, Refused(405, "method_not_allowed"));
            assert_eq!(exchange.response.header("allow"), Some(allow), "{method} {target}");
        }
    }
    let head = Request { method: "HEAD".to_owned(), ..twilio.get("/head") };
    guarded.expect("HEAD", &head, Verified).await?;
    guarded.expect("HEAD", &head.without(SIGNATURE), Refused(401, "missing_signature")).await?;
    assert_vm_alive(&guarded.envoy).await
}

/// A weaker rule must not get the request that another method keeps from the route.
#[tokio::test]
async fn a_method_does_not_lead_past_a_stricter_route() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms", "methods": ["POST"]}, "verify": "twilio"},
        {"name": "form", "match": {"path": "/free", "methods": ["POST"]}, "verify": "twilio"},
        {"name": "page", "match": {"path": "/free", "methods": ["GET"]}, "verify": "none"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    guarded.expect("genuine", &message(), Verified).await?;
    for method in ["GET", "PUT", "HEAD", "PATCH"] {
        let request = Request { method: method.to_owned(), ..Request::get("/sms") };
        guarded.expect(method, &request, Refused(405, "method_not_allowed")).await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

/// RFC 9110, section 15.5.6: a 405 lists what is allowed, also where the rule found is not the one that refuses.
#[tokio::test]
async fn a_method_that_misses_a_stricter_route_is_told_what_that_route_allows() -> Result<()> {
    let routes = json!([{"name": "sms", "match": {"path": "/sms", "methods": ["POST"]}, "verify": "twilio"}]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let exchange = guarded.send(Protocol::Http1, &Request::get("/sms")).await?;
    exchange.assert("GET", Refused(405, "method_not_allowed"));
    assert_eq!(exchange.response.header("allow"), Some("POST"));
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn what_no_route_takes_is_verified_denied_or_let_through_by_default() -> Result<()> {
    let routes = json!([{"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"}]);
    let (unsigned, signed) = (Request::get("/other"), Twilio::new(TOKEN).get("/other"));
    for (default, without, with) in [
        ("none", Unprotected, Unprotected),
        ("twilio", Refused(401, "missing_signature"), Verified),
        ("deny", Refused(403, "denied"), Refused(403, "denied")),
    ] {
        let guarded = Guarded::start(&plugin(default, routes.clone())).await?;
        guarded.expect(default, &unsigned, without).await?;
        guarded.expect(default, &signed, with).await?;
        guarded.expect(default, &message(), Verified).await?;
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}
