//! Redis Cluster, as the documentation says to wire it: one window over all slots, also while slots move and primaries fail.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::replicas;
use crate::scene::{OnError, SETTLED, Scene, patient, store};
use crate::support::client::{self, Protocol};
use crate::support::config::{address, replace};
use crate::support::guarded::Exchange;
use crate::support::http::Request;
use crate::support::redis_cluster::RedisCluster;
use crate::support::replay_redis::Replica;
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, eventually, pages, project_root};

const PAGE: &str = "docs/replay-redis.md";
const REDIRECTED: &str = "cluster.redis.upstream_internal_redirect_succeeded_total";
const PASSWORD: &str = "wqvKzbTrmnxHplYd";
const CLUSTER: &str = "/static_resources/clusters/3";
const SETTINGS: &str = "/static_resources/listeners/2/filter_chains/0/filters/0/typed_config/settings";

/// Messages of one round: on three nodes, each gets some.
const MESSAGES: usize = 24;

/// The shipped file with what the page puts in its place, before these nodes.
fn clustered(upstream: &Upstream, redis: &RedisCluster) -> Result<Replica> {
    let mut cluster = pages::block(PAGE, "Redis Cluster: in place of the cluster redis")?;
    let settings = pages::block(PAGE, "Redis Cluster: the settings of redis_proxy")?;
    // One is enough: it knows the others.
    let node = json!([{"endpoint": {"address": address(redis.nodes[0].address())}}]);
    replace(&mut cluster, "/load_assignment/endpoints/0/lb_endpoints", node)?;
    let replica = Replica::new(upstream.address(), &redis.nodes[0]).env("REDIS_PASSWORD", PASSWORD);
    Ok(patient(replica.edit(move |bootstrap| {
        for (pointer, value) in [(CLUSTER, &cluster), (SETTINGS, &settings)] {
            replace(bootstrap, pointer, value.clone()).expect("the file has it");
        }
    })))
}

/// Makes the user of the page, with its rights.
fn make_user(redis: &RedisCluster) -> Result<()> {
    let page = std::fs::read_to_string(project_root().join(PAGE))?;
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER") && line.contains("+cluster|slots"));
    let line = line.ok_or("the page makes no user")?.replace("PASSWORD", PASSWORD);
    for node in &redis.nodes {
        let answer = node.cli(&line.split(' ').collect::<Vec<_>>())?;
        assert_eq!(answer, "OK");
    }
    Ok(())
}

/// Asks for the topology so seldom that only redirections tell of a change.
fn unaware(replica: Replica) -> Replica {
    replica.edit(|bootstrap| {
        let config = &mut bootstrap.pointer_mut(CLUSTER).expect("the file has it")["cluster_type"]["typed_config"];
        config["cluster_refresh_rate"] = "3600s".into();
        config["redirect_refresh_threshold"] = 0.into();
        // It would not ask again for so long, if it began too early.
        bootstrap["static_resources"]["clusters"][3]["wait_for_warm_on_init"] = true.into();
    })
}

fn without(replica: Replica, setting: &'static str) -> Replica {
    replica.edit(move |bootstrap| {
        let settings = bootstrap.pointer_mut(SETTINGS).and_then(Value::as_object_mut);
        settings.expect("the file has them").remove(setting).expect("the page has it");
    })
}

fn with_policy(replica: Replica, on_error: OnError) -> Replica {
    replica.plugin(move |plugin| store(plugin)["on_error"] = on_error.word().into())
}

fn messages(scene: &Scene<RedisCluster>) -> Vec<Request> {
    (0..MESSAGES).map(|_| scene.message("/sms")).collect()
}

/// What became of messages: how many passed under which mark, and how many were refused for which reason.
async fn tally(scene: &Scene<RedisCluster>, replica: usize, messages: &[Request]) -> Result<BTreeMap<String, usize>> {
    let mut tally = BTreeMap::new();
    for message in messages {
        *tally.entry(mark(&scene.send(replica, message).await?)).or_default() += 1;
    }
    Ok(tally)
}

