//! What became of a pass cannot be told at once: it is told later, and the documented side is erred on where that is not possible.

use serde_json::json;

use crate::scene::{OnError, RETRIED, SETTLED, Scene, Way, keeping, replica, store};
use crate::support::client::{self, Client, Protocol};
use crate::support::replay_redis::{Replica, WAITING};
use crate::support::scenes::route;
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, eventually};

const FAILED: &str = "wasmcustom.twilio_guard_replay_settlements_failed";

#[tokio::test]
async fn what_cannot_be_told_at_once_is_told_when_redis_is_back() -> Result<()> {
    for way in Way::BOTH {
        // Who stands still is tried again after each time that this is over.
        let change = |it| replica(it, OnError::Deny, way).waiting("3s");
        let mut scene = Scene::with(keeping(), 2, change).await?;
        for stops in [false, true] {
            let what = format!("{}, {way:?}", if stops { "stopped" } else { "frozen" });
            let (message, gate) = (scene.message("/sms"), Gate::closed());
            let retried = scene.replicas[0].stat(RETRIED).await?;
            let settled = scene.settled(0).await?;
            scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
            let under_way = scene.begin(0, &message).await?;
            if stops {
                scene.redis.stop()
            } else {
                scene.redis.freeze().await?
            }
            scene.finish(0, &gate, under_way).await?;
            scene.replicas[0].wait_for_stat(RETRIED, retried + 2).await?;
            assert_eq!(scene.settled(0).await?, settled, "{what}");
            if stops {
                scene.redis.restart().await?
            } else {
                scene.redis.thaw()?
            }
            scene.replicas[0].wait_for_stat(SETTLED, settled + 1).await?;
            scene.recovers(&what, 1).await?;
            scene.refused(&what, 1, &message, 409, "replayed").await?;
            scene.refused(&what, 0, &message, 409, "replayed").await?;
        }
        assert_eq!(scene.replicas[0].stat(FAILED).await?, 0);
        scene.assert_sound(&format!("{way:?}")).await?;
    }
    Ok(())
}

/// Redis begins empty: each replica still knows what itself delivered, and no other.
#[tokio::test]
async fn a_redis_that_begins_empty_knows_nothing_of_before() -> Result<()> {
    let mut scene = Scene::start(2, Replica::patient).await?;
    let (delivered, meanwhile, gate) = (scene.message("/sms"), scene.message("/sms"), Gate::closed());
    scene.send_and_settle(0, &delivered).await?.assert_pass("before", "first");
    scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
    let under_way = scene.begin(0, &meanwhile).await?;
    scene.redis.restart().await?;
    scene.recovers("a new Redis", 0).await?;
    scene.recovers("a new Redis", 1).await?;
    let settled = scene.settled(0).await?;
    scene.finish(0, &gate, under_way).await?;
    scene.replicas[0].wait_for_stat(SETTLED, settled + 1).await?;
    for (what, message) in [("delivered before", &delivered), ("under way meanwhile", &meanwhile)] {
        scene.refused(what, 0, message, 409, "replayed").await?;
        scene.send_and_settle(1, message).await?.assert_pass(what, "first");
        scene.refused(what, 1, message, 409, "replayed").await?;
    }
    scene.assert_sound("an empty Redis").await
}

/// Under `strict` nobody passes whom an empty Redis may have forgotten.
#[tokio::test]
async fn a_strict_replica_waits_until_redis_is_a_window_old() -> Result<()> {
    let strict = |it: Replica| {
        it.patient().plugin(|plugin| {
            plugin["replay"]["cold_start"] = "strict".into();
            plugin["routes"] = json!([route("sms", json!({"window": "2s", "lease": "1s"}))]);
        })
    };
    let mut scene = Scene::start(1, strict).await?;
    for what in ["the first Redis", "an empty one"] {
        let message = scene.message("/sms");
        scene.refused(what, 0, &message, 503, "cold_start").await?;
        scene.recovers(what, 0).await?;
        scene.send_and_settle(0, &message).await?.assert_pass(what, "first");
        scene.redis.restart().await?;
    }
    scene.assert_sound("strict").await
}

