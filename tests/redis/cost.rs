//! What the shared window costs: the ways to Redis beside the local store and beside no window at all, in turns.
#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "it is run for its figures"
)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Protocol};
use crate::support::envoy::Envoy;
use crate::support::process::cpu_ticks;
use crate::support::redis::{Redis, Setup};
use crate::support::replay_redis::Replica;
use crate::support::tls::Authority;
use crate::support::upstream::Upstream;
use crate::support::{Result, scenarios};

/// The name in the certificate of Redis.
const NAME: &str = "redis.example.org";

const CLIENTS: usize = 8;
const ROUNDS: usize = 12;
/// In one slice.
const REQUESTS: usize = 800;
/// For one way: rounds times requests.
const TOTAL: u64 = 9600;
const HALF_OF_THE_FLOOR: u64 = 750;

/// One way to count, or none.
struct Way {
    name: &'static str,
    envoy: Envoy,
    redis: Option<Redis>,
    latencies: Vec<Duration>,
    envoy_ticks: u64,
    redis_ticks: u64,
    wall: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: make cost"]
async fn what_each_way_adds_to_a_request() -> Result<()> {
    let upstream = Upstream::start().await?;
    let authority = Authority::new("redis")?;
    let mut ways = Vec::new();
    for (name, is_counted, is_shared, is_tls, is_direct) in [
        ("no window", false, false, false, false),
        ("local", true, false, false, false),
        ("Redis", true, true, false, false),
        ("Redis, TLS", true, true, true, false),
        ("Redis, a connection each", true, true, false, true),
        ("Redis, TLS, a connection each", true, true, true, true),
    ] {
        let mut setup = Setup::default();
        if is_tls {
            let identity = authority.issue(NAME)?;
            setup.tls = Some((identity.certificate_pem.clone(), identity.key_pem(), authority.pem()));
        }
        let redis = Redis::with(setup).await?;
        // Waits of a busy machine are part of the figures, not errors.
        let mut replica = Replica::new(upstream.address(), &redis).patient().plugin(move |plugin| {
            if !is_counted {
                plugin["replay"]["dedupe"] = json!({"eligible": "none"});
            }
            if !is_shared {
                plugin["replay"]["store"] = json!({"local": {}});
            }
        });
        if is_tls {
            let trusted = redis.directory().join("ca.crt");
            let trusted = trusted.to_str().ok_or("no path")?.to_owned();
            replica = replica.edit(move |bootstrap| encrypt(bootstrap, &trusted));
        }
        if is_direct {
            replica = replica.direct();
        }
        let envoy = replica.start().await?;
        let redis = is_shared.then_some(redis);
        let latencies = Vec::new();
        ways.push(Way {
            name,
            envoy,
            redis,
            latencies,
            envoy_ticks: 0,
            redis_ticks: 0,
            wall: Duration::ZERO,
        });
    }
    for round in 0..=ROUNDS {
        for index in 0..ways.len() {
            // Who goes first changes; the first round warms up.
            let index = (index + round) % ways.len();
            measure(&mut ways[index], round > 0).await?;
        }
    }
    println!("\n{} requests each by {CLIENTS} clients, {ROUNDS} rounds in turns\n", TOTAL);
    println!("| way | requests/s | median | p99 | CPU of Envoy | of Redis | Envoy, ratio |");
    println!("|---|---|---|---|---|---|---|");
    let floor = ways[0].envoy_ticks.max(1);
    for way in &mut ways {
        way.latencies.sort_unstable();
        let per_request = |ticks: u64| ticks * 10_000 / TOTAL;
        println!(
            "| {} | {:.0} | {:.2} ms | {:.2} ms | {} us | {} us | {:.2} |",
            way.name,
            TOTAL as f64 / way.wall.as_secs_f64(),
            quantile(&way.latencies, 50),
            quantile(&way.latencies, 99),
            per_request(way.envoy_ticks),
            per_request(way.redis_ticks),
            way.envoy_ticks as f64 / floor as f64,
        );
    }
    println!(
        "\nat {HALF_OF_THE_FLOOR} requests/s:\n\n| way | median | p99 | TIME_WAIT of Envoy | of Redis |\n|---|---|---|---|---|"
    );
    for way in &ways {
        let mut latencies = paced(&way.envoy, HALF_OF_THE_FLOOR, Duration::from_secs(5)).await?;
        latencies.sort_unstable();
        let [envoys, servers] =
            way.redis.as_ref().map_or(Ok([0, 0]), |redis| time_wait(redis.address().port()))?;
        println!(
            "| {} | {:.2} ms | {:.2} ms | {envoys} | {servers} |",
            way.name,
            quantile(&latencies, 50),
            quantile(&latencies, 99),
        );
    }
    Ok(())
}

fn encrypt(bootstrap: &mut Value, trusted: &str) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    let redis = clusters.iter_mut().find(|cluster| cluster["name"] == "redis").expect("the cluster");
    redis["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": NAME,
            "common_tls_context": {"validation_context": {
                "trusted_ca": {"filename": trusted},
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": NAME}}],
            }},
        },
    });
}

