//! What the store survives, and what begins it anew: an attacker waits for that.

use serde_json::{Value, json};

use crate::guarded::Guarded;
use crate::support::client::{self, Client, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::{Envoy, Update};
use crate::support::http::Request;
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, eventually, module};
use crate::windows::messages::{message, settings};

const SECOND: &str = "second";

async fn start(filter: WasmFilter) -> Result<Guarded> {
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).concurrency(2).filter(filter).dynamic_listeners();
    Ok(Guarded { upstream, envoy: Envoy::start(&config).await? })
}

async fn status(guarded: &Guarded, request: &Request) -> Result<u16> {
    Ok(client::send(guarded.envoy.address(), Protocol::Http1, request).await?.status)
}

#[tokio::test]
async fn a_capture_is_remembered_across_updates_of_plugin_listener_and_vm() -> Result<()> {
    let filter =
        |settings: &Value| Ok::<_, crate::support::Error>(WasmFilter::new(module::path()?, settings));
    let mut guarded = start(filter(&settings())?).await?;
    let copy = message("/sms", 1);
    assert_eq!(status(&guarded, &copy).await?, 200);

    let mut other_plugin = settings();
    other_plugin["replay"]["dedupe"] = json!({"max_attempts": 4});
    other_plugin["routes"][0]["name"] = "renamed".into();
    let updates = [
        ("another plugin configuration", Listener::new(INGRESS).filter(filter(&other_plugin)?)),
        ("another listener", Listener::new(INGRESS).filter(filter(&settings())?).buffer_limit(60_000)),
        ("another VM", Listener::new(INGRESS).filter(filter(&settings())?.host_env_keys(&["TWILIO_X"]))),
        ("another name", Listener::new(INGRESS).filter(filter(&settings())?.named("other"))),
        (
            "two of them",
            Listener::new(INGRESS).filter(filter(&settings())?.host_env_keys(&["TWILIO_Y"])).no_websockets(),
        ),
    ];
    for (what, listener) in updates {
        assert_eq!(guarded.envoy.update_listeners(&[listener]).await?, Update::Applied, "{what}");
        assert_eq!(status(&guarded, &copy).await?, 409, "{what}");
    }
    println!("updates: 1 delivery, bound 1");
    assert_eq!(guarded.upstream.count(), 1);
    Ok(())
}

/// Another namespace or size is another store: documented as a fresh start, once for each.
#[tokio::test]
async fn another_namespace_or_size_begins_anew_and_the_old_one_is_still_there() -> Result<()> {
    let with = |namespace: &str, capacity: usize| {
        let mut settings = settings();
        settings["replay"] = json!({"namespace": namespace, "store": {"local": {"capacity": capacity}}});
        Ok::<_, crate::support::Error>(WasmFilter::new(module::path()?, &settings))
    };
    let mut guarded = start(with("one", 4096)?).await?;
    let copy = message("/sms", 1);
    assert_eq!(status(&guarded, &copy).await?, 200);
    for (namespace, capacity, expected) in
        [("two", 4096, 200), ("one", 8192, 200), ("one", 4096, 409), ("two", 4096, 409)]
    {
        let listener = Listener::new(INGRESS).filter(with(namespace, capacity)?);
        assert_eq!(guarded.envoy.update_listeners(&[listener]).await?, Update::Applied);
        assert_eq!(status(&guarded, &copy).await?, expected, "{namespace}, {capacity}");
        assert_eq!(status(&guarded, &copy).await?, 409, "{namespace}, {capacity}: once");
    }
    println!("three stores: {} deliveries, bound 3", guarded.upstream.count());
    assert_eq!(guarded.upstream.count(), 3);
    Ok(())
}

