//! Many requests, of which many break off: nothing is left of them, neither connections nor calls nor memory.
//!
//! The short form runs with the other tests; `make soak` runs the long one. `SOAK_REQUESTS` changes it.
#![allow(clippy::print_stdout, reason = "the long form is run for its figures")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::scene::{OnError, Scene, Way, replica};
use crate::support::client::{Client, Protocol};
use crate::support::config::INGRESS;
use crate::support::guarded::at_rest;
use crate::support::replay_redis::Replica;
use crate::support::{Error, Result, eventually};

/// Of so many requests one breaks off.
const ABORTED: u32 = 5;

const SENDERS: u64 = 8;

/// What Envoy's memory may grow by in the second half, in KiB: buffers, statistics and 45 bytes for each capture.
const TOLERANCE: u64 = 6 << 10;

#[tokio::test]
async fn nothing_is_left_of_ten_thousand_requests() -> Result<()> {
    leave_nothing(Way::Kept, 10_000).await
}

#[tokio::test]
async fn nothing_is_left_of_a_connection_for_each_call() -> Result<()> {
    leave_nothing(Way::Direct, 2_000).await
}

#[tokio::test]
#[ignore = "takes minutes: make soak"]
async fn nothing_is_left_of_many_requests() -> Result<()> {
    let requests = std::env::var("SOAK_REQUESTS").map_or(Ok(50_000), |text| text.parse())?;
    for way in Way::BOTH {
        leave_nothing(way, requests).await?;
    }
    Ok(())
}

async fn leave_nothing(way: Way, requests: u64) -> Result<()> {
    let scene = Arc::new(Scene::start(1, |it| replica(it, OnError::Deny, way)).await?);
    scene.recovers("the start", 0).await?;
    let (began, before) = (Instant::now(), scene.connections(0).await?);
    let mut resident = vec![scene.replicas[0].resident_kib()?];
    let (mut answered, mut broken, mut connections) = (0, 0, before);
    for half in 0..2 {
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            let protocol = Protocol::BOTH[usize::try_from(sender % 2)?];
            let random = fastrand::Rng::with_seed(half * SENDERS + sender);
            senders.spawn(send(Arc::clone(&scene), protocol, random, requests / 2 / SENDERS));
        }
        while let Some(done) = senders.join_next().await {
            let (ended, left, opened) = done??;
            answered += ended;
            broken += left;
            connections += opened;
        }
        at_rest(&scene.replicas, &[INGRESS], connections).await?;
        nothing_left(&scene, way).await?;
        resident.push(scene.replicas[0].resident_kib()?);
    }
    let stats = scene.replicas[0].stats_matching("cluster.redis.upstream_cx_total").await?;
    println!(
        "{way:?}: {answered} answered and {broken} broken off in {:?}; abandoned questions: {}; connections to Redis: {:?}; \
         KiB resident {resident:?}",
        began.elapsed(),
        scene.answers(0, &["abandoned"]).await?,
        stats.values().collect::<Vec<_>>(),
    );
    assert!(resident[2] <= resident[1] + TOLERANCE, "{way:?}: {resident:?}");
    let scene = Arc::into_inner(scene);
    scene.ok_or("somebody still sends")?.assert_sound(&format!("{way:?}")).await
}

/// Sends messages, of which some break off at any moment. How many were answered, how many not, and over how many connections.
async fn send(
    scene: Arc<Scene>,
    protocol: Protocol,
    mut random: fastrand::Rng,
    count: u64,
) -> Result<(u64, u64, u64)> {
    let address: SocketAddr = scene.replicas[0].address();
    let (mut answered, mut broken, mut opened) = (0, 0, 1);
    let mut client = Client::connect(address, protocol).await?;
    for _ in 0..count {
        let message = scene.message("/sms");
        let (feed, pending) = client.start(&message, Some(u64::try_from(message.body.len())?)).await?;
        if random.u32(..ABORTED) > 0 {
            feed.data(message.body);
            drop(feed);
            let status = pending.response().await?.status;
            assert_eq!(status, 200);
            answered += 1;
            continue;
        }
        match random.u32(..3) {
            // Before the verdict.
            0 => feed.data(message.body.slice(..20)),
            // Some time between the head and the answer.
            _ => feed.data(message.body),
        }
        tokio::time::sleep(Duration::from_micros(random.u64(..6_000))).await;
        drop((feed, pending));
        broken += 1;
        if protocol == Protocol::Http1 {
            client = Client::connect(address, protocol).await?;
            opened += 1;
        }
    }
    Ok::<_, Error>((answered, broken, opened))
}

/// Waits until nothing is left of requests that are over: first nothing to tell Redis, so that no call begins any more; then no call, and
/// no connection but those that are kept.
async fn nothing_left(scene: &Scene, way: Way) -> Result<()> {
    let envoy = &scene.replicas[0];
    Replica::nothing_waits(envoy).await?;
    // A worker keeps one connection, or none.
    let kept = if way == Way::Kept { 2 } else { 0 };
    let most = [
        ("twilio_guard_store.upstream_rq_active", 0),
        ("twilio_guard_store.upstream_cx_active", 2),
        ("twilio_guard_redis_proxy.upstream_cx_active", 0),
        ("redis.upstream_rq_active", 0),
        ("redis.upstream_cx_active", kept),
    ];
    eventually(&format!("no more left than {most:?} and {kept} clients of Redis"), async || {
        let stats = envoy.stats_matching("cluster.").await.ok()?;
        let left = |name: &str| stats.get(&format!("cluster.{name}")).copied().unwrap_or_default();
        let is_over = most.iter().all(|(name, most)| left(name) <= *most);
        let clients = u64::try_from(scene.redis.clients().ok()?).ok()?;
        (is_over && clients <= kept).then_some(())
    })
    .await
}
