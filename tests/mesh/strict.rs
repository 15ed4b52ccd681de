//! `envoy/istio/strict-*.yaml`, and the whole way of a webhook: gateway, virtual service, workload, Secret, Telemetry.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::documents::{Folder, Values, text_at};
use crate::istiod::{COLLECTOR, Istiod, Place, Proxy};
use crate::support::envoy::Envoy;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{Result, binary, eventually, module};
use crate::webhooks::{PHONE, Sender, TEXT, assert_strict, send};

const FOLDER: &str = "envoy/istio";

/// The cluster that strict-gateway.yaml names.
const MODULE_SERVER: &str = "outbound|80||twilio-guard-module.clinic.svc.cluster.local";

/// Where an EnvoyFilter says where the module comes from.
const CODE: &str = "/spec/configPatches/0/patch/value/typed_config/config/vm_config/code";

/// A cluster with the Secret and the module's ConfigMap.
pub fn cluster(resources: &Folder) -> Result<Cluster> {
    let mut cluster = Cluster::new(&[]);
    cluster.apply(&resources.0)?;
    cluster.create_module("clinic", "twilio-guard-0-1-0")?;
    Ok(cluster)
}

/// The sidecar of workload.yaml.
pub fn sidecar(resources: &Folder, cluster: &Cluster) -> Result<Proxy> {
    let deployment = resources.one("Deployment")?;
    let template = &deployment["spec"]["template"];
    let namespace = text_at(deployment, "/metadata/namespace")?;
    Ok(Proxy {
        place: Place::SidecarInbound,
        namespace: namespace.to_owned(),
        labels: template["metadata"]["labels"].clone(),
        container: cluster.container(namespace, &template["spec"], "istio-proxy")?,
        port: 8080,
    })
}

/// The gateway of gateway-values.yaml: what the Helm chart makes of them.
pub fn gateway(resources: &Folder, cluster: &Cluster) -> Result<Proxy> {
    let values = resources.values("envVarFrom")?;
    let pod = json!({"containers": [{
        "name": "istio-proxy", "env": values["envVarFrom"], "volumeMounts": values["volumeMounts"],
    }], "volumes": values["volumes"]});
    Ok(Proxy {
        place: Place::Gateway,
        namespace: "clinic".to_owned(),
        labels: values["labels"].clone(),
        container: cluster.container("clinic", &pod, "istio-proxy")?,
        port: 443,
    })
}

/// A file server with the module, or whatever it is given.
async fn module_server(content: Vec<u8>) -> Result<Upstream> {
    let server = Upstream::start().await?;
    server.script("/twilio_guard.wasm", Behaviour::Answer(200, Vec::new(), content.into()));
    Ok(server)
}

