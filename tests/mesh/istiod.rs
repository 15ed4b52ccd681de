//! What istiod makes of Istio's resources, and what its agent does with a Wasm module.
//!
//! Written after `pilot/pkg/model/extensions.go`, `pilot/pkg/networking/core/{listener_builder,listener_waypoint}.go` and
//! `pilot/pkg/model/telemetry_logging.go` of Istio 1.30, and `pkg/wasm/convert.go` of its agent.

use serde_json::{Value, json};

use crate::cluster::Container;
use crate::documents::{Folder, identity, list_at, selects, text_at};
use crate::support::config::EnvoyConfig;
use crate::support::{Result, module};
use crate::{envoy_filter, virtual_services};

/// Where a proxy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The inbound listener of a sidecar.
    SidecarInbound,
    /// An outbound listener of a sidecar.
    SidecarOutbound,
    /// A gateway.
    Gateway,
    /// A waypoint.
    Waypoint,
}

/// A proxy of the mesh.
pub struct Proxy {
    /// Where it stands.
    pub place: Place,
    /// Its namespace.
    pub namespace: String,
    /// The labels of its pod.
    pub labels: Value,
    /// Its container.
    pub container: Container,
    /// The port of its listener.
    pub port: u64,
}

/// The control plane: every resource that it was given, and the mesh's own configuration.
pub struct Istiod {
    resources: Folder,
    mesh: Value,
    servers: Vec<(String, Value)>,
}

impl Istiod {
    /// With these resources and this MeshConfig.
    pub fn new(resources: Folder, mesh: Value) -> Self {
        Self { resources, mesh, servers: Vec::new() }
    }

    /// With servers of a gateway that end TLS: the host of each, and the transport socket of its certificate. Each becomes a filter
    /// chain of its own.
    pub fn servers(mut self, servers: Vec<(String, Value)>) -> Self {
        self.servers = servers;
        self
    }

    /// The configuration of a proxy whose traffic goes to this address. Istio's clusters are not made here: a test adds those
    /// that a resource names.
    pub fn configure(&self, proxy: &Proxy, upstream: std::net::SocketAddr) -> Result<EnvoyConfig> {
        let mut manager = self.manager(proxy)?;
        for plugin in self.plugins(proxy)? {
            prepend(&mut manager, plugin);
        }
        let patches = envoy_filter::of(&self.resources, proxy)?;
        let container = Container { environment: Vec::new(), mounts: proxy.container.mounts.clone() };
        let own = manager.as_object().ok_or("no object")?.clone();
        let overlay = move |generated: &mut Value| {
            let behind = generated["http_filters"].as_array().cloned().unwrap_or_default();
            for (name, value) in own.clone() {
                generated[name] = value;
            }
            generated["http_filters"].as_array_mut().expect("a list").extend(behind);
        };
        let servers = self.servers.clone();
        let mut config =
            EnvoyConfig::new(upstream).ingress(|listener| listener.edit(overlay)).edit(move |bootstrap| {
                split(bootstrap, &servers);
                for patch in &patches {
                    envoy_filter::apply(patch, bootstrap).expect("the patch applies");
                }
                mount(bootstrap, &container);
            });
        config.environment = proxy.container.environment.clone();
        Ok(config)
    }

    /// The HTTP connection manager, without the filters of extensions.
    fn manager(&self, proxy: &Proxy) -> Result<Value> {
        let mut manager = json!({
            "server_name": "istio-envoy",
            "use_remote_address": proxy.place == Place::Gateway,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "http_filters": [],
        });
        let normalization = self.mesh.pointer("/pathNormalization/normalization").and_then(Value::as_str);
        match normalization.unwrap_or("BASE") {
            "NONE" => {}
            "BASE" | "DEFAULT" => manager["normalize_path"] = true.into(),
            "MERGE_SLASHES" => {
                manager["normalize_path"] = true.into();
                manager["merge_slashes"] = true.into();
            }
            "DECODE_AND_MERGE_SLASHES" => {
                manager["normalize_path"] = true.into();
                manager["merge_slashes"] = true.into();
                manager["path_with_escaped_slashes_action"] = "UNESCAPE_AND_FORWARD".into();
            }
            other => return Err(format!("no path normalization {other}").into()),
        }
        if proxy.place == Place::Gateway {
            let hops = self.mesh.pointer("/defaultConfig/gatewayTopology/numTrustedProxies");
            manager["xff_num_trusted_hops"] = hops.cloned().unwrap_or_else(|| 0.into());
            manager["route_config"] = virtual_services::routes(&self.resources, &proxy.labels)?;
        }
        self.telemetry(proxy, &mut manager)?;
        Ok(manager)
    }