/// A VM dies, and is built again: the store lives in the proxy.
#[tokio::test]
async fn a_capture_is_remembered_when_its_vm_dies() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let filter = WasmFilter::new(&module::dying_of_trailers(directory.path())?, &settings());
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address()).filter(filter);
    let guarded = Guarded { upstream, envoy: Envoy::start(&config).await? };
    let (copy, pending_copy) = (message("/sms", 1), message("/lease", 2));
    assert_eq!(status(&guarded, &copy).await?, 200);
    guarded.upstream.script("/lease", Behaviour::Hold(Gate::closed()));
    for deaths in 1..=2 {
        // A pass that is under way when the VM dies: nobody settles it, and its lease ends it.
        let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
        let under_way = eventually("a pass", async || {
            let seen = guarded.upstream.count();
            let length = Some(u64::try_from(pending_copy.body.len()).ok()?);
            let (feed, pending) = client.start(&pending_copy, length).await.ok()?;
            feed.data(pending_copy.body.clone());
            drop(feed);
            let arrived = eventually("an answer or a pass", async || {
                let arrived = guarded.upstream.count() > seen;
                (arrived || pending.is_ready()).then_some(arrived)
            });
            if arrived.await.ok()? {
                return Some(pending);
            }
            pending.response().await.ok()?;
            None
        })
        .await?;
        let dying = Request::post("/open", "text/plain", "x").trailer("x-end", "yes");
        assert_eq!(status(&guarded, &dying).await?, 503);
        drop((under_way, client));
        eventually("a new VM", async || {
            let answer = status(&guarded, &Request::get("/open")).await.ok()?;
            (answer == 200).then_some(())
        })
        .await?;
        let stats = guarded.envoy.stats_matching("wasm.").await?;
        let reloads = stats.iter().find(|(name, _)| name.ends_with("vm_reload_success"));
        assert_eq!(reloads.map(|(_, count)| *count), Some(deaths), "{stats:?}");
        assert_eq!(status(&guarded, &copy).await?, 409);
    }
    eventually("the end of both leases", async || {
        let lines = guarded.envoy.access_log().len();
        status(&guarded, &pending_copy).await.ok()?;
        let line = guarded.envoy.wait_for_access_log(lines + 1).await.ok()?.pop()?;
        (line.details() == "twilio_guard_attempts_exhausted").then_some(())
    })
    .await?;
    let seen = |target: &str| guarded.upstream.requests().iter().filter(|own| own.target == target).count();
    println!("two dead VMs: {} delivery, bound 1; {} passes, bound 2", seen("/sms"), seen("/lease"));
    assert_eq!((seen("/sms"), seen("/lease")), (1, 2));
    Ok(())
}

/// A full store that may forget nothing refuses what is new, and goes on knowing what it knows.
#[tokio::test]
async fn a_full_store_that_forgets_nothing_lets_nothing_new_pass() -> Result<()> {
    let mut settings = settings();
    settings["replay"] = json!({"store": {"local": {"capacity": 1024}}, "dedupe": {"on_full": "deny"}});
    let guarded = start(WasmFilter::new(module::path()?, &settings)).await?;
    let mut client = Client::connect(guarded.envoy.address(), Protocol::Http1).await?;
    let mut delivered = Vec::new();
    let full = loop {
        let number = delivered.len();
        assert!(number < 4096, "it never fills");
        let copy = message("/sms", number);
        match client.send(&copy).await?.status {
            200 => delivered.push(copy),
            status => break (status, copy),
        }
    };
    println!("capacity 1024: full at {}", delivered.len());
    assert!(full.0 == 503 && delivered.len() >= 1024);
    let details = guarded.envoy.wait_for_access_log(delivered.len() + 1).await?.pop();
    assert_eq!(details.expect("a line").details(), "twilio_guard_store_full");
    for copy in delivered.iter().step_by(7).chain([&full.1]) {
        assert!(matches!(client.send(copy).await?.status, 409 | 503));
    }
    assert_eq!(guarded.upstream.count(), delivered.len());
    Ok(())
}

/// A listener that is added later, with the same namespace and VM id, knows what the first one delivered.
#[tokio::test]
async fn a_listener_that_comes_later_knows_what_was_delivered() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &settings());
    let mut guarded = start(filter.clone()).await?;
    let copy = message("/sms", 1);
    assert_eq!(status(&guarded, &copy).await?, 200);
    let listeners = [Listener::new(INGRESS).filter(filter.clone()), Listener::new(SECOND).filter(filter)];
    assert_eq!(guarded.envoy.update_listeners(&listeners).await?, Update::Applied);
    let second = guarded.envoy.listener(SECOND);
    assert_eq!(client::send(second, Protocol::Http2, &copy).await?.status, 409);
    assert_eq!(guarded.upstream.count(), 1);
    Ok(())
}
