//! Two nodes of Redis by consistent hashing: each capture has its node, and the loss of one concerns its captures alone.

use std::collections::BTreeMap;

use crate::scene::{OnError, Scene, Way, replica};
use crate::support::guarded::Exchange;
use crate::support::http::Request;
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::Upstream;
use crate::support::{Result, eventually};

const MESSAGES: usize = 24;

/// What became of messages: how many passed under which mark, and how many were refused for which reason.
fn tally(exchanges: &[Exchange]) -> BTreeMap<&str, usize> {
    let mut tally = BTreeMap::new();
    for exchange in exchanges {
        let mark = exchange.received.first().map(|request| request.replay_mark());
        *tally.entry(mark.unwrap_or_else(|| exchange.line.details())).or_default() += 1;
    }
    tally
}

async fn send(scene: &Scene, replica: usize, messages: &[Request]) -> Result<Vec<Exchange>> {
    let mut exchanges = Vec::new();
    for message in messages {
        exchanges.push(scene.send(replica, message).await?);
    }
    Ok(exchanges)
}

#[tokio::test]
async fn a_lost_node_concerns_its_own_captures_alone() -> Result<()> {
    for on_error in [OnError::Deny, OnError::Local, OnError::Allow] {
        let what = format!("{on_error:?}");
        let (upstream, redis, mut other) =
            (Upstream::start().await?, Redis::start().await?, Redis::start().await?);
        let nodes = [redis.address(), other.address()];
        let envoy = replica(Replica::with_nodes(upstream.address(), &nodes), on_error, Way::Kept);
        let replicas = vec![envoy.start().await?, envoy.start().await?];
        let mut scene = Scene::of(upstream, redis, replicas);

        // Both replicas look for a capture on the same node.
        let before: Vec<_> = (0..MESSAGES).map(|_| scene.message("/sms")).collect();
        assert_eq!(tally(&send(&scene, 0, &before).await?), [("first", MESSAGES)].into(), "{what}");
        Replica::settled(&scene.replicas[0], u64::try_from(MESSAGES)?).await?;
        let (here, there) = (scene.redis.keys()?.len(), other.keys()?.len());
        assert!(here > 0 && there > 0 && here + there == MESSAGES, "{what}: {here} and {there}");
        let replayed = [("twilio_guard_replayed", MESSAGES)].into();
        assert_eq!(tally(&send(&scene, 1, &before).await?), replayed, "{what}");

        other.stop();
        let meanwhile: Vec<_> = (0..MESSAGES).map(|_| scene.message("/sms")).collect();
        let exchanges = send(&scene, 0, &meanwhile).await?;
        let tallied = tally(&exchanges);
        let lost = if on_error == OnError::Deny { "twilio_guard_store_unusable" } else { "unshared" };
        assert_eq!(tallied.keys().copied().collect::<Vec<_>>(), ["first", lost], "{what}: {tallied:?}");
        assert_eq!(scene.redis.keys()?.len(), here + tallied["first"], "{what}");

        other.restart().await?;
        eventually("both nodes", async || {
            let messages: Vec<_> = (0..8).map(|_| scene.message("/sms")).collect();
            let exchanges = send(&scene, 0, &messages).await.ok()?;
            let all_pass = tally(&exchanges).get("first") == Some(&8);
            // Eight may all be for the same node.
            (all_pass && !other.keys().ok()?.is_empty()).then_some(())
        })
        .await?;
        // What passed meanwhile is told to the node that was away, and what was refused may come again.
        Replica::nothing_waits(&scene.replicas[0]).await?;
        let again: Vec<_> = meanwhile
            .iter()
            .zip(&exchanges)
            .filter(|(_, exchange)| exchange.received.is_empty())
            .map(|(message, _)| message.clone())
            .collect();
        let expected = if again.is_empty() { [].into() } else { [("first", again.len())].into() };
        assert_eq!(tally(&send(&scene, 1, &again).await?), expected, "{what}");
        scene.assert_sound(&what).await?;
    }
    Ok(())
}