/// The whole example with a user's own values: a gateway that verifies nothing, the sidecar that does, logs and spans of
/// both.
#[tokio::test]
async fn a_webhook_passes_the_gateway_and_is_verified_in_the_sidecar() -> Result<()> {
    let values = Values::own()?;
    let files = [
        "secret.yaml",
        "workload.yaml",
        "gateway.yaml",
        "gateway-values.yaml",
        "strict-sidecar.yaml",
        "telemetry.yaml",
        "mesh-config.yaml",
    ];
    // telemetry.yaml says which tag has to go before Istio 1.29, that is with Envoy 1.36.
    let has_formatter = !binary::version(binary::find()?)?.starts_with("1.36.");
    let resources = Folder::open(FOLDER, &files, &values)?.edit(|value| {
        if value["kind"] == "Telemetry" && !has_formatter {
            let tags = value["spec"]["tracing"][0]["customTags"].as_object_mut().expect("tags");
            tags.remove("twilio_guard.path").expect("the tag with a formatter");
        }
    });
    let cluster = cluster(&resources)?;
    let istiod = Istiod::new(resources.clone(), resources.values("meshConfig")?["meshConfig"].clone());
    let (application, collector) = (Upstream::start().await?, Upstream::start().await?);
    let flush = |bootstrap: &mut Value| {
        bootstrap["layered_runtime"] = json!({"layers": [{"name": "test", "static_layer": {"tracing": {"zipkin": {"min_flush_spans": 1}}}}]});
    };
    let configure = |proxy: &Proxy, upstream| {
        Ok::<_, crate::support::Error>(
            istiod.configure(proxy, upstream)?.cluster(COLLECTOR, collector.address()).edit(flush),
        )
    };
    let inner = Envoy::start(&configure(&sidecar(&resources, &cluster)?, application.address())?).await?;
    let outer = Envoy::start(&configure(&gateway(&resources, &cluster)?, inner.address())?).await?;
    let sender = Sender::new(&values);
    assert_strict(outer.address(), &application, &sender).await?;

    let lines = log(&inner, 9).await?;
    let shown = lines.iter().filter_map(|line| line["path"].as_str()).collect::<BTreeSet<_>>();
    assert!(shown.contains("/sms") && shown.contains("/calls/[REDACTED]/status"), "{shown:?}");
    assert_eq!(lines.iter().filter(|line| line["verdict"] == "verified").count(), 4);
    let refused = lines.iter().filter(|line| line["verdict"] == "refused" && line["reason"] == "mismatch");
    assert_eq!(refused.count(), 3);
    // No filter there: no path either.
    for line in log(&outer, 9).await? {
        assert_eq!((&line["path"], &line["user_agent"]), (&Value::Null, &Value::Null), "{line}");
    }
    let written = [inner.stdout(), outer.stdout(), inner.log(), outer.log(), spans(&collector).await?];
    for text in &written {
        for secret in [PHONE, "%2B15005550006", TEXT, "appointment", "jane-roe", values.token.as_str()] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let spans = written.last().ok_or("no spans")?;
    assert!(spans.contains(r#""http.url":"redacted""#), "{spans}");
    assert_eq!(spans.contains(r#""twilio_guard.path":"/calls/[REDACTED]/status""#), has_formatter, "{spans}");
    Ok(())
}

/// The access log of Telemetry, as JSON.
async fn log(envoy: &Envoy, lines: usize) -> Result<Vec<Value>> {
    eventually("the access log", async || {
        let text = envoy.stdout();
        let parsed: Vec<_> =
            text.split_inclusive('\n').filter_map(|line| serde_json::from_str(line).ok()).collect();
        (parsed.len() >= lines).then_some(parsed)
    })
    .await
}

/// What the collector got, once all spans are there: one of each request, from each proxy.
async fn spans(collector: &Upstream) -> Result<String> {
    let reports = collector.wait_for(18).await?;
    Ok(reports.iter().map(|report| String::from_utf8_lossy(&report.body).into_owned()).collect())
}

/// The gateway verifies with a module from an HTTP server, which is checked against its hash.
#[tokio::test]
async fn a_gateway_verifies_with_a_module_that_it_downloads() -> Result<()> {
    let values = Values::own()?;
    let server = module_server(std::fs::read(module::path()?)?).await?;
    let (envoy, application) = downloading(&values, &server).await?;
    assert_strict(envoy.address(), &application, &Sender::new(&values)).await?;
    assert_eq!(server.count(), 1);
    Ok(())
}

/// Another module than that of the hash is never run, and no request passes; nor while there is none.
#[tokio::test]
async fn a_module_of_another_hash_or_none_lets_nothing_pass() -> Result<()> {
    let values = Values::own()?;
    let mut other = std::fs::read(module::path()?)?;
    // A custom section at the end: still a module, and one that would verify.
    other.extend([0, 2, 1, b'x']);
    let servers = [module_server(other).await?, Upstream::start().await?];
    servers[1].script("/twilio_guard.wasm", Behaviour::Status(404));
    for server in servers {
        let (envoy, application) = downloading(&values, &server).await?;
        let sender = Sender::new(&values);
        let genuine = sender.genuine().map(|request| (request, 0));
        for (request, _) in genuine.into_iter().chain(sender.forged()) {
            let response = send(envoy.address(), &request).await?;
            assert_eq!(response.status, 503, "{}", request.target);
        }
        assert_eq!(application.byte_count(), 0);
    }
    Ok(())
}

async fn downloading(values: &Values, server: &Upstream) -> Result<(Envoy, Upstream)> {
    let files =
        ["secret.yaml", "workload.yaml", "gateway.yaml", "gateway-values.yaml", "strict-gateway.yaml"];
    let code = format!("{CODE}/remote/retry_policy/num_retries");
    let resources = Folder::open(FOLDER, &files, values)?.edit(|value| {
        // While Envoy tries again it does not listen, which would take half a minute here.
        if let Some(retries) = value.pointer_mut(&code) {
            *retries = 0.into();
        }
    });
    let proxy = gateway(&resources, &cluster(&resources)?)?;
    let application = Upstream::start().await?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
    let envoy = Envoy::start(&config.cluster(MODULE_SERVER, server.address())).await?;
    Ok((envoy, application))
}

/// Both files say that their blocks `code` can be exchanged.
#[tokio::test]
async fn either_source_of_the_module_does_in_either_place() -> Result<()> {
    let values = Values::own()?;
    let block = |file: &str| {
        let folder = Folder::open(FOLDER, &[file], &values)?;
        Ok::<_, crate::support::Error>(folder.0[0].value.pointer(CODE).ok_or("no code")?.clone())
    };
    let (local, remote) = (block("strict-sidecar.yaml")?, block("strict-gateway.yaml")?);
    let server = module_server(std::fs::read(module::path()?)?).await?;
    for (file, other) in [("strict-sidecar.yaml", remote), ("strict-gateway.yaml", local)] {
        let files = ["secret.yaml", "workload.yaml", "gateway.yaml", "gateway-values.yaml", file];
        let resources = Folder::open(FOLDER, &files, &values)?.edit(|value| {
            if let Some(code) = value.pointer_mut(CODE) {
                *code = other.clone();
            }
        });
        let cluster = cluster(&resources)?;
        let workload = sidecar(&resources, &cluster)?;
        let proxy = if file == "strict-sidecar.yaml" {
            workload
        } else {
            // The values of the chart `volumes` and `volumeMounts` are what workload.yaml has.
            let mut proxy = gateway(&resources, &cluster)?;
            proxy.container.mounts = workload.container.mounts;
            proxy
        };
        let application = Upstream::start().await?;
        let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
        let envoy = Envoy::start(&config.cluster(MODULE_SERVER, server.address())).await?;
        assert_strict(envoy.address(), &application, &Sender::new(&values)).await?;
    }
    Ok(())
}

/// Without the ConfigMap the pod starts; Envoy refuses the listener, so the pod never gets ready.
#[tokio::test]
async fn a_sidecar_without_the_module_does_not_serve() -> Result<()> {
    let values = Values::own()?;
    let resources = Folder::open(FOLDER, &["secret.yaml", "workload.yaml", "strict-sidecar.yaml"], &values)?;
    let mut cluster = Cluster::new(&[]);
    cluster.apply(&resources.0)?;
    let proxy = sidecar(&resources, &cluster)?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, ([127, 0, 0, 1], 9).into())?;
    let error = Envoy::start(&config).await.err().ok_or("it serves")?;
    assert!(error.log.contains("twilio_guard.wasm"), "{error}");
    Ok(())
}