fn mark(exchange: &Exchange) -> String {
    let mark = exchange.received.first().map(|request| request.replay_mark());
    mark.unwrap_or_else(|| exchange.line.details()).to_owned()
}

fn all(what: &str) -> BTreeMap<String, usize> {
    [(what.to_owned(), MESSAGES)].into()
}

/// Sends messages to one replica, where they pass, and waits until Redis knows of it.
async fn deliver(scene: &Scene<RedisCluster>, replica: usize) -> Result<Vec<Request>> {
    let (messages, settled) = (messages(scene), scene.settled(replica).await?);
    assert_eq!(tally(scene, replica, &messages).await?, all("first"));
    scene.replicas[replica].wait_for_stat(SETTLED, settled + u64::try_from(MESSAGES)?).await?;
    Ok(messages)
}

/// The same while the application answers all at once: a call then tells of passes in several slots.
async fn deliver_together(scene: &Scene<RedisCluster>, replica: usize) -> Result<Vec<Request>> {
    let envoy = &scene.replicas[replica];
    let (calls, settled) = (replicas::calls(envoy).await?, scene.settled(replica).await?);
    let (messages, gate, seen) = (messages(scene), Gate::closed(), scene.upstream.count());
    scene.upstream.script_next("/sms", vec![Behaviour::Hold(gate.clone()); MESSAGES]);
    let address = envoy.address();
    let sent = messages.iter().cloned().map(|message| {
        tokio::spawn(async move { client::send(address, Protocol::Http1, &message).await })
    });
    let sent: Vec<_> = sent.collect();
    eventually("all at the application", async || (scene.upstream.count() == seen + MESSAGES).then_some(())).await?;
    gate.open();
    for sent in sent {
        assert_eq!(sent.await??.status, 200);
    }
    let passes = u64::try_from(MESSAGES)?;
    envoy.wait_for_stat(SETTLED, settled + passes).await?;
    assert!(replicas::calls(envoy).await? < calls + 2 * passes, "no call told of more than one pass");
    Ok(messages)
}

/// Envoy starts and serves before there is a cluster, and needs no restart. Slots then move under its feet.
#[tokio::test]
async fn one_window_for_all_replicas_over_all_slots_while_they_move() -> Result<()> {
    let (upstream, redis) = (Upstream::start().await?, RedisCluster::unformed(0).await?);
    make_user(&redis)?;
    let replica = clustered(&upstream, &redis)?;
    let (first, second) = tokio::try_join!(replica.start(), replica.start())?;
    let mut scene = Scene::of(upstream, redis, vec![first, second]);
    scene.fails("no cluster yet", 0, OnError::Deny, "store_unusable", &["unavailable"]).await?;
    scene.redis.form(0).await?;
    for replica in [0, 1] {
        scene.recovers("a cluster was formed", replica).await?;
    }
    for delivered in [deliver(&scene, 0).await?, deliver_together(&scene, 0).await?] {
        assert_eq!(tally(&scene, 1, &delivered).await?, all("twilio_guard_replayed"));
    }

    // Of the captures that the other replica never saw, those of one node move: some are there already, and some are new there.
    let before = scene.redis.keys()?;
    assert!(before.iter().all(|keys| !keys.is_empty()), "every node has some: {before:?}");
    let delivered = deliver(&scene, 0).await?;
    let keys = scene.redis.nodes[0].keys()?;
    let moving: Vec<_> = keys.into_iter().filter(|key| !before[0].contains(key)).collect();
    let (moved, forgotten) = moving.split_at(moving.len() / 2);
    assert!(!moved.is_empty(), "{moving:?}");
    scene.redis.begin_handing_over(0, 1, &moving)?;
    for key in moved {
        scene.redis.move_key(0, 1, key)?;
    }
    for key in forgotten {
        assert_eq!(scene.redis.nodes[0].cli(&["del", key])?, "1");
    }
    let (redirected, settled) = (scene.replicas[1].stat(REDIRECTED).await?, scene.settled(1).await?);
    let expected = [
        ("first".to_owned(), forgotten.len()),
        ("twilio_guard_replayed".to_owned(), MESSAGES - forgotten.len()),
    ];
    assert_eq!(tally(&scene, 1, &delivered).await?, expected.into(), "ASK");
    scene.replicas[1].wait_for_stat(SETTLED, settled + u64::try_from(forgotten.len())?).await?;
    let asked = u64::try_from(moving.len() + forgotten.len())?;
    assert_eq!(scene.replicas[1].stat(REDIRECTED).await?, redirected + asked, "questions and settlements");
    assert!(moving.iter().all(|key| scene.redis.nodes[1].keys().is_ok_and(|keys| keys.contains(key))));
    scene.redis.end_handing_over(1, &moving)?;
    let delivered = deliver(&scene, 0).await?;
    assert_eq!(tally(&scene, 1, &delivered).await?, all("twilio_guard_replayed"));
    scene.plant(PASSWORD);
    scene.assert_sound("slots that move").await
}

