//! The configuration changes while Redis still has to be told something: the old plugin tells it before it goes.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scene::{RETRIED, SETTLED, Scene, keeping, store};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::{Envoy, Update};
use crate::support::redis::Redis;
use crate::support::replay_redis::{LONGEST_WAIT, PLUGIN, Replica, bootstrap, wait_for_redis};
use crate::support::scenarios::TOKEN;
use crate::support::scenes::route;
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, binary, eventually, module, since};

/// The shipped way to Redis behind a listener that can be updated.
async fn dynamic(upstream: &Upstream, shipped: Value, filter: WasmFilter) -> Result<Envoy> {
    let mut config = EnvoyConfig::new(upstream.address())
        .filter(filter)
        .dynamic_listeners()
        .concurrency(2)
        .env("TWILIO_AUTH_TOKEN", TOKEN)
        .env("REDIS_PASSWORD", "")
        .edit(move |bootstrap| {
            let resources = &shipped["static_resources"];
            let list = |name: &str| resources[name].as_array().expect("a list")[1..].to_vec();
            bootstrap["bootstrap_extensions"] = shipped["bootstrap_extensions"].clone();
            bootstrap["static_resources"]["listeners"] = list("listeners").into();
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut();
            clusters.expect("clusters").extend(list("clusters"));
        });
    // What was replaced goes soon.
    config.arguments = ["--drain-time-s", "1"].map(str::to_owned).into();
    Ok(Envoy::start(&config).await?)
}

/// Another configuration of the same VM loses nothing. Another VM loses what could not be told before it came, as if it had died.
#[tokio::test]
async fn what_an_update_finds_untold_is_told() -> Result<()> {
    for is_new_vm in [false, true] {
        let what = if is_new_vm { "another VM" } else { "another configuration" };
        let (upstream, redis, directory) =
            (Upstream::start().await?, Redis::with(keeping()).await?, TempDir::new()?);
        let mut shipped = bootstrap(directory.path(), upstream.address(), &[redis.address()])?;
        wait_for_redis(&mut shipped, LONGEST_WAIT);
        let text = shipped.pointer(PLUGIN).and_then(Value::as_str).ok_or("the file configures the module")?;
        let mut plugin: Value = serde_json::from_str(text)?;
        store(&mut plugin)["timeout"] = LONGEST_WAIT.into();
        plugin["routes"][0] = route("sms", json!({"lease": "2s"}));
        let routes = plugin["routes"].clone();
        let first = dynamic(&upstream, shipped, WasmFilter::new(module::path()?, &plugin)).await?;
        let second = Replica::new(upstream.address(), &redis)
            .patient()
            .plugin(move |plugin| plugin["routes"] = routes.clone())
            .start()
            .await?;
        let mut scene = Scene::of(upstream, redis, vec![first, second]);

        let (message, gate) = (scene.message("/sms"), Gate::closed());
        scene.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
        let under_way = scene.begin(0, &message).await?;
        scene.redis.stop();
        scene.finish(0, &gate, under_way).await?;
        scene.replicas[0].wait_for_stat(RETRIED, 1).await?;

        plugin["routes"][0]["name"] = "renamed".into();
        let mut filter = WasmFilter::new(module::path()?, &plugin);
        if is_new_vm {
            filter = filter.host_env_keys(&["TWILIO_AUTH_TOKEN", "ANOTHER"]);
        }
        let listener = Listener::new(INGRESS).filter(filter);
        assert_eq!(scene.replicas[0].update_listeners(&[listener]).await?, Update::Applied, "{what}");
        eventually("the end of what was replaced", async || {
            let stats = scene.replicas[0].stats_matching("listener_manager.total_").await.ok()?;
            let draining = stats.iter().filter(|(name, _)| name.ends_with("_draining"));
            (draining.map(|(_, count)| count).sum::<u64>() == 0).then_some(())
        })
        .await?;
        assert_eq!(scene.settled(0).await?, 0, "{what}");
        scene.redis.restart().await?;
        if is_new_vm && binary::minor()? >= since::NEW_VM_FOR_VARIABLES {
            // The proxy waits for plugins, and for no VM: nobody knows more than the lease.
            eventually("the end of the lease", async || {
                let exchange = scene.send(1, &message).await.ok()?;
                exchange.received.first().filter(|request| request.replay_mark() == "again").map(drop)
            })
            .await?;
        } else {
            scene.replicas[0].wait_for_stat(SETTLED, 1).await?;
            Replica::nothing_waits(&scene.replicas[0]).await?;
        }
        for replica in [1, 0] {
            scene.recovers(what, replica).await?;
            scene.refused(what, replica, &message, 409, "replayed").await?;
        }
        scene.assert_sound(what).await?;
    }
    Ok(())
}
