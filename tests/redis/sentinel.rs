//! A primary with a replica, behind an address that follows the primary: what Sentinel, an operator or a managed service does.

use std::net::SocketAddr;

use crate::line::Line;
use crate::scene::{OnError, RETRIED, SETTLED, Scene, Way, replica};
use crate::support::redis::{Redis, Sentinel, Setup};
use crate::support::replay_redis::Replica;
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, eventually};

/// Whoever wants a copy gets it at once: Redis would wait five seconds for others who want one.
const AT_ONCE: [&str; 2] = ["--repl-diskless-sync-delay", "0"];

/// One that is in step with its primary.
async fn replica_of(primary: SocketAddr) -> Result<Redis> {
    let port = primary.port().to_string();
    let redis =
        Redis::with(Setup::default().with(&AT_ONCE).with(&["--replicaof", "127.0.0.1", &port])).await?;
    in_step(&redis).await?;
    Ok(redis)
}

async fn in_step(replica: &Redis) -> Result<()> {
    eventually("a replica in step", async || {
        replica.cli(&["role"]).is_ok_and(|role| role.contains("\nconnected\n")).then_some(())
    })
    .await
}

/// Two replicas of the filter, and the line that they reach Redis by.
async fn start() -> Result<(Scene, Redis, Line)> {
    let (upstream, primary) = (Upstream::start().await?, Redis::with(Setup::default().with(&AT_ONCE)).await?);
    let other = replica_of(primary.address()).await?;
    let line = Line::to(primary.address()).await?;
    let envoy = replica(Replica::with_nodes(upstream.address(), &[line.address()]), OnError::Deny, Way::Kept);
    let (first, second) = tokio::try_join!(envoy.start(), envoy.start())?;
    Ok((Scene::of(upstream, primary, vec![first, second]), other, line))
}

/// While the address still leads to a primary that was demoted, it is a store error, and nothing counts as told.
#[tokio::test]
async fn a_demoted_primary_is_not_ready_and_is_told_nothing() -> Result<()> {
    let (mut scene, other, line) = start().await?;
    let delivered = scene.message("/sms");
    scene.send_and_settle(0, &delivered).await?.assert_pass("before", "first");
    let (known, lost) = (scene.message("/sms"), scene.message("/sms"));
    let (gates, mut pending) = ([Gate::closed(), Gate::closed()], Vec::new());
    for (message, gate) in [&known, &lost].into_iter().zip(&gates) {
        let before = scene.redis.keys()?;
        scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
        pending.push(scene.begin(0, message).await?);
        let key = scene.redis.keys()?.into_iter().find(|key| !before.contains(key)).expect("its key");
        // In step, the new primary has the key; one that it never heard of, the demoted one forgets when it follows.
        scene.redis.is_replicated_by(&other).await?;
        if std::ptr::eq(message, &lost) {
            other.cli(&["replicaof", "no", "one"])?;
            assert_eq!(other.cli(&["del", &key])?, "1");
        }
    }
    let port = other.address().port().to_string();
    scene.redis.cli(&["replicaof", "127.0.0.1", &port])?;
    in_step(&scene.redis).await?;

    scene.fails("demoted", 1, OnError::Deny, "store_unusable", &["unready"]).await?;
    scene.refused("known before", 1, &delivered, 409, "replayed").await?;
    let (settled, retried) = (scene.settled(0).await?, scene.replicas[0].stat(RETRIED).await?);
    for (pending, gate) in pending.into_iter().zip(&gates) {
        scene.finish(0, gate, pending).await?;
    }
    scene.replicas[0].wait_for_stat(RETRIED, retried + 4).await?;
    assert_eq!(scene.settled(0).await?, settled);

    // Connections that are open stay where they are; whoever demotes a primary ends them, as Sentinel does.
    line.lead_to(other.address());
    scene.redis.cli(&["client", "kill", "type", "normal"])?;
    scene.replicas[0].wait_for_stat(SETTLED, settled + 2).await?;
    scene.recovers("the address follows", 1).await?;
    scene.refused("told to the new primary", 1, &known, 409, "replayed").await?;
    // What the new primary never heard of is as new to it.
    scene.passes("lost", 1, &lost, "first").await?;
    scene.assert_sound("a demoted primary").await
}

/// Sentinel finds that the primary is lost and promotes the replica. The address follows, and nobody restarts anything.
#[tokio::test]
async fn sentinel_fails_over_and_the_window_goes_on() -> Result<()> {
    let (mut scene, other, line) = start().await?;
    let sentinel = Sentinel::start(&scene.redis).await?;
    let delivered = scene.message("/sms");
    scene.send_and_settle(0, &delivered).await?.assert_pass("before", "first");
    let (under_way, gate) = (scene.message("/sms"), Gate::closed());
    scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
    let pending = scene.begin(0, &under_way).await?;
    scene.redis.is_replicated_by(&other).await?;
    scene.redis.stop();
    scene.fails("no primary", 1, OnError::Deny, "store_unusable", &["unavailable", "reset"]).await?;
    let settled = scene.settled(0).await?;
    scene.finish(0, &gate, pending).await?;
    eventually("Sentinel's failover", async || (sentinel.primary().ok()? == other.address()).then_some(()))
        .await?;
    line.lead_to(other.address());
    scene.replicas[0].wait_for_stat(SETTLED, settled + 1).await?;
    for replica in [0, 1] {
        scene.recovers("the failover", replica).await?;
    }
    for message in [&delivered, &under_way] {
        scene.refused("a copy", 1, message, 409, "replayed").await?;
    }
    scene.assert_sound("Sentinel").await
}
