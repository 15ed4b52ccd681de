//! What replay windows add to a request: a proxy that counts beside one that does not, in turns.
#![allow(clippy::print_stdout, reason = "it is run for its figures")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::replaying;
use crate::guarded::Guarded;
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::process::cpu_ticks;
use crate::support::scenarios::another_message;

const ROUNDS: usize = 40;
const REQUESTS: usize = 250;

#[tokio::test]
#[ignore = "prints figures: cargo test --test e2e -- --ignored --nocapture replay::cost"]
async fn what_counting_adds_to_a_request() -> Result<()> {
    let plugin = |dedupe: Value| {
        let mut plugin = replaying(json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
        ]));
        plugin["replay"]["dedupe"] = dedupe;
        plugin
    };
    let counting = Guarded::start(&plugin(json!({}))).await?;
    let plain = Guarded::start(&plugin(json!({"eligible": "none"}))).await?;
    let mut samples: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    let mut cpu = [0, 0];
    for round in 0..ROUNDS {
        // Who goes first changes.
        for side in [round % 2, 1 - round % 2] {
            let guarded = [&counting, &plain][side];
            let before = cpu_ticks(guarded.envoy.id())?;
            let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
            for _ in 0..REQUESTS {
                let message = another_message();
                let began = Instant::now();
                assert_eq!(client.send(&message).await?.status, 200);
                samples[side].push(began.elapsed());
            }
            cpu[side] += cpu_ticks(guarded.envoy.id())? - before;
        }
    }
    let medians = samples.map(|mut own| {
        own.sort_unstable();
        own[own.len() / 2].as_micros()
    });
    println!(
        "with and without, {} requests each: median {medians:?} us, CPU of Envoy {cpu:?} ticks of 10 ms",
        ROUNDS * REQUESTS
    );
    Ok(())
}
