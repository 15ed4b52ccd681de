//! The way to Redis inside the proxy is broken: a store error like any other, and never the end of a VM.
//!
//! Here calls fail while they are being made, so that the proxy wants to call back into the module that is calling it.

use serde_json::{Value, json};

use crate::scene::{OnError, Scene, Way, replica, store};
use crate::support::client::{self, Protocol};
use crate::support::config::replace;
use crate::support::replay_redis::Replica;
use crate::support::{Result, eventually};

const GATE: &str = "/static_resources/clusters/1/circuit_breakers/thresholds/0";
const OP_TIMEOUT: &str =
    "/static_resources/listeners/2/filter_chains/0/filters/0/typed_config/settings/op_timeout";
const NODES: &str = "/static_resources/clusters/3/load_assignment/endpoints/0/lb_endpoints";
const SOCKET: &str =
    "/static_resources/clusters/2/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";

/// What is wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The configuration names a cluster that there is not.
    NoCluster,
    /// Nothing takes the gRPC frame off.
    NoListener,
    /// Nobody listens on the Unix socket.
    NoSocket,
    /// No node of Redis is known.
    NoNode,
    /// The circuit breaker lets no call through.
    Breaker,
    /// `redis_proxy` waits less long than the filter.
    OpTimeout,
}

impl Fault {
    const ALL: [Self; 6] =
        [Self::NoCluster, Self::NoListener, Self::NoSocket, Self::NoNode, Self::Breaker, Self::OpTimeout];

    const fn codes(self) -> &'static [&'static str] {
        match self {
            // The proxy gives no reason for not making a call.
            Self::NoCluster | Self::Breaker => &["no_cluster"],
            Self::NoListener | Self::NoSocket => &["unavailable", "reset"],
            Self::NoNode | Self::OpTimeout => &["unavailable"],
        }
    }

    fn apply(self, replica: Replica) -> Replica {
        let set = |pointer: &'static str, value: Value| {
            move |bootstrap: &mut Value| replace(bootstrap, pointer, value.clone()).expect("the file has it")
        };
        match self {
            Self::NoCluster => replica.plugin(|plugin| store(plugin)["cluster"] = "no_such_cluster".into()),
            Self::NoListener => replica.edit(|bootstrap| {
                let listeners = bootstrap["static_resources"]["listeners"].as_array_mut();
                drop(listeners.expect("listeners").remove(1));
            }),
            Self::NoSocket => replica.edit(set(SOCKET, "/nonexistent/redis.sock".into())),
            Self::NoNode => replica.edit(set(NODES, json!([]))),
            Self::Breaker => replica.edit(set(GATE, json!({"max_requests": 0, "max_pending_requests": 0}))),
            Self::OpTimeout => replica.edit(set(OP_TIMEOUT, "0.02s".into())),
        }
    }
}

#[tokio::test]
async fn a_broken_way_is_a_store_error_under_deny() -> Result<()> {
    broken(OnError::Deny).await
}

#[tokio::test]
async fn a_broken_way_is_a_store_error_under_allow() -> Result<()> {
    broken(OnError::Allow).await
}

async fn broken(on_error: OnError) -> Result<()> {
    for fault in Fault::ALL {
        let what = format!("{fault:?}, {on_error:?}");
        let mut scene = Scene::start(1, |it| fault.apply(replica(it, on_error, Way::Kept))).await?;
        if matches!(fault, Fault::OpTimeout) {
            scene.redis.freeze().await?;
        }
        scene.fails(&what, 0, on_error, "store_unusable", fault.codes()).await?;
        let logged = scene.store_errors(0, on_error);
        assert!(!logged.is_empty(), "{what}");
        assert!(logged.iter().all(|code| fault.codes().contains(&code.as_str())), "{what}: {logged:?}");
        scene.assert_sound(&what).await?;
    }
    Ok(())
}

/// With room for one call at a time, of many requests at once each gets an answer or the policy.
#[tokio::test]
async fn more_calls_than_the_circuit_breaker_allows_are_store_errors() -> Result<()> {
    for (most, on_error) in [(0, OnError::Allow), (1, OnError::Deny), (1, OnError::Allow)] {
        let what = format!("{most} at once, {on_error:?}");
        let narrow = |it| {
            replica(it, on_error, Way::Kept).edit(move |bootstrap| {
                let limits = json!({"max_requests": most, "max_pending_requests": most});
                replace(bootstrap, GATE, limits).expect("the file has this breaker");
            })
        };
        let mut scene = Scene::start(1, narrow).await?;
        // Held back, calls pile up; what does not fit fails while it is being made.
        scene.redis.freeze().await?;
        let messages: Vec<_> = (0..60).map(|_| scene.message("/sms")).collect();
        let address = scene.replicas[0].address();
        let sent: Vec<_> = messages
            .iter()
            .cloned()
            .map(|message| {
                tokio::spawn(async move { client::send(address, Protocol::Http1, &message).await })
            })
            .collect();
        let least = if most == 0 { 60 } else { 40 };
        eventually(&what, async || {
            let refused = scene.answers(0, &["no_cluster"]).await.ok()?;
            (refused >= least).then_some(())
        })
        .await?;
        scene.redis.thaw()?;
        let mut passed = 0;
        for sent in sent {
            match sent.await??.status {
                200 => passed += 1,
                status => assert_eq!((status, on_error), (503, OnError::Deny), "{what}"),
            }
        }
        assert_eq!(scene.upstream.count(), passed, "{what}");
        if on_error == OnError::Allow {
            assert_eq!(passed, messages.len(), "{what}");
        }
        if most > 0 {
            scene.recovers(&what, 0).await?;
        }
        scene.assert_sound(&what).await?;
    }
    Ok(())
}
