//! What becomes of a pass, and what the next copy then gets: a test for each row of the table in `replay/entry.rs`.

use super::scene::Scene;
use crate::guarded::assert_vm_alive;
use crate::support::client::{Client, Opened, Protocol};
use crate::support::http::Request;
use crate::support::scenarios::TOKEN;
use crate::support::scenes::{message, under};
use crate::support::sign::Twilio;
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, eventually};

#[tokio::test]
async fn an_answer_below_500_is_a_delivery() -> Result<()> {
    let scene = Scene::start().await?;
    for (number, status) in [200, 204, 302, 400, 404, 409, 499].into_iter().enumerate() {
        let target = format!("/sms/{status}");
        scene.guarded.upstream.script(&target, Behaviour::Status(status));
        let message = message(&target, number);
        let first = scene.passes(&target, &message, "first").await?;
        assert_eq!(first.response.status, status);
        for _ in 0..2 {
            scene.refused(&target, &message, 409, "replayed").await?;
        }
    }
    // An upgrade is delivered when it is accepted, whatever the protocol.
    for (target, protocol) in [("/media/1", Protocol::Http1), ("/media/2", Protocol::Http2)] {
        let upgrade = Twilio::new(TOKEN).websocket(target);
        let mut client = Client::connect(scene.guarded.envoy.address(), protocol).await?;
        let Opened::Tunnel(..) = client.open(&upgrade).await? else { panic!("{target}: refused") };
        let Opened::Refused(second) =
            Client::connect(scene.guarded.envoy.address(), protocol).await?.open(&upgrade).await?
        else {
            panic!("{target}: a second tunnel")
        };
        assert_eq!(second.status, 409, "{target}");
    }
    assert_vm_alive(&scene.guarded.envoy).await
}

#[tokio::test]
async fn a_failure_is_an_attempt_and_there_are_so_many() -> Result<()> {
    let scene = Scene::start().await?;
    let failures = [
        ("500", Behaviour::Status(500)),
        ("503", Behaviour::Status(503)),
        ("408", Behaviour::Status(408)),
        ("425", Behaviour::Status(425)),
        ("429", Behaviour::Status(429)),
        ("reset", Behaviour::Reset),
        ("silent", Behaviour::Hold(Gate::closed())),
    ];
    for (number, (what, failure)) in failures.into_iter().enumerate() {
        // Envoy's own 504 after the route's timeout, or what the upstream says.
        let scene_name = if what == "silent" { "timeout" } else { "usual" };
        let target = format!("/sms/{what}");
        scene.guarded.upstream.script(&target, failure.clone());
        let copy = under(&message(&target, 2 * number), scene_name);
        scene.passes(what, &copy, "first").await?;
        for _ in 1..6 {
            scene.passes(what, &copy, "again").await?;
        }
        for _ in 0..2 {
            scene.refused(what, &copy, 409, "attempts_exhausted").await?;
        }
        // The application recovers after a failure: one delivery, no more. It is then given the time that it takes.
        let copy = message(&target, 2 * number + 1);
        scene.passes(what, &under(&copy, scene_name), "first").await?;
        scene.guarded.upstream.script(&target, Behaviour::Status(200));
        scene.passes(what, &copy, "again").await?;
        scene.refused(what, &copy, 409, "replayed").await?;
    }
    assert_vm_alive(&scene.guarded.envoy).await
}

