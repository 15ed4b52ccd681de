//! What becomes of a pass, and what the next copy then gets from another replica: the table of docs/replay.md, row by row.

use serde_json::json;

use crate::scene::{OnError, SETTLED, Scene, Way, replica};
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::eventually;
use crate::support::guarded::{assert_vm_alive, line_of};
use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::replay_redis::{MANAGER, Replica};
use crate::support::scenes::{add_clusters, add_routes, route, under};
use crate::support::upstream::{Behaviour, Gate, Port, Upstream};

/// Two replicas whose routes fail as a request asks for, and the port that refuses connections to some of them.
async fn pair(way: Way) -> Result<(Scene, Port)> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let port = Port::reserve()?;
    let (open, closed) = (upstream.address(), port.address());
    let replica = replica(Replica::new(open, &redis), OnError::Deny, way)
        .plugin(|plugin| {
            plugin["routes"] = json!([
                route("sms", json!({})),
                route("tries", json!({"max_attempts": 3})),
                route("lease", json!({"lease": "1s"})),
            ]);
        })
        .edit(move |bootstrap| {
            add_routes(bootstrap.pointer_mut(MANAGER).expect("the file has it"), "application");
            add_clusters(bootstrap, open, closed);
        });
    let replicas = vec![replica.start().await?, replica.start().await?];
    Ok((Scene::of(upstream, redis, replicas), port))
}

#[tokio::test]
async fn an_answer_below_500_is_a_delivery_everywhere() -> Result<()> {
    let (mut scene, _closed) = pair(Way::Kept).await?;
    for status in [200, 302, 404] {
        let target = format!("/sms/{status}");
        scene.upstream.script(&target, Behaviour::Status(status));
        let message = scene.message(&target);
        scene.send_and_settle(0, &message).await?.assert_pass(&target, "first");
        for replica in [1, 0, 1] {
            scene.refused(&target, replica, &message, 409, "replayed").await?;
        }
    }
    scene.assert_sound("deliveries").await
}

/// Sends a copy that arrives and is not delivered. Where Envoy gives up waiting, it may answer before the application has read the copy.
async fn attempt(scene: &Scene, what: &str, replica: usize, copy: &Request, mark: &str) -> Result<()> {
    let seen = scene.upstream.count();
    let mut exchange = scene.send_and_settle(replica, copy).await?;
    eventually(what, async || (scene.upstream.count() > seen).then_some(())).await?;
    exchange.received = scene.upstream.requests().split_off(seen);
    exchange.assert_pass(what, mark);
    Ok(())
}

#[tokio::test]
async fn a_failure_anywhere_is_an_attempt_everywhere() -> Result<()> {
    let (mut scene, _closed) = pair(Way::Kept).await?;
    let failures = [
        ("500", Behaviour::Status(500)),
        ("408", Behaviour::Status(408)),
        ("425", Behaviour::Status(425)),
        ("429", Behaviour::Status(429)),
        ("reset", Behaviour::Reset),
        ("silent", Behaviour::Hold(Gate::closed())),
    ];
    for (what, failure) in failures {
        let target = format!("/tries/{what}");
        scene.upstream.script(&target, failure);
        // Envoy's own 504 after the route's timeout, or what the application says.
        let failing = |message: &Request| under(message, if what == "silent" { "timeout" } else { "usual" });
        let message = failing(&scene.message(&target));
        for (replica, mark) in [(0, "first"), (1, "again"), (0, "again")] {
            attempt(&scene, what, replica, &message, mark).await?;
        }
        for replica in [0, 1] {
            scene.refused(what, replica, &message, 409, "attempts_exhausted").await?;
        }
        // The application recovers after a failure: one delivery, no more.
        let message = scene.message(&target);
        attempt(&scene, what, 0, &failing(&message), "first").await?;
        scene.upstream.script(&target, Behaviour::Status(200));
        scene.send_and_settle(1, &message).await?.assert_pass(what, "again");
        for replica in [0, 1] {
            scene.refused(what, replica, &message, 409, "replayed").await?;
        }
    }
    scene.assert_sound("failures").await
}

#[tokio::test]
async fn what_never_reached_the_application_is_released_everywhere() -> Result<()> {
    let (mut scene, _closed) = pair(Way::Kept).await?;
    for what in ["refused", "empty", "full", "unrouted", "answered", "aborted"] {
        let message = scene.message("/sms");
        for replica in [0, 1, 0, 1] {
            let exchange = scene.send_and_settle(replica, &under(&message, what)).await?;
            assert_eq!(exchange.received.len(), 0, "{what}: {}", exchange.line.0);
        }
        scene.send_and_settle(0, &message).await?.assert_pass(what, "first");
        scene.refused(what, 1, &under(&message, what), 409, "replayed").await?;
    }
    scene.assert_sound("released").await
}

