//! Internal redirects: the chain runs again, and the request is judged by its other URL.

use serde_json::json;

use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::client::{self, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::module;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::{Behaviour, Recorded, Upstream};

async fn redirecting() -> Result<Guarded> {
    let routes = json!([
        {"name": "first", "match": {"path": "/first"}, "verify": "twilio"},
        {"name": "second", "match": {"path": "/second"}, "verify": "twilio"},
    ]);
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes));
    let config = EnvoyConfig::new(upstream.address()).filter(filter);
    let envoy = Envoy::start(&config.ingress(|ingress| ingress.internal_redirects())).await?;
    Ok(Guarded { upstream, envoy })
}

/// Sends a request whose path the upstream redirects to `location`.
async fn send(
    guarded: &Guarded,
    protocol: Protocol,
    request: &Request,
    location: &str,
) -> Result<(Response, Vec<Recorded>)> {
    let path = request.target.split('?').next().unwrap_or_default();
    let location = format!("http://hooks.example.org{location}");
    guarded.upstream.script_next(path, [Behaviour::Redirect(location)]);
    let before = guarded.upstream.count();
    let response = client::send(guarded.envoy.address(), protocol, request).await?;
    Ok((response, guarded.upstream.requests().split_off(before)))
}

#[tokio::test]
async fn a_redirect_to_a_verifying_route_is_refused_since_its_url_was_not_signed() -> Result<()> {
    let guarded = redirecting().await?;
    let twilio = Twilio::new(TOKEN);
    for protocol in Protocol::BOTH {
        for request in [twilio.get("/first?a=b"), twilio.form("/first", &MESSAGE)] {
            let (response, received) = send(&guarded, protocol, &request, "/second").await?;
            assert_eq!(response.status, 401, "{protocol:?} {}", request.method);
            let [first] = &received[..] else { panic!("{received:?}") };
            assert_eq!(first.target, request.target);
            assert!(first.headers.contains_key("x-twilio-guard"));
        }
        // From where nothing is demanded, a redirect leads no further than a request would.
        let (response, received) = send(&guarded, protocol, &Request::get("/open"), "/second").await?;
        assert_eq!((response.status, received.len()), (401, 1), "{protocol:?}");
    }
    let reasons: Vec<_> = guarded.envoy.module_lines().iter().map(|line| line["code"].clone()).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "missing_signature").count(), 2, "{reasons:?}");
    assert_eq!(reasons.len(), 6);
    let counters = super::counters(&guarded.envoy).await?;
    assert_eq!(counters[&super::requests("verified", "none", "first")], 4);
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_redirect_to_an_unprotected_path_arrives_without_the_verified_header() -> Result<()> {
    let guarded = redirecting().await?;
    let twilio = Twilio::new(TOKEN);
    for protocol in Protocol::BOTH {
        for request in [twilio.get("/first"), twilio.form("/first", &MESSAGE)] {
            let request = request.header("x_twilio_guard", "spoofed");
            let (response, received) = send(&guarded, protocol, &request, "/open?c=d").await?;
            assert_eq!(response.status, 200, "{protocol:?}");
            let [first, second] = &received[..] else { panic!("{received:?}") };
            assert_eq!((&*first.target, &*second.target), ("/first", "/open?c=d"));
            assert!(first.headers.contains_key("x-twilio-guard"));
            for name in ["x-twilio-guard", "x_twilio_guard"] {
                assert!(!second.headers.contains_key(name), "{name} arrived at the second URL");
            }
        }
    }
    // What was signed for the second URL is genuine there.
    let signed = Twilio::new(TOKEN).get("/second");
    let request = Request::get("/open").header(SIGNATURE, &signed.headers[0].1);
    let (response, received) = send(&guarded, Protocol::Http1, &request, "/second").await?;
    assert_eq!((response.status, received.len()), (200, 2));
    assert!(received[1].headers.contains_key("x-twilio-guard"));
    assert_vm_alive(&guarded.envoy).await
}
