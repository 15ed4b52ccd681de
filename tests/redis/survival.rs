//! What a replica, Redis, or both forget, and what an attacker who waits for that gains.

use serde_json::{Value, json};

use crate::replicas::{PASSES, REPLAYED, answered, at, deliver, expect, pass_under_way, site, site_of};
use crate::support::client::{self, Client, Protocol};
use crate::support::envoy::Update;
use crate::support::http::Request;
use crate::support::replay_redis::Replica;
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, eventually, module};
use crate::windows::captures::{self, Capture, KINDS};
use crate::windows::messages::{self, message};
use crate::windows::site::{Site, send_to};

/// A capture of each kind that has a bound, delivered by the replicas in turn.
async fn delivered(site: &Site, number: usize) -> Result<Vec<Capture>> {
    let kinds = KINDS.into_iter().filter(|kind| kind.bound.is_some());
    let captures: Vec<_> = kinds.map(|kind| Capture::new(kind, number)).collect();
    for (index, capture) in captures.iter().enumerate() {
        let line = at(site, index % 2, &capture.request).await?;
        assert!(matches!(line.status(), 101 | 200), "{}", line.0);
    }
    Ok(captures)
}

/// Each form of each capture is refused by the replicas in turn.
async fn assert_remembered(site: &Site, what: &str, captures: &[Capture]) -> Result<()> {
    let seen = site.upstream.count();
    let copies = captures.iter().flat_map(Capture::equals);
    for (index, (form, copy)) in copies.enumerate() {
        expect(site, &format!("{what}: {}, {form}", copy.target), index % 2, &copy, REPLAYED).await?;
    }
    assert_eq!(site.upstream.count(), seen, "{what}");
    Ok(())
}

#[tokio::test]
async fn captures_are_remembered_when_plugins_and_vms_are_replaced() -> Result<()> {
    let settings = captures::settings();
    let (mut site, replica) = site_of(&settings, Replica::dynamic_listeners).await?;
    let captures = delivered(&site, 1).await?;
    let renamed = replica.plugin(|plugin| {
        plugin["replay"]["dedupe"] = json!({"max_attempts": 4});
        plugin["routes"][2]["name"] = "renamed".into();
    });
    let mut update = async |what: &str, replica: &Replica| {
        for envoy in &mut site.envoys {
            assert_eq!(replica.update(envoy).await?, Update::Applied, "{what}");
        }
        assert_remembered(&site, what, &captures).await
    };
    update("another plugin configuration", &renamed).await?;
    let other_vm = renamed.manager(|manager| {
        let vm = &mut manager["http_filters"][0]["typed_config"]["config"]["vm_config"];
        vm["vm_id"] = "another".into();
    });
    // Its own store is another one, too: Redis alone knows.
    update("another VM", &other_vm).await?;
    println!("updates: 1 delivery of each of {}, bound 1", captures.len());
    assert_eq!(site.upstream.count(), captures.len());
    Ok(())
}

/// A pass that is under way when its plugin is replaced is settled all the same.
#[tokio::test]
async fn a_pass_that_outlives_its_plugin_is_settled() -> Result<()> {
    let (mut site, replica) = site_of(&messages::settings(), Replica::dynamic_listeners).await?;
    let (gate, copy) = (Gate::closed(), message("/sms", 1));
    site.upstream.script("/sms", Behaviour::Hold(gate.clone()));
    let under_way = pass_under_way(&site, 0, &copy).await?;
    let renamed = replica.plugin(|plugin| plugin["routes"][1]["name"] = "renamed".into());
    assert_eq!(renamed.update(&mut site.envoys[0]).await?, Update::Applied);
    expect(&site, "under way", 1, &copy, (503, "twilio_guard_in_flight")).await?;
    deliver(&site, &gate, under_way).await?;
    site.settled().await?;
    for replica in [1, 0] {
        expect(&site, "delivered by a plugin that is gone", replica, &copy, REPLAYED).await?;
    }
    assert_eq!(site.upstream.count(), 1);
    Ok(())
}

/// A new process knows nothing, and Redis knows everything.
#[tokio::test]
async fn captures_are_remembered_when_replicas_restart() -> Result<()> {
    let (mut site, replica) = site_of(&captures::settings(), |replica| replica).await?;
    let captures = delivered(&site, 1).await?;
    for restarted in [vec![0], vec![1], vec![0, 1]] {
        for index in &restarted {
            site.envoys[*index] = replica.start().await?;
        }
        assert_remembered(&site, &format!("{restarted:?} restarted"), &captures).await?;
    }
    println!("restarts of replicas: 1 delivery of each of {}, bound 1", captures.len());
    assert_eq!(site.upstream.count(), captures.len());
    Ok(())
}

