//! An attacker who sends copies at the same time: eight clients, four workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::scene::{message, settings};
use crate::guarded::{Guarded, assert_vm_alive};
use crate::support::client::{Client, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Error, Result, module};

const CLIENTS: usize = 8;

async fn start() -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &settings());
    let config = EnvoyConfig::new(upstream.address()).concurrency(4).filter(filter);
    Ok(Guarded { upstream, envoy: Envoy::start(&config).await? })
}

/// In each round eight clients, each on a connection of its own that it keeps, send the same message, `tries` times. What they were
/// answered, by status.
async fn race(guarded: &Guarded, path: &str, rounds: usize, tries: usize) -> Result<BTreeMap<u16, usize>> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let (barrier, path, address) = (Arc::clone(&barrier), path.to_owned(), guarded.envoy.address());
        clients.spawn(async move {
            let protocol = Protocol::BOTH[index % 2];
            let mut client = Client::connect(address, protocol).await?;
            let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
            for round in 0..rounds {
                let copy = message(&format!("{path}/{round}"), round);
                barrier.wait().await;
                for _ in 0..tries {
                    let Ok(response) = client.send(&copy).await else {
                        client = Client::connect(address, protocol).await?;
                        continue;
                    };
                    *statuses.entry(response.status).or_default() += 1;
                }
            }
            Ok::<_, Error>(statuses)
        });
    }
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    while let Some(own) = clients.join_next().await {
        own??.into_iter().for_each(|(status, count)| *statuses.entry(status).or_default() += count);
    }
    Ok(statuses)
}

/// How often the application saw each message of a path.
fn seen(guarded: &Guarded, path: &str) -> Vec<usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in guarded.upstream.requests() {
        if request.target.starts_with(path) {
            *counts.entry(request.target).or_default() += 1;
        }
    }
    counts.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_copies_at_once_one_is_delivered() -> Result<()> {
    const ROUNDS: usize = 1000;
    let guarded = start().await?;
    let statuses = race(&guarded, "/sms", ROUNDS, 1).await?;
    let delivered = seen(&guarded, "/sms/");
    let lost = delivered.iter().filter(|count| **count != 1).count();
    println!(
        "{ROUNDS} rounds of {CLIENTS}: {lost} lost, most {:?}, answers {statuses:?}",
        delivered.iter().max()
    );
    assert_eq!((delivered.len(), lost), (ROUNDS, 0));
    assert_eq!(statuses[&200], ROUNDS);
    assert!(statuses.keys().all(|status| matches!(status, 200 | 409 | 503)), "{statuses:?}");
    let mut busy = 0;
    for (name, connections) in guarded.envoy.stats_matching("listener.127.0.0.1").await? {
        busy += usize::from(
            name.contains(".worker_") && name.ends_with(".downstream_cx_total") && connections > 0,
        );
    }
    assert!(busy > 1, "the clients have to meet different workers");
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_deliveries_and_failures_keep_their_bounds_under_a_race() -> Result<()> {
    let guarded = start().await?;
    race(&guarded, "/two", 100, 2).await?;
    let two = seen(&guarded, "/two/");
    assert!(two.iter().all(|count| *count == 2), "{two:?}");

    // The application always fails, or resets the connection: so many attempts, no more.
    for round in 0..60 {
        let failure = if round % 2 == 0 { Behaviour::Status(503) } else { Behaviour::Reset };
        guarded.upstream.script(&format!("/sms/{round}"), failure);
    }
    race(&guarded, "/sms", 60, 4).await?;
    let failed = seen(&guarded, "/sms/");
    println!("failing application: most {:?} passes, bound 6", failed.iter().max());
    assert!(failed.iter().all(|count| *count <= 6), "{failed:?}");
    assert_vm_alive(&guarded.envoy).await
}

/// Clients that send everything and are gone at once, so that requests end at every moment of their lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_at_any_moment_gain_nothing() -> Result<()> {
    const ROUNDS: usize = 40;
    let guarded = start().await?;
    let closed = Gate::closed();
    for round in 0..ROUNDS {
        guarded.upstream.script(&format!("/sms/{round}"), Behaviour::Hold(closed.clone()));
    }
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let address = guarded.envoy.address();
        clients.spawn(async move {
            for round in 0..ROUNDS {
                let copy = message(&format!("/sms/{round}"), round);
                for patience in 0..4 {
                    let mut client = Client::connect(address, Protocol::BOTH[index % 2]).await?;
                    let length = Some(u64::try_from(copy.body.len())?);
                    let (feed, pending) = client.start(&copy, length).await?;
                    feed.data(copy.body.clone());
                    for _ in 0..patience * 8 {
                        tokio::task::yield_now().await;
                    }
                    drop((pending, client, feed));
                }
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    closed.open();
    race(&guarded, "/sms", ROUNDS, 1).await?;
    let passed = seen(&guarded, "/sms/");
    println!("clients that leave: most {:?} passes, bound 6", passed.iter().max());
    assert!(passed.iter().all(|count| *count <= 6), "{passed:?}");
    assert_vm_alive(&guarded.envoy).await
}

/// Copies of which everything but the end is there, and whose ends come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_bodies_that_end_together_are_one_delivery() -> Result<()> {
    const ROUNDS: usize = 40;
    let guarded = start().await?;
    for round in 0..ROUNDS {
        let copy = message(&format!("/sms/{round}"), round);
        let length = u64::try_from(copy.body.len())?;
        let mut held = Vec::new();
        for index in 0..CLIENTS {
            let mut client = Client::connect(guarded.envoy.address(), Protocol::BOTH[index % 2]).await?;
            let (feed, pending) = client.start(&copy, (index % 4 < 2).then_some(length)).await?;
            feed.data(copy.body.slice(..copy.body.len() - 1));
            held.push((client, feed, pending));
        }
        guarded.envoy.wait_for_stat("http.ingress.downstream_rq_active", u64::try_from(CLIENTS)?).await?;
        for (_, feed, _) in &held {
            feed.data(copy.body.slice(copy.body.len() - 1..));
        }
        let mut delivered = 0;
        for (_client, feed, pending) in held {
            drop(feed);
            delivered += usize::from(pending.response().await?.status == 200);
        }
        assert_eq!(delivered, 1, "round {round}");
    }
    let delivered = seen(&guarded, "/sms/");
    assert_eq!(delivered, vec![1; ROUNDS]);
    assert_vm_alive(&guarded.envoy).await
}
