//! What becomes of pods that run while the examples are applied, exchanged and probed.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::documents::{Folder, Values, list_at, text_at};
use crate::istiod::Istiod;
use crate::strict::{cluster, sidecar};
use crate::support::config::EnvoyConfig;
use crate::support::envoy::{Envoy, Update};
use crate::support::http::{Request, Response};
use crate::support::upstream::Upstream;
use crate::support::{Result, eventually, pages};
use crate::webhooks::{Sender, assert_strict, send};

const FOLDER: &str = "envoy/istio";
const NEEDED: [&str; 2] = ["secret.yaml", "workload.yaml"];

/// The sidecar as istiod configures it for these files, and the cluster that has its volumes.
fn configure(resources: Folder, upstream: SocketAddr) -> Result<(EnvoyConfig, Cluster)> {
    let cluster = cluster(&resources)?;
    let proxy = sidecar(&resources, &cluster)?;
    Ok((Istiod::new(resources, Value::Null).configure(&proxy, upstream)?, cluster))
}

async fn start(resources: Folder, upstream: SocketAddr) -> Result<Envoy> {
    let (config, _cluster) = configure(resources, upstream)?;
    Ok(Envoy::start(&config).await?)
}

fn open(files: &[&str], values: &Values) -> Result<Folder> {
    Folder::open(FOLDER, &[&NEEDED[..], files].concat(), values)
}

fn listeners(config: &EnvoyConfig, envoy: &Envoy) -> Vec<Value> {
    let bootstrap = config.bootstrap(envoy.directory());
    list_at(&bootstrap, "/static_resources/listeners").to_vec()
}

/// The first installation into a pod that runs already, and has neither the variable nor the module: Envoy refuses the listener, and
/// goes on with the one that it has, which has no filter. Once both are there, the same listener is taken, and the filter judges.
#[tokio::test]
async fn a_running_pod_that_refuses_the_filter_serves_on_without_it() -> Result<()> {
    let values = Values::own()?;
    let sender = Sender::new(&values);
    let application = Upstream::start().await?;
    let (wanted, _volumes) = configure(open(&["strict-sidecar.yaml"], &values)?, application.address())?;
    let without_mount = open(&["strict-sidecar.yaml"], &values)?.edit(|value| {
        if let Some(mounts) = value.pointer_mut("/spec/template/spec/containers/1/volumeMounts") {
            *mounts = json!([]);
        }
    });
    let (without_mount, _) = configure(without_mount, application.address())?;
    let before = EnvoyConfig::new(application.address()).dynamic_listeners();

    for (config, environment, complaint) in [
        (&wanted, &[][..], "the environment variable is absent or empty"),
        (&without_mount, &wanted.environment[..], "twilio_guard.wasm"),
    ] {
        let mut pod = before.clone();
        pod.environment = environment.to_vec();
        let mut envoy = Envoy::start(&pod).await?;
        let update = listeners(config, &envoy);
        assert_eq!(envoy.replace_listeners(update).await?, Update::Rejected, "{complaint}");
        envoy.wait_for_log(complaint).await?;
        assert_eq!(envoy.stat("listener_manager.lds.update_rejected").await?, 1);
        let response = send(envoy.address(), &sender.tampered()).await?;
        assert!(response.accepted(), "a forged request, {complaint}: {}", response.status);
    }

    let mut pod = before;
    pod.environment = wanted.environment.clone();
    let mut envoy = Envoy::start(&pod).await?;
    let update = listeners(&wanted, &envoy);
    assert_eq!(envoy.replace_listeners(update).await?, Update::Applied);
    assert_strict(envoy.address(), &application, &sender).await
}

/// One way after the other without a hole: the second gets a namespace of its own, both verify side by side, then the first goes.
#[tokio::test]
async fn two_ways_verify_side_by_side_with_namespaces_of_their_own() -> Result<()> {
    let values = Values::own()?;
    let sender = Sender::new(&values);
    for (first, second) in [
        ("wasmplugin-sidecar.yaml", "strict-sidecar.yaml"),
        ("strict-sidecar.yaml", "wasmplugin-sidecar.yaml"),
        ("wasmplugin-sidecar.yaml", "trafficextension-sidecar.yaml"),
    ] {
        let places = [
            "/spec/pluginConfig",
            "/spec/wasm/pluginConfig",
            "/spec/configPatches/0/patch/value/typed_config/config/configuration/value",
        ];
        let mut resources = open(&[first], &values)?;
        resources.0.extend(
            Folder::open(FOLDER, &[second], &values)?
                .edit(|value| {
                    let place = places.iter().find(|place| value.pointer(place).is_some());
                    let config = value.pointer_mut(place.expect("a configuration")).expect("a configuration");
                    config["replay"] = json!({"namespace": "second"});
                })
                .0,
        );
        let application = Upstream::start().await?;
        let envoy = start(resources, application.address()).await?;
        for request in sender.genuine() {
            let response = send(envoy.address(), &request).await?;
            assert!(response.accepted(), "{first}, {second}: {} {}", request.target, response.text());
        }
        // The portable one takes away what the strict one in front of it has set.
        let received = application.wait_for(4).await?;
        assert!(received.iter().all(|request| !request.headers.contains_key("x-twilio-guard")));
        for (request, status) in sender.forged() {
            assert_eq!(send(envoy.address(), &request).await?.status, status, "{first}, {second}");
        }
        let again = sender.sms();
        assert!(send(envoy.address(), &again).await?.accepted());
        assert_eq!(send(envoy.address(), &again).await?.status, 409, "{first}, {second}");
    }
    Ok(())
}