#[tokio::test]
async fn a_client_that_leaves_after_the_head_went_upstream_spent_an_attempt() -> Result<()> {
    let scene = Scene::start().await?;
    let Scene { guarded, .. } = &scene;
    guarded.upstream.script("/tries/x", Behaviour::Hold(Gate::closed()));
    for (number, protocol) in Protocol::BOTH.into_iter().enumerate() {
        let copy = message("/tries/x", number);
        let length = Some(u64::try_from(copy.body.len())?);
        // Before the verdict nothing is counted.
        for _ in 0..4 {
            guarded.envoy.wait_until_idle().await?;
            let (lines, seen) = (guarded.envoy.access_log().len(), guarded.upstream.count());
            let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
            let (feed, pending) = client.start(&copy, length).await?;
            feed.data(copy.body.slice(..20));
            guarded.envoy.wait_for_stat("http.ingress.downstream_rq_active", 1).await?;
            drop((feed, pending, client));
            guarded.envoy.wait_for_access_log(lines + 1).await?;
            assert_eq!(guarded.upstream.count(), seen);
        }
        for expected in ["first", "again", "again"] {
            let (lines, seen) = (guarded.envoy.access_log().len(), guarded.upstream.count());
            let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
            let (feed, pending) = client.start(&copy, length).await?;
            feed.data(copy.body.clone());
            drop(feed);
            let received = guarded.upstream.wait_for(seen + 1).await?;
            assert_eq!(received[seen].replay_mark(), expected, "{protocol:?}");
            scene.refused("while it is under way", &copy, 503, "in_flight").await?;
            drop((pending, client));
            guarded.envoy.wait_for_access_log(lines + 2).await?;
        }
        scene.refused("after three", &copy, 409, "attempts_exhausted").await?;
    }
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn what_never_reached_the_upstream_is_released() -> Result<()> {
    let scene = Scene::start().await?;
    let scenes = [
        ("refused", 503),
        ("empty", 503),
        ("full", 503),
        ("unrouted", 503),
        ("answered", 200),
        ("aborted", 503),
    ];
    for (number, (name, status)) in scenes.into_iter().enumerate() {
        let message = message("/sms", number);
        for _ in 0..10 {
            let exchange = scene.send(&under(&message, name)).await?;
            assert_eq!(
                (exchange.response.status, exchange.received.len()),
                (status, 0),
                "{name}: {}",
                exchange.line.0
            );
        }
        scene.passes(name, &message, "first").await?;
        scene.refused(name, &under(&message, name), 409, "replayed").await?;
    }
    assert_vm_alive(&scene.guarded.envoy).await
}

#[tokio::test]
async fn the_proxys_own_tries_are_one_pass() -> Result<()> {
    let scene = Scene::start().await?;
    let Scene { guarded, closed } = &scene;
    guarded.upstream.script("/tries", Behaviour::Status(503));
    let copy = under(&message("/tries", 1), "retry");
    for _ in 0..3 {
        assert_eq!(scene.send(&copy).await?.received.len(), 3, "a try and two more");
    }
    scene.refused("three passes", &copy, 409, "attempts_exhausted").await?;

    // The first try reaches the application and is reset; the last one finds nobody. Only the last is known to the proxy's log.
    guarded.upstream.script("/sms/half", Behaviour::Reset);
    let mut last_found_nobody = 0;
    for number in 10..22 {
        let message = message("/sms/half", number);
        let exchange = scene.send(&under(&message, "half")).await?;
        assert_eq!(exchange.received.len(), 1, "{}", exchange.line.0);
        last_found_nobody += usize::from(exchange.line.field("upstream") == closed.address().to_string());
        scene.passes("after half a failure", &message, "again").await?;
        // Two tries each time would begin with the same endpoint each time.
        scene.send(&under(&Request::get("/open"), "once")).await?;
    }
    assert!(last_found_nobody > 0);

    // Nobody at all, several times: that could be the same, so it counts.
    let copy = under(&message("/tries", 30), "retry-refused");
    for _ in 0..3 {
        assert_eq!(scene.send(&copy).await?.received.len(), 0);
    }
    scene.refused("three passes", &copy, 409, "attempts_exhausted").await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_copy_of_one_under_way_is_refused_and_never_acknowledged() -> Result<()> {
    let scene = Scene::start().await?;
    let upstream = &scene.guarded.upstream;
    for (number, (target, places)) in
        [("/sms", 1), ("/ack", 1), ("/flag", 1), ("/two", 2)].into_iter().enumerate()
    {
        let (gate, copy, seen) = (Gate::closed(), message(target, number), upstream.count());
        upstream.script(target, Behaviour::Hold(gate.clone()));
        let mut under_way = Vec::new();
        for place in 0..places {
            let mut client = Client::connect(scene.guarded.envoy.address(), Protocol::Http1).await?;
            let (feed, pending) = client.start(&copy, Some(u64::try_from(copy.body.len())?)).await?;
            feed.data(copy.body.clone());
            upstream.wait_for(seen + place + 1).await?;
            under_way.push((client, pending));
        }
        for _ in 0..3 {
            scene.refused(target, &copy, 503, "in_flight").await?;
        }
        let lines = scene.guarded.envoy.access_log().len();
        gate.open();
        for (_client, pending) in under_way {
            assert_eq!(pending.response().await?.status, 200);
        }
        scene.guarded.envoy.wait_for_access_log(lines + places).await?;
        match target {
            "/ack" => {
                let answer = scene.send(&copy).await?;
                assert_eq!((answer.response.status, answer.received.len()), (200, 0));
                assert!(
                    answer.response.text().ends_with("<Response></Response>"),
                    "{}",
                    answer.response.text()
                );
                assert_eq!(answer.line.details(), "twilio_guard_replayed");
            }
            "/flag" => {
                scene.passes(target, &copy, "repeated").await?;
                scene.passes(target, &copy, "repeated").await?;
            }
            _ => scene.refused(target, &copy, 409, "replayed").await?,
        }
    }
    // Flagged are copies of what was delivered. What failed is bounded all the same.
    upstream.script("/flag", Behaviour::Status(503));
    let copy = message("/flag", 99);
    scene.passes("flag", &copy, "first").await?;
    scene.passes("flag", &copy, "again").await?;
    scene.refused("flag", &copy, 409, "attempts_exhausted").await?;
    assert_vm_alive(&scene.guarded.envoy).await
}

#[tokio::test]
async fn a_pass_whose_lease_ended_is_an_attempt_even_if_it_is_delivered_later() -> Result<()> {
    let scene = Scene::start().await?;
    let (upstream, envoy) = (&scene.guarded.upstream, &scene.guarded.envoy);
    let (gate, copy) = (Gate::closed(), message("/lease", 1));
    upstream.script("/lease", Behaviour::Hold(gate.clone()));
    let (mut under_way, mut sent) = (Vec::new(), 0);
    for place in 0..2 {
        let pass = eventually("a pass once the lease ended", async || {
            let mut client = Client::connect(envoy.address(), Protocol::Http1).await.ok()?;
            let (feed, pending) =
                client.start(&copy, Some(u64::try_from(copy.body.len()).ok()?)).await.ok()?;
            feed.data(copy.body.clone());
            drop(feed);
            sent += 1;
            let seen = eventually("an answer or a pass", async || {
                let arrived = upstream.count() > place;
                (arrived || pending.is_ready()).then_some(arrived)
            });
            seen.await.ok()?.then_some((client, pending))
        });
        under_way.push(pass.await?);
    }
    // All others were refused, and have their lines.
    envoy.wait_for_access_log(sent - under_way.len()).await?;
    // Both leases are over, both attempts are spent, and both requests are still under way.
    eventually("the end of the second lease", async || {
        let exchange = scene.send(&copy).await.ok()?;
        (exchange.line.details() == "twilio_guard_attempts_exhausted").then_some(())
    })
    .await?;
    assert_eq!(upstream.count(), 2);
    let lines = envoy.access_log().len();
    gate.open();
    for (_client, pending) in under_way {
        assert_eq!(pending.response().await?.status, 200);
    }
    envoy.wait_for_access_log(lines + 2).await?;
    scene.refused("a late delivery is one", &copy, 409, "replayed").await?;
    assert_vm_alive(envoy).await
}

#[tokio::test]
async fn after_its_window_a_capture_without_a_time_passes_once_more() -> Result<()> {
    let scene = Scene::start().await?;
    let copy = message("/short", 1);
    for _ in 0..2 {
        scene.passes("a new window", &copy, "first").await?;
        eventually("the end of the window", async || {
            let exchange = scene.send(&under(&copy, "answered")).await.ok()?;
            (exchange.line.details() != "twilio_guard_replayed").then_some(())
        })
        .await?;
    }
    assert_eq!(scene.guarded.upstream.count(), 2);
    assert_vm_alive(&scene.guarded.envoy).await
}
