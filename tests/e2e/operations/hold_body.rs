//! `hold: body`, the weaker fallback: the head goes upstream first, the body never before the verdict.

use serde_json::json;

use crate::guarded::Outcome::Refused;
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::{Client, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::scenarios::{MESSAGE, TOKEN, message};
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::{Recorded, Upstream};
use crate::support::{Result, eventually, module};

/// With and without the flag that this mode does not need.
async fn holding_bodies(flag: bool) -> Result<Guarded> {
    let mut plugin = plugin("none", routes());
    let slow = json!({"name": "slow", "match": {"path": "/slow"}, "verify": "twilio", "limits": {"body_timeout": "300ms"}});
    plugin["routes"].as_array_mut().ok_or("no routes")?.push(slow);
    plugin["hold"] = "body".into();
    plugin["limits"] = json!({"max_form": 1024});
    let mut filter = WasmFilter::new(module::path()?, &plugin);
    if !flag {
        filter = filter.without_header_hold();
    }
    let upstream = Upstream::start().await?;
    let envoy = Envoy::start(&EnvoyConfig::new(upstream.address()).filter(filter)).await?;
    Ok(Guarded { upstream, envoy })
}

/// Sends the head, waits until the upstream has it, then sends `body`, and the end where `ends`.
async fn head_first(
    guarded: &Guarded,
    protocol: Protocol,
    request: &Request,
    ends: bool,
) -> Result<(Response, Recorded)> {
    let before = guarded.upstream.count();
    let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
    let length = request.declare_length.then_some(u64::try_from(request.body.len())?);
    let (feed, pending) = client.start(request, length).await?;
    eventually("the head at the upstream", async || (guarded.upstream.count() > before).then_some(()))
        .await?;
    let half = request.body.len() / 2;
    feed.data(request.body.slice(..half));
    if ends {
        feed.data(request.body.slice(half..));
        drop(feed);
        return Ok((pending.response().await?, guarded.upstream.requests().remove(before)));
    }
    let response = pending.response().await?;
    drop(feed);
    Ok((response, guarded.upstream.requests().remove(before)))
}

#[tokio::test]
async fn a_genuine_body_follows_its_head() -> Result<()> {
    for flag in [true, false] {
        let guarded = holding_bodies(flag).await?;
        let twilio = Twilio::new(TOKEN);
        for request in [
            twilio.form("/sms", &MESSAGE),
            twilio.form("/sms", &MESSAGE).undeclared_length(),
            twilio.json("/events", r#"{"a":"b"}"#),
        ] {
            for protocol in Protocol::BOTH {
                let spoofed =
                    request.clone().header("x-twilio-guard", "spoofed").header("x_twilio_guard", "s");
                let (response, received) = head_first(&guarded, protocol, &spoofed, true).await?;
                assert_eq!(response.status, 200, "{protocol:?}");
                assert!(received.complete);
                assert_eq!(received.body, request.body);
                assert_eq!(received.headers.get(SIGNATURE), Some(&request.headers[1].1));
                for name in ["x-twilio-guard", "x_twilio_guard"] {
                    assert!(!received.headers.contains_key(name), "the head went before the verdict");
                }
            }
        }
        let log = guarded.envoy.wait_for_access_log(6).await?;
        assert!(log.iter().all(|line| line.field("verdict") == "verified"));
        for request in [twilio.get("/events"), twilio.websocket("/media")] {
            let exchange = guarded.send(Protocol::Http1, &request).await?;
            assert!(exchange.response.accepted());
            assert_eq!(exchange.line.field("verdict"), "verified");
            assert!(exchange.received_header("x-twilio-guard").is_none());
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_byte_of_a_forged_body_follows_its_head() -> Result<()> {
    const FORGED: &str = "Body=forged-forged-forged-forged";
    for flag in [true, false] {
        let guarded = holding_bodies(flag).await?;
        let twilio = Twilio::new(TOKEN);
        let long = format!("{FORGED}{}", "x".repeat(1024));
        let mut resets = 0;
        for (request, ends, status, code) in [
            (message().body(FORGED), true, 401, "mismatch"),
            (message().body(FORGED).undeclared_length(), true, 401, "mismatch"),
            (twilio.json("/events", "{}").body(FORGED), true, 401, "body_hash_mismatch"),
            (message().body(long).undeclared_length(), true, 413, "body_too_large"),
            (twilio.form("/slow", &MESSAGE).body(FORGED), false, 408, "body_timeout"),
        ] {
            for protocol in Protocol::BOTH {
                let (response, received) = head_first(&guarded, protocol, &request, ends).await?;
                assert_eq!(response.status, status, "{code} {protocol:?}");
                assert!(!received.complete && received.body.is_empty(), "{code}");
                resets += 1;
                guarded
                    .envoy
                    .wait_for_stat("cluster.upstream.upstream_cx_destroy_local_with_active_rq", resets)
                    .await?;
                let line = guarded.envoy.access_log().pop();
                let log = guarded.envoy.wait_for_access_log(usize::try_from(resets)?).await?;
                assert_eq!(
                    log.last().map(|line| line.details()),
                    Some(&*format!("twilio_guard_{code}")),
                    "{line:?}"
                );
            }
        }
        let bytes = String::from_utf8_lossy(&guarded.upstream.bytes()).into_owned();
        assert!(!bytes.contains("forged"), "{bytes}");
        assert!(guarded.upstream.requests().iter().all(|request| !request.complete));
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_head_that_is_known_to_be_bad_is_answered_at_once() -> Result<()> {
    for flag in [true, false] {
        let guarded = holding_bodies(flag).await?;
        let json = Request::post("/events", "application/json", "{}");
        for (request, status, code) in [
            (message().without(SIGNATURE), 401, "missing_signature"),
            (message().authority("elsewhere.example"), 403, "host_not_accepted"),
            (Twilio::new(TOKEN).url_only(json), 401, "body_hash_missing"),
            (Twilio::new("another").json("/events", "{}"), 401, "mismatch"),
            (Twilio::new("another").get("/events"), 401, "mismatch"),
            (Twilio::new(TOKEN).form("/sms", &[("Body", &"x".repeat(2000))]), 413, "body_too_large"),
        ] {
            guarded.expect(code, &request, Refused(status, code)).await?;
        }
        // Not even its end is waited for.
        let mut client = Client::connect(guarded.envoy.address(), Protocol::Http2).await?;
        let (_feed, pending) = client.start(&message().without(SIGNATURE), Some(10)).await?;
        assert_eq!(pending.response().await?.status, 401);
        assert_eq!(guarded.upstream.connections(), 0);
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}
