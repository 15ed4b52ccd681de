//! Many requests of all kinds at once, on two workers.

use std::collections::BTreeMap;

use crate::guarded::assert_vm_alive;
use crate::support::Result;
use crate::support::client::{self, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::module;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::{FORM_TYPE, SIGNATURE, Twilio};
use crate::support::upstream::Upstream;

use super::refusals::{self, OTHER_ACCOUNT, OTHER_TOKEN};
use super::{counters, message_of, requests};

/// A request, and the status, outcome, reason and route that it must have.
type Case = (Request, u16, &'static str, &'static str, &'static str);

/// Ten kinds, half of them refused, each request with a target of its own.
fn cases(number: usize) -> [Case; 10] {
    let (one, two) = (Twilio::new(TOKEN), Twilio::new(OTHER_TOKEN));
    let target = |path: &str| format!("{path}?n={number}");
    let form = one.form(&target("/sms"), &MESSAGE);
    let long = "a".repeat(2_000);
    [
        (form.clone(), 200, "verified", "none", "sms"),
        (one.json(&target("/events"), "{}"), 200, "verified", "none", "events"),
        (one.get(&target("/events")), 200, "verified", "none", "events"),
        (two.form(&target("/shared"), &message_of(OTHER_ACCOUNT)), 200, "verified", "none", "shared"),
        (Request::post(&target("/open"), FORM_TYPE, "a=b"), 200, "unprotected", "none", "default"),
        (form.clone().body("Body=changed"), 401, "refused", "mismatch", "sms"),
        (form.without(SIGNATURE), 401, "refused", "missing_signature", "sms"),
        (two.get(&target("/events")), 401, "refused", "mismatch", "events"),
        (one.json(&target("/events"), "{}").body("[]"), 401, "refused", "body_hash_mismatch", "events"),
        (one.form(&target("/sms"), &[("Body", &long)]), 413, "refused", "body_too_large", "sms"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_at_once_have_each_its_outcome_and_the_counters_add_up() -> Result<()> {
    const ROUNDS: usize = 10;
    let upstream = Upstream::start().await?;
    let mut configuration = refusals::configuration();
    configuration["routes"].as_array_mut().ok_or("no routes")?.push(serde_json::json!(
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio", "profile": "media-stream",
         "accounts": [OTHER_ACCOUNT]}
    ));
    let filter = WasmFilter::new(module::path()?, &configuration);
    let envoy = Envoy::start(&EnvoyConfig::new(upstream.address()).filter(filter).concurrency(2)).await?;
    let address = envoy.address();

    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut passed = Vec::new();
    let mut senders = tokio::task::JoinSet::new();
    for round in 0..ROUNDS {
        for protocol in Protocol::BOTH {
            let number = senders.len();
            let mut cases = cases(number).to_vec();
            // One of each kind of websocket in every second round, in place of a form.
            if round % 2 == 0 {
                let target = format!("/media?n={number}");
                let signer = |token| Twilio::new(token).websocket(&target);
                let status = if protocol == Protocol::Http1 { 101 } else { 200 };
                cases[0] = (signer(OTHER_TOKEN), status, "verified", "none", "media");
                cases[5] = (signer(TOKEN), 401, "refused", "mismatch", "media");
            }
            for (request, status, outcome, reason, route) in cases {
                *expected.entry(requests(outcome, reason, route)).or_default() += 1;
                if outcome != "refused" {
                    passed.push((request.target.clone(), request.body.clone(), outcome == "verified"));
                }
                senders.spawn(async move {
                    let response = client::send(address, protocol, &request).await;
                    let response = response.map_err(|error| format!("{reason} {protocol:?}: {error}"))?;
                    assert_eq!(response.status, status, "{protocol:?} {} {reason}", request.target);
                    Result::Ok(())
                });
            }
        }
    }
    assert_eq!(senders.len(), 200);
    while let Some(done) = senders.join_next().await {
        done??;
    }
    let mut received: Vec<_> = upstream
        .wait_for(passed.len())
        .await?
        .into_iter()
        .map(|request| {
            let verified = request.headers.contains_key("x-twilio-guard");
            (request.target, request.body, verified)
        })
        .collect();
    received.sort();
    passed.sort();
    assert_eq!(received, passed, "the upstream received exactly what was to pass");

    let mut counted = counters(&envoy).await?;
    counted.retain(|name, _| name.starts_with("twilio_guard_requests"));
    assert_eq!(counted, expected);
    assert_eq!(counted.values().sum::<u64>(), 200);
    let workers: Vec<_> = envoy
        .stats_matching("listener.")
        .await?
        .into_iter()
        .filter(|(name, _)| name.contains(".worker_") && name.ends_with("downstream_cx_total"))
        .collect();
    assert!(workers.len() == 2 && workers.iter().all(|(_, connections)| *connections > 0), "{workers:?}");
    assert_vm_alive(&envoy).await
}