/// What `enable_redirection` and `dns_cache_config` are for: who does not know of a change is told of it with each question.
#[tokio::test]
async fn redirections_are_followed_where_redis_proxy_is_told_to() -> Result<()> {
    let (upstream, redis) = (Upstream::start().await?, RedisCluster::start(0).await?);
    make_user(&redis)?;
    let documented = unaware(clustered(&upstream, &redis)?);
    let unnamed = without(unaware(clustered(&upstream, &redis)?), "dns_cache_config");
    let unled = without(unaware(clustered(&upstream, &redis)?), "enable_redirection");
    let (documented, unnamed, unled) =
        tokio::try_join!(documented.start(), unnamed.start(), unled.start())?;
    let mut scene = Scene::of(upstream, redis, vec![documented, unnamed, unled]);
    let mut rounds = Vec::new();
    for replica in 0..3 {
        let before = scene.redis.nodes[0].keys()?;
        let delivered = deliver(&scene, replica).await?;
        let keys = scene.redis.nodes[0].keys()?.into_iter().filter(|key| !before.contains(key));
        rounds.push((delivered, keys.count()));
    }
    let keys = scene.redis.nodes[0].keys()?;
    scene.redis.begin_handing_over(0, 1, &keys)?;
    for key in &keys {
        scene.redis.move_key(0, 1, key)?;
    }
    scene.redis.end_handing_over(1, &keys)?;
    let refused = |moved: usize| {
        let replayed = ("twilio_guard_replayed".to_owned(), MESSAGES - moved);
        BTreeMap::from([replayed, ("twilio_guard_store_unusable".to_owned(), moved)])
    };

    let (delivered, moved) = &rounds[0];
    assert!(*moved > 0);
    assert_eq!(tally(&scene, 1, delivered).await?, all("twilio_guard_replayed"), "to an address");
    assert_eq!(scene.replicas[1].stat(REDIRECTED).await?, u64::try_from(*moved)?);
    assert_eq!(tally(&scene, 2, delivered).await?, refused(*moved), "nowhere");
    assert_eq!(scene.answers(2, &["unready"]).await?, u64::try_from(*moved)?);
    if scene.redis.name_nodes("localhost").await? {
        let (delivered, moved) = &rounds[1];
        assert_eq!(tally(&scene, 0, delivered).await?, all("twilio_guard_replayed"), "to a name");
        assert_eq!(scene.replicas[0].stat(REDIRECTED).await?, u64::try_from(*moved)?);
        let (delivered, moved) = &rounds[2];
        assert_eq!(tally(&scene, 1, delivered).await?, refused(*moved), "to a name that nobody looks up");
        assert_eq!(scene.answers(1, &["unready"]).await?, u64::try_from(*moved)?);
    }
    scene.assert_sound("redirections").await
}