/// Sends a copy until Redis can be asked again.
async fn once_redis_is_back(site: &Site, replica: usize, copy: &Request) -> Result<(u16, String)> {
    eventually("an answer from Redis", async || {
        let line = at(site, replica, copy).await.ok()?;
        (line.status() != 503).then(|| (line.status(), line.details().to_owned()))
    })
    .await
}

/// An empty Redis knows nothing. What a replica delivered itself, or was told of, it still refuses; what it never heard of passes once.
#[tokio::test]
async fn a_redis_that_forgot_lets_pass_once_more_what_a_replica_never_heard_of() -> Result<()> {
    let mut site = site(&captures::settings()).await?;
    let known_to_both = delivered(&site, 1).await?;
    for (index, capture) in known_to_both.iter().enumerate() {
        expect(&site, "told by Redis", (index + 1) % 2, &capture.request, REPLAYED).await?;
    }
    let known_to_one = delivered(&site, 2).await?;
    site.redis.as_mut().expect("a Redis").restart().await?;
    assert_remembered(&site, "both know", &known_to_both).await?;
    for (index, capture) in known_to_one.iter().enumerate() {
        let seen = site.upstream.count();
        expect(&site, "its own delivery", index % 2, &capture.request, REPLAYED).await?;
        let (status, _) = once_redis_is_back(&site, (index + 1) % 2, &capture.request).await?;
        assert!(matches!(status, 101 | 200), "{}: {status}", capture.request.target);
        assert_eq!(site.upstream.count(), seen + 1);
    }
    assert_remembered(&site, "once, no more", &known_to_one).await?;
    let count = known_to_one.len();
    println!("Redis lost: 1 and 2 deliveries of each of {count}, bounds 1 and 2");
    assert_eq!(site.upstream.count(), 3 * count);
    Ok(())
}

/// While Redis stands still nobody can tell it what was delivered: the other replica then waits, and never guesses.
#[tokio::test]
async fn a_settlement_that_comes_late_opens_no_gap() -> Result<()> {
    let quick = |plugin: &mut Value| plugin["replay"]["store"]["redis"]["timeout"] = "300ms".into();
    let (site, _) = site_of(&messages::settings(), |replica| replica.plugin(quick)).await?;
    let (gate, copy) = (Gate::closed(), message("/sms", 1));
    site.upstream.script("/sms", Behaviour::Hold(gate.clone()));
    let under_way = pass_under_way(&site, 0, &copy).await?;
    let redis = site.redis.as_ref().expect("a Redis");
    redis.freeze().await?;
    deliver(&site, &gate, under_way).await?;
    expect(&site, "delivered here", 0, &copy, REPLAYED).await?;
    for _ in 0..3 {
        expect(&site, "nobody can tell", 1, &copy, (503, "twilio_guard_store_unusable")).await?;
    }
    redis.thaw()?;
    site.settled().await?;
    let (status, details) = once_redis_is_back(&site, 1, &copy).await?;
    assert_eq!((status, &*details), REPLAYED);
    assert_eq!(site.upstream.count(), 1);
    Ok(())
}