    /// Access log and tracing of Telemetry, and of the provider that it selects in MeshConfig.
    fn telemetry(&self, proxy: &Proxy, manager: &mut Value) -> Result<()> {
        for telemetry in self.resources.of_kind("Telemetry") {
            if identity(telemetry)?.0 != proxy.namespace || !telemetry["spec"]["selector"].is_null() {
                continue;
            }
            for provider in list_at(telemetry, "/spec/accessLogging/0/providers") {
                let providers = list_at(&self.mesh, "/extensionProviders");
                let found = providers.iter().find(|found| found["name"] == provider["name"]);
                let log = &found.ok_or_else(|| format!("no provider {provider}"))?["envoyFileAccessLog"];
                let labels = log.pointer("/logFormat/labels").ok_or("a provider without labels")?;
                manager["access_log"] = json!([{
                    "name": "envoy.access_loggers.file",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                        "path": log["path"],
                        "log_format": {"json_format": labels},
                    },
                }]);
            }
            let tags = telemetry.pointer("/spec/tracing/0/customTags").and_then(Value::as_object);
            let tags = tags.into_iter().flatten().map(|(name, tag)| custom_tag(name, tag));
            manager["tracing"] = json!({
                "random_sampling": {"value": 100},
                "custom_tags": tags.collect::<Result<Vec<_>>>()?,
                "provider": {"name": "envoy.tracers.zipkin", "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
                    "collector_cluster": COLLECTOR,
                    "collector_endpoint": "/api/v2/spans",
                    "collector_endpoint_version": "HTTP_JSON",
                }},
            });
        }
        Ok(())
    }

    /// The filters of WasmPlugins and TrafficExtensions for a proxy.
    pub fn plugins(&self, proxy: &Proxy) -> Result<Vec<Value>> {
        let mut filters = Vec::new();
        for (kind, under) in [("WasmPlugin", "/spec"), ("TrafficExtension", "/spec/wasm")] {
            for resource in self.resources.of_kind(kind) {
                if self.governs(resource, proxy)? {
                    let wasm = resource.pointer(under).ok_or("a TrafficExtension without wasm")?;
                    filters.push(wasm_filter(resource, wasm)?);
                }
            }
        }
        Ok(filters)
    }

    /// Whether a plugin is for this proxy, and for its listener.
    fn governs(&self, resource: &Value, proxy: &Proxy) -> Result<bool> {
        let spec = &resource["spec"];
        if identity(resource)?.0 != proxy.namespace {
            return Ok(false);
        }
        if !text_at(spec, "/phase").is_ok_and(|phase| matches!(phase, "AUTHN" | "AUTHZ" | "STATS")) {
            return Err("a plugin without a phase comes last".into());
        }
        let selected = match (spec.pointer("/selector/matchLabels"), list_at(spec, "/targetRefs")) {
            (Some(_), [_, ..]) => return Err("a selector and targetRefs".into()),
            (Some(_), []) if proxy.place == Place::Waypoint => false,
            (Some(selector), []) => selects(selector, &proxy.labels)?,
            (None, []) => true,
            (None, targets) => proxy.place == Place::Waypoint && self.has_target(targets, proxy),
        };
        let matches = list_at(spec, "/match");
        Ok(selected && (matches.is_empty() || matches.iter().any(|entry| is_matched(entry, proxy))))
    }

    fn has_target(&self, targets: &[Value], proxy: &Proxy) -> bool {
        targets.iter().any(|target| {
            let mut found = self.resources.of_kind(target["kind"].as_str().unwrap_or_default());
            found.any(|found| {
                found["metadata"]["name"] == target["name"]
                    && found["metadata"]["namespace"] == *proxy.namespace
            })
        })
    }
}