/// All workers together: how many passes Redis has not been told about.
#[tokio::test]
async fn the_gauge_counts_what_waits_on_all_workers() -> Result<()> {
    const MESSAGES: u64 = 24;
    let hasty = |it| replica(it, OnError::Local, Way::Kept).waiting("1s");
    let mut scene = Scene::start(1, hasty).await?;
    scene.redis.freeze().await?;
    let address = scene.replicas[0].address();
    let messages: Vec<_> = (0..MESSAGES).map(|_| scene.message("/sms")).collect();
    let sent = messages
        .into_iter()
        .map(|message| tokio::spawn(async move { client::send(address, Protocol::Http1, &message).await }));
    for sent in sent.collect::<Vec<_>>() {
        assert_eq!(sent.await??.status, 200);
    }
    assert_eq!(scene.replicas[0].stat(WAITING).await?, MESSAGES);
    scene.redis.thaw()?;
    scene.replicas[0].wait_for_stat(SETTLED, MESSAGES).await?;
    Replica::nothing_waits(&scene.replicas[0]).await?;
    scene.assert_sound("the gauge").await
}

/// What became of a request counts before its sender is answered, and not from the next call on: whoever sees nothing wait may rely on it.
#[tokio::test]
async fn the_gauge_counts_a_pass_before_its_answer_is_sent() -> Result<()> {
    let mut scene = Scene::start(1, |it| replica(it, OnError::Deny, Way::Kept)).await?;
    let mut under_way = Vec::new();
    for _ in 0..8 {
        let gate = Gate::closed();
        scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
        under_way.push((gate, scene.begin(0, &scene.message("/sms")).await?));
    }
    scene.redis.freeze().await?;
    for (waiting, (gate, (_client, pending))) in (1..).zip(under_way) {
        gate.open();
        assert_eq!(pending.response().await?.status, 200);
        assert_eq!(scene.replicas[0].stat(WAITING).await?, waiting);
    }
    scene.redis.thaw()?;
    Replica::nothing_waits(&scene.replicas[0]).await?;
    assert_eq!(scene.settled(0).await?, 8);
    scene.assert_sound("the gauge").await
}

/// A worker keeps 4096 settlements, and one call's. What is more is lost, counted, and Redis's lease ends it.
#[tokio::test]
async fn the_queue_is_bounded() -> Result<()> {
    const MESSAGES: u64 = 4_400;
    const MOST: u64 = 4096 + 64;
    let alone = |it: Replica| {
        replica(it, OnError::Local, Way::Kept).concurrency(1).plugin(|plugin| {
            // The clock has to be short, or so many requests take long.
            store(plugin)["timeout"] = "100ms".into();
            plugin["replay"]["store"]["local"] = json!({"capacity": 65_536});
        })
    };
    let mut scene = Scene::start(1, alone).await?;
    scene.redis.stop();
    let mut client = Client::connect(scene.replicas[0].address(), Protocol::Http2).await?;
    for _ in 0..MESSAGES / 100 {
        let mut pending = Vec::new();
        for _ in 0..100 {
            let message = scene.message("/sms");
            let (feed, answer) = client.start(&message, Some(u64::try_from(message.body.len())?)).await?;
            feed.data(message.body);
            pending.push(answer);
        }
        for answer in pending {
            assert_eq!(answer.response().await?.status, 200);
        }
    }
    let envoy = &scene.replicas[0];
    // What is under way when the first call fails comes back to a queue that may be full.
    eventually("a full queue", async || {
        let (lost, waiting) = (envoy.stat(FAILED).await.ok()?, envoy.stat(WAITING).await.ok()?);
        (lost >= MESSAGES - MOST && (4_000..=MOST).contains(&waiting)).then_some(())
    })
    .await?;
    scene.redis.restart().await?;
    eventually("everything that is left is told", async || {
        let told = envoy.stat(SETTLED).await.ok()? + envoy.stat(FAILED).await.ok()?;
        (told == MESSAGES).then_some(())
    })
    .await?;
    Replica::nothing_waits(envoy).await?;
    scene.assert_sound("the queue").await
}