/// What blackbox_exporter says of an answer, by a module of its configuration.
fn succeeds(module: &Value, response: &Response) -> Result<bool> {
    let http = &module["http"];
    let is_status = list_at(http, "/valid_status_codes").contains(&json!(response.status));
    for asked in list_at(http, "/fail_if_header_not_matches") {
        let pattern = text_at(asked, "/regexp")?;
        if !response.header(text_at(asked, "/header")?).unwrap_or_default().contains(pattern) {
            return Ok(false);
        }
    }
    Ok(is_status)
}

/// The probe of docs/operations.md succeeds while the filter is there, and only then.
#[tokio::test]
async fn the_probe_alarms_when_the_filter_is_gone() -> Result<()> {
    let block = pages::block("docs/operations.md", "blackbox_exporter")?;
    let module = &block["modules"]["twilio_guard_forged"];
    let http = &module["http"];
    let values = Values::own()?;
    let headers = http["headers"].as_object().ok_or("no headers")?;
    let request = Request::new(text_at(http, "/method")?, "/sms").body(text_at(http, "/body")?.to_owned());
    let request = headers.iter().fold(request.authority(&values.host), |request, (name, value)| {
        request.header(name, value.as_str().unwrap_or_default())
    });
    let application = Upstream::start().await?;
    for (file, is_alarm) in
        [("strict-sidecar.yaml", false), ("wasmplugin-sidecar.yaml", false), ("telemetry.yaml", true)]
    {
        let resources = open(&[file], &values)?.edit(|value| {
            if value["kind"] == "Telemetry" {
                *value = json!({});
            }
        });
        let envoy = start(resources, application.address()).await?;
        let response = send(envoy.address(), &request).await?;
        assert_eq!(succeeds(module, &response)?, !is_alarm, "{file}: {}", response.status);
    }
    // Istio's answer where a portable module could not be pulled, and Envoy's without a module, are no reason for calm either.
    for status in [403, 503] {
        let answer = Response {
            status,
            headers: Default::default(),
            body: Default::default(),
            trailers: Default::default(),
        };
        assert!(!succeeds(module, &answer)?);
    }
    Ok(())
}

/// The patch of docs/istio.md for webhooks above Envoy's own buffer of 1 MiB.
#[tokio::test]
async fn the_patch_for_large_bodies_raises_the_buffer() -> Result<()> {
    let patch = pages::block("docs/istio.md", "EnvoyFilter: large bodies")?;
    let values = Values::own()?;
    let sender = Sender::new(&values);
    for is_raised in [false, true] {
        let resources = open(&["strict-sidecar.yaml"], &values)?.edit(|value| {
            if let Some(patches) = value.pointer_mut("/spec/configPatches") {
                let place = "/patch/value/typed_config/config/configuration/value";
                patches[0].pointer_mut(place).expect("a configuration")["limits"] =
                    json!({"max_body": 4_000_000, "max_form": 4_000_000, "max_hashed_bytes": 64_000_000});
                if is_raised {
                    patches.as_array_mut().expect("a list").push(patch.clone());
                }
            }
        });
        let application = Upstream::start().await?;
        let envoy = start(resources, application.address()).await?;
        let response = send(envoy.address(), &sender.huge_sms()).await?;
        assert_eq!(response.status, if is_raised { 200 } else { 413 });
        let log = envoy.wait_for_access_log(1).await?;
        assert_eq!(log[0].details() == "request_payload_too_large", !is_raised, "{}", log[0].0);
    }
    Ok(())
}

/// A mesh sets no `stats_tags`: labels stay parts of names, in which they can be counted as well.
#[tokio::test]
async fn without_tags_the_counter_of_signatures_names_its_key() -> Result<()> {
    let values = Values::own()?;
    let resources = open(&["strict-sidecar.yaml"], &values)?;
    let application = Upstream::start().await?;
    let envoy = start(resources, application.address()).await?;
    assert!(send(envoy.address(), &Sender::new(&values).sms()).await?.accepted());
    for (page, name) in [
        ("/stats?filter=twilio_guard_signatures", "twilio_guard_signatures.key=current.fingerprint="),
        ("/stats/prometheus", "\ntwilio_guard_signatures_key_current_fingerprint_"),
    ] {
        eventually("the counter", async || {
            envoy.admin_get(page).await.ok()?.text().contains(name).then_some(())
        })
        .await?;
    }
    Ok(())
}
