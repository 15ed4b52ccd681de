//! Bodies that take their time. Here time is what is tested, so here alone a test lets some pass.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::probe::Probe;
use super::{EVENT, twilio};
use crate::guarded::{plugin, routes};
use crate::support::client::{self, Client, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::http::{Request, Response};
use crate::support::scenarios::MESSAGE;
use crate::support::{DEADLINE, Result, binary, eventually, module, since};

fn with_timeout(timeout: &str) -> Value {
    let mut settings = plugin("none", routes());
    settings["limits"] = json!({"body_timeout": timeout});
    settings
}

/// The timeout is short for all but the route of genuine forms, whose bodies may come late on a slow machine.
fn short_but_for_forms() -> Value {
    let mut settings = with_timeout("300ms");
    let slow = json!({"name": "slow", "match": {"path": "/slow"}, "verify": "twilio"});
    settings["routes"].as_array_mut().expect("routes").push(slow);
    settings["routes"][0]["limits"] = json!({"body_timeout": "1m"});
    settings
}

/// Sends a declared length and one byte each 20 ms, for as long as there is no answer.
async fn dribble(probe: &Probe, protocol: Protocol, request: &Request) -> Result<Response> {
    let mut client = Client::connect(probe.envoy.address(), protocol).await?;
    let (feed, pending) = client.start(request, Some(60_000)).await?;
    let started = Instant::now();
    while !pending.is_ready() && started.elapsed() < DEADLINE {
        feed.data("x");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pending.response().await
}

/// Sends the head and nothing more.
async fn stall(probe: &Probe, protocol: Protocol, request: &Request) -> Result<Response> {
    let mut client = Client::connect(probe.envoy.address(), protocol).await?;
    let (_feed, pending) = client.start(request, Some(100)).await?;
    pending.response().await
}

#[tokio::test]
async fn a_body_that_does_not_end_in_time_is_answered_408() -> Result<()> {
    let mut probe = Probe::start(&short_but_for_forms()).await?;
    probe.accept("a first body", Protocol::Http1, &twilio().form("/sms", &MESSAGE)).await?;
    let form = twilio().form("/slow", &MESSAGE);
    for protocol in Protocol::BOTH {
        let response = dribble(&probe, protocol, &form).await?;
        probe.refused("form, byte by byte", &response, (408, "body_timeout")).await?;
        let response = stall(&probe, protocol, &twilio().json("/events", EVENT)).await?;
        probe.refused("JSON, no byte at all", &response, (408, "body_timeout")).await?;
        // What is bad anyway is called what it is.
        let forged = form.clone().without("x-twilio-signature");
        let response = stall(&probe, protocol, &forged).await?;
        probe.refused("no signature", &response, (401, "missing_signature")).await?;
    }
    probe.finish().await
}

#[tokio::test]
async fn a_slow_body_that_ends_in_time_is_accepted() -> Result<()> {
    let mut probe = Probe::start(&with_timeout("10s")).await?;
    for protocol in Protocol::BOTH {
        for request in [twilio().form("/sms", &MESSAGE), twilio().json("/events", EVENT)] {
            let mut client = Client::connect(probe.envoy.address(), protocol).await?;
            let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
            for piece in request.body.chunks(16) {
                tokio::time::sleep(Duration::from_millis(30)).await;
                feed.data(piece.to_vec());
            }
            drop(feed);
            let response = pending.response().await?;
            probe.accepted("a slow body", &response, &request.body).await?;
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn without_the_host_flag_bodies_are_answered_503_that_names_it() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &with_timeout("300ms")).without_header_hold();
    let mut probe = Probe::with(filter, |config| config).await?;
    let missing = (503, "allow_on_headers_stop_iteration_missing");
    for protocol in Protocol::BOTH {
        let form = twilio().form("/sms", &MESSAGE);
        probe.refuse("form", protocol, &form, missing).await?;
        probe.refuse("form of undeclared length", protocol, &form.undeclared_length(), missing).await?;
        probe.refuse("JSON", protocol, &twilio().json("/events", EVENT), missing).await?;
        // What needs no body needs no flag.
        probe.accept("GET", protocol, &twilio().get("/events?a=b")).await?;
        probe.accept("empty form", protocol, &twilio().form("/sms", &[])).await?;
        let response = client::send(probe.envoy.address(), protocol, &twilio().websocket("/media")).await?;
        assert!(response.accepted(), "{protocol:?}: {}", response.status);
        assert_eq!(probe.next_line().await?.field("verdict"), "verified");
        probe.arrived("websocket").await?;
        let forged = twilio().get("/events?a=b").with("x-twilio-signature", "A".repeat(27) + "=");
        probe.refuse("forged GET", protocol, &forged, (401, "mismatch")).await?;
        // What is bad whatever its body says is not kept waiting for it.
        let unsigned = twilio().form("/sms", &MESSAGE).without("x-twilio-signature");
        probe.refuse("unsigned form", protocol, &unsigned, (401, "missing_signature")).await?;
        // And it never learns otherwise.
        probe.refuse("form, again", protocol, &twilio().form("/sms", &MESSAGE), missing).await?;
    }
    probe.envoy.wait_for_log("set allow_on_headers_stop_iteration: true in the plugin config").await?;
    crate::guarded::assert_vm_alive(&probe.envoy).await
}

/// Before 1.39 Envoy keeps what comes after a filter let the request go by the clock, and the application waits for it.
#[tokio::test]
async fn an_observed_body_that_does_not_end_in_time_is_let_through() -> Result<()> {
    let mut settings = with_timeout("1s");
    settings["mode"] = json!("observe");
    let is_whole = binary::minor()? >= since::LATE_BODIES;
    let filter = WasmFilter::new(module::path()?, &settings);
    let mut probe = Probe::with(filter, |config| if is_whole { config } else { giving_up(config) }).await?;
    for protocol in Protocol::BOTH {
        let request = twilio().form("/sms", &MESSAGE);
        let mut client = Client::connect(probe.envoy.address(), protocol).await?;
        let (feed, pending) = client.start(&request, Some(u64::try_from(request.body.len())?)).await?;
        let (first, rest) = request.body.split_at(10);
        feed.data(first.to_vec());
        // The head goes upstream once the time is over, not before.
        let seen = probe.upstream.count();
        eventually("the head at the upstream", async || (probe.upstream.count() > seen).then_some(()))
            .await?;
        assert!(!probe.upstream.requests()[seen].complete);
        feed.data(rest.to_vec());
        drop(feed);
        assert_eq!(pending.response().await?.status, if is_whole { 200 } else { 504 }, "{protocol:?}");
        let line = probe.next_line().await?;
        let told = (line.field("verdict"), line.field("reason"));
        assert_eq!(told, ("observed_reject", "body_timeout"), "{}", line.0);
        if is_whole {
            assert_eq!(probe.arrived("observed").await?.body, request.body, "{protocol:?}");
        } else {
            let contains = |part: &[u8]| probe.upstream.bytes().windows(part.len()).any(|own| own == part);
            eventually("the first bytes at the upstream", async || contains(first).then_some(())).await?;
            assert!(!contains(rest), "{protocol:?}");
            probe.settle();
        }
        let recorded = &probe.upstream.requests()[seen];
        assert_eq!(recorded.complete, is_whole, "{protocol:?}");
        assert!(!recorded.headers.contains_key("x-twilio-guard"));
    }
    // Nothing observed is vouched for, so the usual end, a request with the verified header, does not apply.
    probe.nothing_arrived("at the end");
    crate::guarded::assert_vm_alive(&probe.envoy).await
}

/// Where Envoy does not wait for the application for long.
fn giving_up(config: EnvoyConfig) -> EnvoyConfig {
    config.ingress(|ingress| {
        ingress.edit(|manager| {
            manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = json!("2s");
        })
    })
}