/// One slice: so many requests, as fast as the clients are answered.
async fn measure(way: &mut Way, counts: bool) -> Result<()> {
    let ticks = |way: &Way| -> Result<(u64, u64)> {
        let redis = way.redis.as_ref().map(Redis::id).transpose()?.map(cpu_ticks).transpose()?;
        Ok((cpu_ticks(way.envoy.id())?, redis.unwrap_or_default()))
    };
    let (before, began) = (ticks(way)?, Instant::now());
    let address = way.envoy.address();
    let clients = (0..CLIENTS).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(address, Protocol::Http1).await?;
            let mut latencies = Vec::new();
            for _ in 0..REQUESTS / CLIENTS {
                let message = scenarios::another_message();
                let sent = Instant::now();
                assert_eq!(client.send(&message).await?.status, 200);
                latencies.push(sent.elapsed());
            }
            Result::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        latencies.extend(client.await??);
    }
    let wall = began.elapsed();
    // What becomes of requests is told a little later, and belongs to their cost.
    Replica::nothing_waits(&way.envoy).await?;
    let after = ticks(way)?;
    if counts {
        way.latencies.extend(latencies);
        way.wall += wall;
        way.envoy_ticks += after.0 - before.0;
        way.redis_ticks += after.1 - before.1;
    }
    Ok(())
}

/// Requests at a steady rate, each measured from when it was due.
async fn paced(envoy: &Envoy, rate: u64, time: Duration) -> Result<Vec<Duration>> {
    let (address, began) = (envoy.address(), Instant::now());
    let total = rate * time.as_secs();
    let lanes = 16_u64;
    let clients = (0..lanes).map(|lane| {
        tokio::spawn(async move {
            let mut client = Client::connect(address, Protocol::Http1).await?;
            let mut latencies = Vec::new();
            for number in (lane..total).step_by(16) {
                let message = scenarios::another_message();
                let due = began + Duration::from_nanos(number * 1_000_000_000 / rate);
                tokio::time::sleep_until(due.into()).await;
                assert_eq!(client.send(&message).await?.status, 200);
                latencies.push(due.elapsed());
            }
            Result::Ok(latencies)
        })
    });
    let mut latencies = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        latencies.extend(client.await??);
    }
    Ok(latencies)
}

/// How many connections to this port are in TIME_WAIT at the client's end, and at the server's.
fn time_wait(port: u16) -> Result<[usize; 2]> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    let port = format!(":{port:04X}");
    let mut ends = [0, 0];
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if let [_, local, remote, "06", ..] = fields.as_slice() {
            ends[0] += usize::from(remote.ends_with(&port));
            ends[1] += usize::from(local.ends_with(&port));
        }
    }
    Ok(ends)
}

fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}
