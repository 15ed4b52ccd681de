//! The demo of the shared replay window: two real Envoys with `envoy/replay-redis.yaml`, one real Redis, one echo application.
//!
//! Sends each row to the Envoy that it names, prints what became of it as seen from outside, and fails if any row differs from what it
//! promises. With `--serve` it keeps serving until Ctrl-C.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal, whose output is what it is for"
)]

mod print;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;
use support::Result;
use support::client::{self, Protocol};
use support::envoy::Envoy;
use support::http::Request;
use support::redis::Redis;
use support::replay_redis::Replica;
use support::scenarios::{self, Expected};
use support::upstream::{Behaviour, Upstream};

fn main() -> ExitCode {
    let serve = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [only] if only == "--serve" => true,
        _ => {
            eprintln!("usage: demo-redis [--serve]");
            return ExitCode::from(2);
        }
    };
    let outcome = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                outcome = demonstrate(serve) => outcome,
                _ = tokio::signal::ctrl_c() => Ok(true),
            }
        })
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the rows are sent to.
struct Stage {
    upstream: Upstream,
    replicas: [(&'static str, Envoy); 2],
    rows: Vec<[String; 6]>,
    settled: [u64; 2],
    differs: bool,
}

impl Stage {
    /// Sends a request to a replica, and waits until Redis knows what became of it.
    async fn row(&mut self, name: &str, to: usize, request: &Request, expected: Expected) -> Result<()> {
        let (replica, envoy) = &self.replicas[to];
        let (logged, received) = (envoy.access_log().len(), self.upstream.count());
        let response = client::send(envoy.address(), Protocol::Http1, request).await?;
        let line = envoy.wait_for_access_log(logged + 1).await?.remove(logged);
        let reached = self.upstream.count() - received;
        let as_promised = expected.holds(&response, line.details(), reached);
        self.differs |= !as_promised;
        if reached > 0 {
            self.settled[to] += 1;
            Replica::settled(envoy, self.settled[to]).await?;
        }
        self.rows.push([
            name.to_owned(),
            (*replica).to_owned(),
            expected.to_string(),
            line.details().to_owned(),
            if reached == 0 { "no" } else { "yes" }.to_owned(),
            if as_promised { "ok" } else { "DIFFERS" }.to_owned(),
        ]);
        Ok(())
    }
}

async fn demonstrate(serve: bool) -> Result<bool> {
    let (upstream, mut redis) = (Upstream::start().await?, Redis::start().await?);
    // What is to be seen is Redis, not how slow this machine may be.
    let replica = Replica::new(upstream.address(), &redis).patient();
    let replicas = [("A", replica.start().await?), ("B", replica.start().await?)];
    for (name, envoy) in &replicas {
        println!("Envoy {name}  http://{}, admin http://{}", envoy.address(), envoy.admin());
    }
    println!("Redis    {}\n", redis.address());
    let mut stage = Stage { upstream, replicas, rows: Vec::new(), settled: [0, 0], differs: false };

    let [first, second, failing, unlucky] = [(); 4].map(|()| scenarios::another_message());
    let replayed = Expected::Refused(409, "replayed");
    stage.row("a signed SMS", 0, &first, Expected::Accepted).await?;
    stage.row("its copy, to the other replica", 1, &first, replayed).await?;
    stage.row("once more", 1, &first, replayed).await?;
    stage.row("its copy, to the first", 0, &first, replayed).await?;
    stage.row("another SMS", 1, &second, Expected::Accepted).await?;
    stage.row("its copy, to the other replica", 0, &second, replayed).await?;
    stage.upstream.script_next("/sms", [Behaviour::Status(503)]);
    stage.row("an SMS that the app fails on", 0, &failing, Expected::Failed(503)).await?;
    stage.row("its retry, to the other replica", 1, &failing, Expected::Accepted).await?;
    redis.stop();
    stage.row("an SMS while Redis is down", 0, &unlucky, Expected::Refused(503, "store_unusable")).await?;
    redis.restart().await?;
    stage.row("its retry, with Redis back", 1, &unlucky, Expected::Accepted).await?;
    stage.row("a copy of the first, Redis empty", 0, &first, replayed).await?;

    print::table(["request", "to", "expected", "reason (access log)", "reached app", ""], stage.rows);
    if stage.differs {
        eprintln!("\nsome rows differ from what they promise");
        return Ok(false);
    }
    println!("\nall as promised. What Redis keeps of a webhook, and nothing else:\n");
    for key in redis.keys()? {
        println!("{key}  {}", redis.cli(&["hgetall", &key])?.lines().collect::<Vec<_>>().join(" "));
    }
    if serve {
        let request = scenarios::another_message();
        println!("\nA genuine webhook, ready to paste; send it to each:\n");
        for (_, envoy) in &stage.replicas {
            println!("{}\n", print::curl(envoy.address(), &request));
        }
        println!("Ctrl-C stops everything.");
        std::future::pending::<()>().await;
    }
    Ok(true)
}