#[tokio::test]
async fn a_client_that_leaves_spent_an_attempt_once_the_head_went_upstream() -> Result<()> {
    let (mut scene, _closed) = pair(Way::Kept).await?;
    scene.upstream.script("/tries", Behaviour::Hold(Gate::closed()));
    let message = scene.message("/tries");
    // Before: nobody was asked.
    let mut client = Client::connect(scene.replicas[0].address(), Protocol::Http1).await?;
    let (feed, pending) = client.start(&message, Some(u64::try_from(message.body.len())?)).await?;
    feed.data(message.body.slice(..20));
    scene.replicas[0].wait_for_stat("http.ingress.downstream_rq_active", 1).await?;
    drop((feed, pending));
    client.close();
    line_of(&scene.replicas[0], &client, 0).await?;
    assert_eq!(scene.redis.keys()?, [""; 0]);
    // After.
    for (replica, other) in [(0, 1), (1, 0), (0, 1)] {
        let (settled, lines) = (scene.settled(replica).await?, scene.replicas[replica].access_log().len());
        let (client, pending) = scene.begin(replica, &message).await?;
        let mark = if settled == 0 && replica == 0 { "first" } else { "again" };
        assert_eq!(scene.upstream.requests().last().ok_or("none")?.replay_mark(), mark);
        scene.refused("while it is under way", other, &message, 503, "in_flight").await?;
        scene.refused("while it is under way", replica, &message, 503, "in_flight").await?;
        drop(pending);
        client.close();
        scene.replicas[replica].wait_for_stat(SETTLED, settled + 1).await?;
        line_of(&scene.replicas[replica], &client, lines).await?;
    }
    for replica in [0, 1] {
        scene.refused("after three", replica, &message, 409, "attempts_exhausted").await?;
    }
    scene.assert_sound("clients that leave").await
}

/// Whoever leaves while Redis is asked leaves a pass behind that Redis grants later: it is given back, or ended by its lease where a
/// Redis that stood still takes the two in the other order.
#[tokio::test]
async fn a_client_that_leaves_while_redis_is_asked_keeps_nobody_out_for_longer_than_a_lease() -> Result<()> {
    for way in Way::BOTH {
        let (mut scene, _closed) = pair(way).await?;
        for number in 1..=3 {
            let (message, settled) = (scene.message("/lease"), scene.settled(0).await?);
            // The next call is the question, and not the end of the last one.
            let asked = "cluster.twilio_guard_store.upstream_rq_active";
            eventually("the end of every call", async || {
                (scene.replicas[0].stat(asked).await.ok()? == 0).then_some(())
            })
            .await?;
            scene.redis.freeze().await?;
            let mut client = Client::connect(scene.replicas[0].address(), Protocol::Http1).await?;
            let (feed, pending) = client.start(&message, Some(u64::try_from(message.body.len())?)).await?;
            feed.data(message.body.clone());
            scene.replicas[0].wait_for_stat(asked, 1).await?;
            drop((feed, pending, client));
            eventually("an abandoned question", async || {
                (scene.answers(0, &["abandoned"]).await.ok()? == number).then_some(())
            })
            .await?;
            scene.redis.thaw()?;
            scene.replicas[0].wait_for_stat(SETTLED, settled + 1).await?;
            let settled = scene.settled(1).await?;
            eventually("a pass", async || {
                scene.send(1, &message).await.ok()?.response.accepted().then_some(())
            })
            .await?;
            scene.replicas[1].wait_for_stat(SETTLED, settled + 1).await?;
            scene.refused("it was delivered", 0, &message, 409, "replayed").await?;
            scene.redis.cli(&["flushall"])?;
        }
        assert_eq!(scene.answers(0, &["timeout", "reset", "unavailable", "malformed"]).await?, 0);
        scene.assert_sound(&format!("{way:?}")).await?;
    }
    Ok(())
}

/// The replica dies: nobody settles its pass, and its lease ends it.
#[tokio::test]
async fn when_a_replica_dies_the_lease_ends_its_pass() -> Result<()> {
    let (mut scene, _closed) = pair(Way::Kept).await?;
    for target in ["/sms", "/lease"] {
        scene.upstream.script(target, Behaviour::Hold(Gate::closed()));
    }
    let (long, short) = (scene.message("/sms"), scene.message("/lease"));
    let under_way = (scene.begin(0, &long).await?, scene.begin(0, &short).await?);
    // Killed.
    drop(scene.replicas.remove(0));
    drop(under_way);
    scene.refused("its lease lasts", 0, &long, 503, "in_flight").await?;
    scene.upstream.script("/lease", Behaviour::Status(200));
    eventually("the end of the lease", async || {
        let exchange = scene.send(0, &short).await.ok()?;
        exchange.received.first().filter(|request| request.replay_mark() == "again").map(drop)
    })
    .await?;
    scene.refused("it was delivered", 0, &short, 409, "replayed").await?;
    assert_vm_alive(&scene.replicas[0]).await
}