/// A replica whose VM died goes on with a new one. A pass that was under way in it is an attempt once its lease ends.
#[tokio::test]
async fn captures_are_remembered_when_vms_die() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let dying = module::dying_of_trailers(directory.path())?;
    let (site, _) = site_of(&messages::settings(), move |replica| {
        let dying = dying.clone();
        replica.manager(move |manager| {
            let vm = &mut manager["http_filters"][0]["typed_config"]["config"]["vm_config"];
            vm["code"]["local"]["filename"] = dying.to_str().expect("UTF-8").into();
        })
    })
    .await?;
    let (copy, pending_copy, envoy) = (message("/sms", 1), message("/lease", 2), &site.envoys[0]);
    expect(&site, "delivered", 0, &copy, PASSES).await?;
    site.upstream.script("/lease", Behaviour::Hold(Gate::closed()));
    let under_way = pass_under_way(&site, 0, &pending_copy).await?;
    // Each of the two workers has a VM of its own.
    for _ in 0..8 {
        let dying = Request::post("/open", "text/plain", "x").trailer("x-end", "yes");
        client::send(envoy.address(), Protocol::Http1, &dying).await?;
    }
    drop(under_way);
    // Until each worker has its new VM, it lets nothing pass.
    for (replica, copy, expected) in [(1, &copy, 409), (0, &copy, 409), (0, &message("/sms/3", 3), 200)] {
        let answer = async || {
            let status = send_to(site.envoys[replica].address(), Protocol::Http1, copy).await.ok()?;
            assert!(status == expected || status == 503, "replica {replica}: {status}");
            (status == expected).then_some(())
        };
        eventually("an answer of a new VM", answer).await?;
    }
    let second = pass_under_way(&site, 1, &pending_copy).await?;
    assert_exhausted(&site, 0, &pending_copy).await?;
    drop(second);
    let seen = |target: &str| site.upstream.requests().iter().filter(|own| own.target == target).count();
    println!("dead VMs: {} delivery, bound 1; {} passes, bound 2", seen("/sms"), seen("/lease"));
    assert_eq!((seen("/sms"), seen("/lease")), (1, 2));
    Ok(())
}

/// Sends copies to a replica until no attempt is left.
async fn assert_exhausted(site: &Site, replica: usize, copy: &Request) -> Result<()> {
    eventually("the end of all attempts", async || {
        let line = at(site, replica, copy).await.ok()?;
        (line.details() == "twilio_guard_attempts_exhausted").then_some(())
    })
    .await
}

/// A replica dies with a pass: nobody settles it, and its lease ends it. The other one may then try, within the same number.
#[tokio::test]
async fn the_pass_of_a_replica_that_died_is_an_attempt_once_its_lease_ends() -> Result<()> {
    let (mut site, replica) = site_of(&messages::settings(), |replica| replica).await?;
    let copy = message("/lease", 1);
    site.upstream.script("/lease", Behaviour::Hold(Gate::closed()));
    for dying in [0, 1] {
        let under_way = pass_under_way(&site, dying, &copy).await?;
        site.envoys[dying] = replica.start().await?;
        drop(under_way);
    }
    for replica in [0, 1] {
        assert_exhausted(&site, replica, &copy).await?;
    }
    println!("dead replicas: {} passes, bound 2", site.upstream.count());
    assert_eq!(site.upstream.count(), 2);
    Ok(())
}

/// Until Redis was told what became of a pass, a copy at the other replica waits, and never guesses.
#[tokio::test]
async fn the_very_next_moment_is_no_gap() -> Result<()> {
    let site = site(&messages::settings()).await?;
    let mut clients = Vec::new();
    for envoy in &site.envoys {
        clients.push(Client::connect(envoy.address(), Protocol::Http2).await?);
    }
    let mut answers = [0, 0];
    for number in 0..200 {
        let copy = message(&format!("/sms/{number}"), number);
        let (first, second) = (number % 2, (number + 1) % 2);
        assert_eq!(clients[first].send(&copy).await?.status, 200);
        match clients[second].send(&copy).await?.status {
            409 => answers[0] += 1,
            503 => answers[1] += 1,
            status => panic!("{number}: {status}"),
        }
    }
    println!("at once elsewhere: 200 deliveries of 400, bound 200; {answers:?} were replayed and in flight");
    assert_eq!(site.upstream.count(), 200);
    site.assert_alive().await
}

/// A copy of one under way behind the other replica is never told that all is well.
#[tokio::test]
async fn nothing_is_acknowledged_before_it_was_delivered() -> Result<()> {
    let site = site(&messages::settings()).await?;
    let (gate, copy) = (Gate::closed(), message("/ack", 1));
    site.upstream.script("/ack", Behaviour::Hold(gate.clone()));
    let under_way = pass_under_way(&site, 0, &copy).await?;
    for replica in [1, 0, 1] {
        expect(&site, "under way", replica, &copy, (503, "twilio_guard_in_flight")).await?;
    }
    deliver(&site, &gate, under_way).await?;
    site.settled().await?;
    for replica in [1, 0, 1] {
        expect(&site, "delivered", replica, &copy, (200, "twilio_guard_replayed")).await?;
    }
    assert_eq!(answered(&site.envoys[1]).await?, 3, "two while it was under way, and one afterwards");
    assert_eq!(site.upstream.count(), 1);
    Ok(())
}
