//! `envoy/istio/strict-*.yaml`, and the whole way of a webhook: gateway, virtual service, workload, Secret, Telemetry.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::documents::{Document, Folder, Values, text_at};
use crate::istiod::{COLLECTOR, Istiod, Place, Proxy};
use crate::support::config::Listener;
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::raw::RawConnection;
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{Result, binary, eventually, module};
use crate::webhooks::{PHONE, Sender, TEXT, assert_strict, send};

const FOLDER: &str = "envoy/istio";

/// The cluster that strict-gateway-remote.yaml names.
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
    // The last line of telemetry.yaml is for Istio 1.29 and later, that is not for Envoy 1.36.
    if !binary::version(binary::find()?)?.starts_with("1.36.") {
        passes_and_is_verified(true).await?;
    }
    passes_and_is_verified(false).await
}

async fn passes_and_is_verified(has_formatter: bool) -> Result<()> {
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
    let mut resources = Folder::open(FOLDER, &files, &values)?;
    if has_formatter {
        let telemetry = Folder::uncommented(FOLDER, "telemetry.yaml", "twilio_guard.path", &values)?;
        resources.0.retain(|document| document.file != "telemetry.yaml");
        resources.0.extend(telemetry.0);
    }
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
        ["secret.yaml", "workload.yaml", "gateway.yaml", "gateway-values.yaml", "strict-gateway-remote.yaml"];
    let code = format!("{CODE}/remote/retry_policy/num_retries");
    let resources = Folder::open(FOLDER, &files, values)?.edit(|value| {
        // While Envoy tries again it does not listen, which would take half a minute here.
        if let Some(retries) = value.pointer_mut(&code) {
            *retries = 0.into();
        }
    });
    let volumes = cluster(&resources)?;
    let proxy = gateway(&resources, &volumes)?;
    let application = Upstream::start().await?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
    let envoy = Envoy::start(&config.cluster(MODULE_SERVER, server.address())).await?;
    Ok((envoy, application))
}

/// The gateway as it is installed by default: with the module of its volume. Another EnvoyFilter that puts a filter first, younger than
/// ours, does not come before it.
#[tokio::test]
async fn a_gateway_verifies_with_a_module_from_a_volume_before_all_other_filters() -> Result<()> {
    let values = Values::own()?;
    let files =
        ["secret.yaml", "workload.yaml", "gateway.yaml", "gateway-values.yaml", "strict-gateway.yaml"];
    let mut resources = Folder::open(FOLDER, &files, &values)?;
    let ours = resources.of_kind("EnvoyFilter").next().ok_or("no EnvoyFilter")?.clone();
    let mut other = ours.clone();
    other["metadata"]["name"] = "other".into();
    other["spec"].as_object_mut().ok_or("no spec")?.remove("priority");
    other["spec"]["configPatches"] = json!([ours["spec"]["configPatches"][0]]);
    other["spec"]["configPatches"][0]["patch"]["value"] = json!({"name": "other", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort": {"http_status": 418, "percentage": {"numerator": 100}},
        "headers": [{"name": "x-other", "present_match": true}],
    }});
    resources.0.push(Document { file: "other".to_owned(), value: other });
    let volumes = cluster(&resources)?;
    let proxy = gateway(&resources, &volumes)?;
    let application = Upstream::start().await?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
    let envoy = Envoy::start(&config).await?;
    let sender = Sender::new(&values);
    assert_strict(envoy.address(), &application, &sender).await?;
    let through_both = |request: Request| request.header("x-other", "1");
    assert_eq!(send(envoy.address(), &through_both(sender.tampered())).await?.status, 401);
    assert_eq!(send(envoy.address(), &through_both(sender.sms())).await?.status, 418);
    Ok(())
}

/// strict-sidecar.yaml says that the block `code` of strict-gateway-remote.yaml does there as well.
#[tokio::test]
async fn a_sidecar_verifies_with_a_module_that_it_downloads() -> Result<()> {
    let values = Values::own()?;
    let remote = Folder::open(FOLDER, &["strict-gateway-remote.yaml"], &values)?;
    let remote = remote.0[0].value.pointer(CODE).ok_or("no code")?.clone();
    let server = module_server(std::fs::read(module::path()?)?).await?;
    let files = ["secret.yaml", "workload.yaml", "strict-sidecar.yaml"];
    let resources = Folder::open(FOLDER, &files, &values)?.edit(|value| {
        if let Some(code) = value.pointer_mut(CODE) {
            *code = remote.clone();
        }
    });
    let volumes = cluster(&resources)?;
    let proxy = sidecar(&resources, &volumes)?;
    let application = Upstream::start().await?;
    let config = Istiod::new(resources, Value::Null).configure(&proxy, application.address())?;
    let envoy = Envoy::start(&config.cluster(MODULE_SERVER, server.address())).await?;
    assert_strict(envoy.address(), &application, &Sender::new(&values)).await
}

/// Where the mesh has ambient mode, a sidecar has a listener more, which ends the tunnels of callers from there. Without the last patch the
/// filter would be on it, and refuse every tunnel. The inner Envoy stands for the listener that tunnels lead to.
#[tokio::test]
async fn callers_from_ambient_namespaces_reach_the_sidecars_filter_through_their_tunnel() -> Result<()> {
    let values = Values::own()?;
    let files = ["secret.yaml", "workload.yaml", "strict-sidecar.yaml"];
    for has_patch in [true, false] {
        let resources = Folder::open(FOLDER, &files, &values)?.edit(|value| {
            if let (false, Some(patches)) = (has_patch, value.pointer_mut("/spec/configPatches")) {
                patches.as_array_mut().expect("a list").pop();
            }
        });
        let volumes = cluster(&resources)?;
        let proxy = sidecar(&resources, &volumes)?;
        let istiod = Istiod::new(resources, Value::Null);
        let application = Upstream::start().await?;
        let inner = Envoy::start(&istiod.configure(&proxy, application.address())?).await?;
        let outer = istiod.configure(&proxy, inner.address())?;
        let outer = Envoy::start(&outer.listener(Listener::new("connect_terminate").connect())).await?;
        assert_eq!(send(inner.address(), &Sender::new(&values).tampered()).await?.status, 401);

        let mut tunnel = RawConnection::connect(outer.listener("connect_terminate")).await?;
        tunnel.write("CONNECT 10.0.0.1:8080 HTTP/1.1\r\nhost: 10.0.0.1:8080\r\n\r\n").await?;
        let answer = tunnel.interim().await?;
        assert!(answer.starts_with(if has_patch { "HTTP/1.1 200" } else { "HTTP/1.1 403" }), "{answer}");
        if has_patch {
            let forged =
                "content-type: application/x-www-form-urlencoded\r\ncontent-length: 11\r\n\r\nBody=forged";
            tunnel.write(format!("POST /sms HTTP/1.1\r\nhost: {}\r\n{forged}", values.host)).await?;
            assert_eq!(tunnel.response_to("POST").await?.status, 401);
        }
        assert_eq!(application.byte_count(), 0);
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