/// The cluster to which spans go.
pub const COLLECTOR: &str = "collector";

fn is_matched(entry: &Value, proxy: &Proxy) -> bool {
    let is_server = matches!(proxy.place, Place::SidecarInbound | Place::Waypoint);
    let mode = match entry["mode"].as_str() {
        Some("SERVER") => is_server,
        Some("CLIENT") => !is_server,
        _ => true,
    };
    // The matcher of a waypoint is given port 0.
    let port = if proxy.place == Place::Waypoint { 0 } else { proxy.port };
    let ports = list_at(entry, "/ports");
    mode && (ports.is_empty() || ports.iter().any(|found| found["number"] == port))
}

fn custom_tag(name: &str, tag: &Value) -> Result<Value> {
    if let Some(value) = tag.pointer("/literal/value") {
        return Ok(json!({"tag": name, "literal": {"value": value}}));
    }
    if let Some(value) = tag.pointer("/formatter/value") {
        return Ok(json!({"tag": name, "value": value}));
    }
    Err(format!("no translation of the tag {name}").into())
}

/// The filter of a plugin, after the agent has put the module into a file.
fn wasm_filter(resource: &Value, wasm: &Value) -> Result<Value> {
    let (namespace, name) = identity(resource)?;
    let url = text_at(wasm, "/url")?;
    if !url.starts_with("oci://") {
        return Err(format!("no agent for {url}").into());
    }
    let mut environment = json!({"key_values": {}, "host_env_keys": []});
    for variable in list_at(wasm, "/vmConfig/env") {
        let variable_name = text_at(variable, "/name")?;
        match variable["valueFrom"].as_str() {
            Some("HOST") if variable["value"].is_null() => {
                environment["host_env_keys"].as_array_mut().ok_or("a list")?.push(variable_name.into());
            }
            Some("INLINE") | None => environment["key_values"][variable_name] = variable["value"].clone(),
            _ => return Err(format!("refused by the API server: {variable}").into()),
        }
    }
    let failure_policy = match wasm["failStrategy"].as_str() {
        Some("FAIL_CLOSE") | None => "FAIL_CLOSED",
        Some(policy @ ("FAIL_OPEN" | "FAIL_RELOAD")) => policy,
        Some(other) => return Err(format!("no failStrategy {other}").into()),
    };
    let mut config = json!({
        "name": format!("{namespace}.{name}"),
        "root_id": wasm["pluginName"].as_str().unwrap_or_default(),
        "failure_policy": failure_policy,
        // No vm_id, no allow_on_headers_stop_iteration: there is no field for them.
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": module::path()?}},
            "environment_variables": environment,
        },
    });
    if wasm["pluginConfig"].as_object().is_some_and(|config| !config.is_empty()) {
        let text = wasm["pluginConfig"].to_string();
        config["configuration"] =
            json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    }
    Ok(json!({
        "name": format!("extensions.istio.io/wasmplugin/{namespace}.{name}"),
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config},
    }))
}

fn prepend(manager: &mut Value, filter: Value) {
    manager["http_filters"].as_array_mut().expect("a list").insert(0, filter);
}

/// One filter chain for each server.
fn split(bootstrap: &mut Value, servers: &[(String, Value)]) {
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    let chains = servers.iter().map(|(host, socket)| {
        let mut chain = listener["filter_chains"][0].clone();
        chain["filter_chain_match"] = json!({"server_names": [host]});
        chain["transport_socket"] = socket.clone();
        chain
    });
    let chains: Vec<_> = chains.collect();
    if !chains.is_empty() {
        listener["filter_chains"] = chains.into();
        listener["listener_filters"] = json!([{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        }}]);
    }
}

/// Files of a container are files of the test.
fn mount(node: &mut Value, container: &Container) {
    match node {
        Value::Array(items) => items.iter_mut().for_each(|item| mount(item, container)),
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value.as_str()) {
                    ("filename", Some(path)) if !std::path::Path::new(path).exists() => {
                        *value = container.outside(path).into();
                    }
                    _ => mount(value, container),
                }
            }
        }
        _ => {}
    }
}
