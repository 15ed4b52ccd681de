//! An attacker who sends copies at the same time: eight clients, dealt out to the doors.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::messages::message;
use super::site::Site;
use crate::support::client::{Client, Protocol};
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Error, Result, eventually};

const CLIENTS: usize = 8;

/// In each round eight clients, each on a connection of its own that it keeps, send the same message, `tries` times. What they were
/// answered, by status.
pub async fn race(site: &Site, path: &str, rounds: usize, tries: usize) -> Result<BTreeMap<u16, usize>> {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let doors = site.doors();
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let (barrier, path) = (Arc::clone(&barrier), path.to_owned());
        let door = doors[index / 2 % doors.len()];
        clients.spawn(async move {
            let protocol = Protocol::BOTH[index % 2];
            let mut client = Client::connect(door, protocol).await?;
            let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
            for round in 0..rounds {
                let copy = message(&format!("{path}/{round}"), round);
                barrier.wait().await;
                for _ in 0..tries {
                    let Ok(response) = client.send(&copy).await else {
                        client = Client::connect(door, protocol).await?;
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
pub fn seen(site: &Site, path: &str) -> Vec<usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in site.upstream.requests() {
        if request.target.starts_with(path) {
            *counts.entry(request.target).or_default() += 1;
        }
    }
    counts.into_values().collect()
}

/// Each of so many messages is sent eight times at once, and delivered once. Nobody else is told that it was delivered, unless it was.
pub async fn one_delivery_each(site: &Site, rounds: usize) -> Result<()> {
    let statuses = race(site, "/sms", rounds, 1).await?;
    let delivered = seen(site, "/sms/");
    let lost = rounds - delivered.len();
    let over = delivered.iter().filter(|count| **count != 1).count();
    println!("{rounds} rounds of {CLIENTS}: {lost} lost, {over} over, answers {statuses:?}");
    assert_eq!((lost, over), (0, 0), "{delivered:?}");
    assert_eq!(statuses[&200], rounds);
    assert!(statuses.keys().all(|status| matches!(status, 200 | 409 | 503)), "{statuses:?}");
    let log = || site.envoys.iter().flat_map(|envoy| envoy.access_log());
    let answered: usize = statuses.values().sum();
    eventually("a line about each copy", async || (log().count() >= answered).then_some(())).await?;
    for line in log() {
        let details = line.details();
        let expected = matches!(details, "via_upstream" | "twilio_guard_replayed" | "twilio_guard_in_flight");
        assert!(expected, "{}", line.0);
    }
    for envoy in &site.envoys {
        let connections = envoy.stats_matching("listener.127.0.0.1").await?;
        let is_worker = |name: &str| name.contains(".worker_") && name.ends_with(".downstream_cx_total");
        let busy = connections.iter().filter(|(name, count)| is_worker(name) && **count > 0).count();
        assert!(busy > 1, "the clients have to meet different workers");
    }
    site.assert_alive().await
}

/// Two of the copies are delivered where two may be.
pub async fn two_deliveries_each(site: &Site) -> Result<()> {
    race(site, "/two", 100, 2).await?;
    let two = seen(site, "/two/");
    println!(
        "two deliveries: {} rounds, most {:?}, least {:?}",
        two.len(),
        two.iter().max(),
        two.iter().min()
    );
    assert!(two.len() == 100 && two.iter().all(|count| *count == 2), "{two:?}");
    site.assert_alive().await
}

/// The application always fails, or resets the connection: so many attempts, no more and no fewer.
pub async fn bounded_failures(site: &Site) -> Result<()> {
    const ROUNDS: usize = 30;
    for round in 0..ROUNDS {
        let failure = if round % 2 == 0 { Behaviour::Status(503) } else { Behaviour::Reset };
        site.upstream.script(&format!("/sms/{round}"), failure);
    }
    for tries in [4, 1, 1, 1, 1, 1, 1] {
        race(site, "/sms", ROUNDS, tries).await?;
        site.settled().await?;
    }
    let failed = seen(site, "/sms/");
    println!(
        "failing application: least {:?}, most {:?} passes, bound 6",
        failed.iter().min(),
        failed.iter().max()
    );
    assert_eq!(failed, [6; ROUNDS]);
    site.assert_alive().await
}

/// Clients that send everything and are gone at once, so that requests end at every moment of their lives.
pub async fn clients_that_leave(site: &Site) -> Result<()> {
    const ROUNDS: usize = 40;
    let (closed, doors) = (Gate::closed(), site.doors());
    for round in 0..ROUNDS {
        site.upstream.script(&format!("/sms/{round}"), Behaviour::Hold(closed.clone()));
    }
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS {
        let door = doors[index / 2 % doors.len()];
        clients.spawn(async move {
            for round in 0..ROUNDS {
                let copy = message(&format!("/sms/{round}"), round);
                for patience in 0..4 {
                    let mut client = Client::connect(door, Protocol::BOTH[index % 2]).await?;
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
    site.at_rest(CLIENTS * ROUNDS * 4).await?;
    race(site, "/sms", ROUNDS, 1).await?;
    let passed = seen(site, "/sms/");
    println!("clients that leave: most {:?} passes, bound 6", passed.iter().max());
    assert!(passed.iter().all(|count| *count <= 6), "{passed:?}");
    site.assert_alive().await
}

/// Copies of which everything but the end is there, and whose ends come at once.
pub async fn slow_bodies(site: &Site) -> Result<()> {
    const ROUNDS: usize = 40;
    let doors = site.doors();
    for round in 0..ROUNDS {
        let copy = message(&format!("/sms/{round}"), round);
        let length = u64::try_from(copy.body.len())?;
        let mut held = Vec::new();
        for index in 0..CLIENTS {
            let door = doors[index / 2 % doors.len()];
            let mut client = Client::connect(door, Protocol::BOTH[index % 2]).await?;
            let (feed, pending) = client.start(&copy, (index % 4 < 2).then_some(length)).await?;
            feed.data(copy.body.slice(..copy.body.len() - 1));
            held.push((client, feed, pending));
        }
        eventually("all heads", async || {
            let mut active = 0;
            for envoy in &site.envoys {
                active += envoy.stat("http.ingress.downstream_rq_active").await.ok()?;
            }
            (active >= u64::try_from(CLIENTS).ok()?).then_some(())
        })
        .await?;
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
    assert_eq!(seen(site, "/sms/"), vec![1; ROUNDS]);
    site.assert_alive().await
}
