//! `envoy/istio/wasmplugin-*.yaml` and `trafficextension-*.yaml`: what they promise, and the traps that they avoid.

use serde_json::{Value, json};

use crate::documents::{Folder, Values, text_at};
use crate::istiod::{Istiod, Place, Proxy};
use crate::strict::{cluster, gateway, sidecar};
use crate::support::Result;
use crate::support::envoy::Envoy;
use crate::support::upstream::Upstream;
use crate::webhooks::{Sender, assert_weaker, send};

const FOLDER: &str = "envoy/istio";

/// A plugin's file beside all that it needs, and the proxy that it is for.
fn set_up(kind: &str, place: &str, values: &Values) -> Result<(Folder, Proxy)> {
    let plugin = format!("{kind}-{place}.yaml");
    let files = [
        "secret.yaml",
        "workload.yaml",
        "gateway.yaml",
        "gateway-values.yaml",
        "waypoint.yaml",
        plugin.as_str(),
    ];
    // The Gateway API's Gateway of waypoint.yaml is another kind than Istio's.
    let mut resources = Folder::open(FOLDER, &files, values)?;
    let overlay: Value = serde_saphyr::from_str(text_at(resources.one("ConfigMap")?, "/data/deployment")?)?;
    let is_waypoint = |value: &Value| value["spec"]["gatewayClassName"] == "istio-waypoint";
    let waypoint =
        resources.0.iter().position(|document| is_waypoint(&document.value)).ok_or("no waypoint")?;
    let waypoint = resources.0.remove(waypoint).value;
    let parameters = &waypoint["spec"]["infrastructure"]["parametersRef"];
    assert_eq!(parameters["name"], resources.one("ConfigMap")?["metadata"]["name"]);

    let cluster = cluster(&resources)?;
    let proxy = match place {
        "sidecar" => sidecar(&resources, &cluster)?,
        "gateway" => gateway(&resources, &cluster)?,
        _ => Proxy {
            place: Place::Waypoint,
            namespace: text_at(&waypoint, "/metadata/namespace")?.to_owned(),
            labels: json!({"gateway.networking.k8s.io/gateway-name": waypoint["metadata"]["name"]}),
            container: cluster.container("clinic", &overlay["spec"]["template"]["spec"], "istio-proxy")?,
            port: 80,
        },
    };
    Ok((resources, proxy))
}

async fn promises_what_it_says(kind: &str) -> Result<()> {
    let values = Values::own()?;
    for place in ["sidecar", "gateway", "waypoint"] {
        let (resources, proxy) = set_up(kind, place, &values)?;
        let application = Upstream::start().await?;
        let istiod = Istiod::new(resources, Value::Null);
        assert_eq!(istiod.plugins(&proxy)?.len(), 1, "{kind} {place}");
        let envoy = Envoy::start(&istiod.configure(&proxy, application.address())?).await?;
        assert_weaker(envoy.address(), &application, &Sender::new(&values)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wasm_plugin_keeps_its_weaker_promise_in_each_place() -> Result<()> {
    promises_what_it_says("wasmplugin").await
}

#[tokio::test]
async fn a_traffic_extension_keeps_its_weaker_promise_in_each_place() -> Result<()> {
    promises_what_it_says("trafficextension").await
}

/// The files offer FAIL_RELOAD for FAIL_CLOSE.
#[tokio::test]
async fn a_plugin_that_is_rebuilt_keeps_the_same_promise() -> Result<()> {
    let values = Values::own()?;
    let (resources, proxy) = set_up("wasmplugin", "sidecar", &values)?;
    let resources = resources.replace(r#""FAIL_CLOSE""#, r#""FAIL_RELOAD""#)?;
    let application = Upstream::start().await?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
    assert_weaker(Envoy::start(&config).await?.address(), &application, &Sender::new(&values)).await
}

/// One after the other, not side by side in one namespace: the second refuses what the first has let through.
#[tokio::test]
async fn a_plugin_and_its_successor_do_not_work_together() -> Result<()> {
    let values = Values::own()?;
    let (mut resources, proxy) = set_up("wasmplugin", "sidecar", &values)?;
    resources.0.extend(Folder::open(FOLDER, &["trafficextension-sidecar.yaml"], &values)?.0);
    let application = Upstream::start().await?;
    let envoy =
        Envoy::start(&Istiod::new(resources, Value::Null).configure(&proxy, application.address())?).await?;
    let response = send(envoy.address(), &Sender::new(&values).sms()).await?;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(envoy.wait_for_access_log(1).await?[0].details(), "twilio_guard_in_flight");
    Ok(())
}

/// How many plugins a proxy gets once `edit` has changed the resource.
fn plugins(kind: &str, file: &str, place: Place, edit: impl Fn(&mut Value)) -> Result<usize> {
    let (resources, mut proxy) = set_up(kind, file, &Values::own()?)?;
    let resources = resources.edit(|value| {
        if matches!(value["kind"].as_str(), Some("WasmPlugin" | "TrafficExtension")) {
            edit(&mut value["spec"]);
        }
    });
    proxy.place = place;
    Ok(Istiod::new(resources, Value::Null).plugins(&proxy)?.len())
}

/// What the comments of the files warn of, and docs/istio.md lists among the symptoms.
#[test]
fn plugins_vanish_or_spread_as_the_files_warn() -> Result<()> {
    for kind in ["wasmplugin", "trafficextension"] {
        let server = |spec: &mut Value| spec["match"] = json!([{"mode": "SERVER"}]);
        assert_eq!(plugins(kind, "gateway", Place::Gateway, |_| {})?, 1);
        assert_eq!(plugins(kind, "gateway", Place::Gateway, server)?, 0, "SERVER at a gateway");

        let no_match = |spec: &mut Value| spec["match"] = Value::Null;
        assert_eq!(plugins(kind, "sidecar", Place::SidecarOutbound, |_| {})?, 0);
        assert_eq!(plugins(kind, "sidecar", Place::SidecarOutbound, no_match)?, 1, "no match in a sidecar");

        let ports = |spec: &mut Value| spec["match"][0]["ports"] = json!([{"number": 80}]);
        let selector = |spec: &mut Value| {
            spec["targetRefs"] = json!([]);
            spec["selector"] = json!({"matchLabels": {"app": "hooks"}});
        };
        assert_eq!(plugins(kind, "waypoint", Place::Waypoint, |_| {})?, 1);
        assert_eq!(plugins(kind, "waypoint", Place::Waypoint, ports)?, 0, "ports at a waypoint");
        assert_eq!(plugins(kind, "waypoint", Place::Waypoint, selector)?, 0, "a selector at a waypoint");
    }
    Ok(())
}
