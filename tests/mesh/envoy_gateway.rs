//! What Envoy Gateway makes of its resources, written after `internal/gatewayapi/{envoyextensionpolicy,backendtlspolicy}.go`,
//! `internal/xds/translator/{wasm,listener,accesslog,jsonpatch}.go` and the expected outputs beside them, of 1.9.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::documents::{Folder, identity, list_at, text_at};
use crate::patches;
use crate::support::config::{EnvoyConfig, INGRESS, UPSTREAM};
use crate::support::tls::Identity;
use crate::support::{Result, sign};

mod attach;
pub mod chain;

/// The cluster from which the proxies fetch modules: Envoy Gateway serves them itself.
pub const MODULES: &str = "wasm_cluster";

/// The cluster of the service that a `SecurityPolicy` asks about each request.
pub const AUTHORIZATION: &str = "securitypolicy/authorization";

/// How listeners are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// By namespace, Gateway and listener: the default.
    Version1,
    /// By protocol and port: with the runtime flag `XDSNameSchemeV2`.
    Version2,
}

/// All that the proxies of the only Gateway are made of.
pub struct Input<'a> {
    /// What was applied.
    pub resources: &'a Folder,
    /// The Secrets.
    pub cluster: &'a Cluster,
    /// How the controller names listeners.
    pub names: Names,
    /// The application.
    pub upstream: SocketAddr,
    /// What the controller pulled out of the image.
    pub module: &'a [u8],
    /// The certificate in the Secret of the listener, and a folder for its files.
    pub certificate: (&'a Identity, &'a Path),
}

/// The proxy of the only Gateway: its configuration, before an application and the controller's own server of modules.
pub fn configure(input: &Input<'_>) -> Result<EnvoyConfig> {
    let resources = input.resources;
    let gateway = resources.one("Gateway")?;
    let class = resources.one("GatewayClass")?;
    assert_eq!(gateway["spec"]["gatewayClassName"], class["metadata"]["name"]);
    let proxy = resources.one("EnvoyProxy")?;
    let parameters = &gateway["spec"]["infrastructure"]["parametersRef"];
    assert_eq!((&parameters["kind"], &parameters["name"]), (&proxy["kind"], &proxy["metadata"]["name"]));
    assert_eq!(identity(gateway)?.0, identity(proxy)?.0);

    let listener = listener(input)?;
    let transport = attach::upstream_tls(resources, input.certificate.1)?;
    let mut config = EnvoyConfig::new(input.upstream).edit(move |bootstrap| {
        bootstrap["static_resources"]["listeners"] = json!([listener]);
        let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
        for cluster in clusters.iter_mut().filter(|cluster| cluster["name"] == UPSTREAM) {
            cluster["transport_socket"] = transport.clone();
        }
    });
    // Of the namespace of the controller, where its proxies run.
    let container = &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];
    config.environment = input.cluster.environment("envoy-gateway-system", list_at(container, "/env"))?;
    Ok(config)
}

/// The labels of the pods of a Gateway's proxies, and the namespace that they run in.
pub fn pods(gateway: &Value) -> Result<(Value, &'static str)> {
    let (namespace, name) = identity(gateway)?;
    let labels = json!({
        "app.kubernetes.io/name": "envoy",
        "app.kubernetes.io/component": "proxy",
        "app.kubernetes.io/managed-by": "envoy-gateway",
        "gateway.envoyproxy.io/owning-gateway-namespace": namespace,
        "gateway.envoyproxy.io/owning-gateway-name": name,
    });
    Ok((labels, "envoy-gateway-system"))
}

/// The listener, patched, with the routes that would come by RDS, and under the name by which the tests find it.
pub fn listener(input: &Input<'_>) -> Result<Value> {
    let gateway = input.resources.one("Gateway")?;
    let mut listener = translated(input, gateway)?;
    for policy in input.resources.of_kind("EnvoyPatchPolicy") {
        attach::attached(&policy["spec"]["targetRef"], gateway)?;
        // One that finds nothing has a status that says so, and the rest is served.
        patches::apply(policy, &mut listener)?;
    }
    listener["name"] = INGRESS.into();
    Ok(listener)
}

fn translated(input: &Input<'_>, gateway: &Value) -> Result<Value> {
    let resources = input.resources;
    let listeners = list_at(gateway, "/spec/listeners");
    let [spec] = listeners else { return Err("one listener was expected".into()) };
    let traffic = resources.one("ClientTrafficPolicy")?;
    attach::attached(list_at(traffic, "/spec/targetRefs").first().ok_or("no target")?, gateway)?;
    let traffic = &traffic["spec"];

    let chosen = attach::filters(resources, gateway, &sign::body_sha256(input.module))?;
    let mut filters = BTreeMap::new();
    for filter in chosen.values().flatten() {
        filters.insert(text_at(filter, "/name")?.to_owned(), filter.clone());
    }
    let mut http_filters: Vec<_> = filters.into_values().collect();
    http_filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": true,
        },
    }));
    let proxy = resources.one("EnvoyProxy")?;
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "https-443",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 100,
            "initial_stream_window_size": size(traffic, "/http2/initialStreamWindowSize", 65_536)?,
            "initial_connection_window_size": size(traffic, "/http2/initialConnectionWindowSize", 1_048_576)?},
        "use_remote_address": true,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": true,
        "merge_slashes": traffic.pointer("/path/disableMergeSlashes") != Some(&Value::Bool(true)),
        "path_with_escaped_slashes_action": match traffic.pointer("/path/escapedSlashesAction").and_then(Value::as_str) {
            Some("KeepUnchanged") => "KEEP_UNCHANGED",
            None | Some("UnescapeAndRedirect") => "UNESCAPE_AND_REDIRECT",
            other => return Err(format!("no translation of {other:?}").into()),
        },
        "http_filters": chain::sorted(http_filters, list_at(proxy, "/spec/filterOrder"))?,
        "route_config": routes(resources, spec, &chosen)?,
    });
    manager["access_log"] = access_log(proxy)?;
    let (namespace, name) = identity(gateway)?;
    assert_eq!((&spec["protocol"], &spec["tls"]["mode"]), (&"HTTPS".into(), &"Terminate".into()));
    Ok(json!({
        "name": match input.names {
            Names::Version1 => format!("{namespace}/{name}/{}", text_at(spec, "/name")?),
            Names::Version2 => format!("tcp-{}", spec["port"]),
        },
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "enable_reuse_port": false,
        "per_connection_buffer_limit_bytes": size(traffic, "/connection/bufferLimit", 32_768)?,
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        }}],
        "filter_chains": [{
            "filter_chain_match": {"server_names": [spec["hostname"]]},
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            "transport_socket": transport_socket(input.certificate.0, input.certificate.1)?,
        }],
    }))
}

/// A quantity of bytes, or what stands for none.
fn size(traffic: &Value, pointer: &str, default: u32) -> Result<u32> {
    match traffic.pointer(pointer).and_then(Value::as_str) {
        Some("1Mi") => Ok(1_048_576),
        None => Ok(default),
        other => Err(format!("no translation of {other:?}").into()),
    }
}

/// The transport socket that ends TLS with this certificate, whose files are put into a folder of their own.
pub fn transport_socket(identity: &Identity, folder: &Path) -> Result<Value> {
    let (chain, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    std::fs::write(&chain, &identity.certificate_pem)?;
    std::fs::write(&key, identity.key_pem())?;
    Ok(json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}],
        },
    }}))
}

/// The routes of all that are attached to the listener, the most specific ones first.
fn routes(resources: &Folder, listener: &Value, chosen: &BTreeMap<String, Vec<Value>>) -> Result<Value> {
    let mut routes = Vec::new();
    for route in resources.of_kind("HTTPRoute") {
        assert_eq!(route["spec"]["hostnames"], json!([listener["hostname"]]));
        let enabled = chosen.get(text_at(route, "/metadata/name")?).ok_or("a route of no Gateway")?;
        let on = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
        let enabled = enabled.iter().map(|filter| Ok((text_at(filter, "/name")?.to_owned(), on.clone())));
        let enabled = enabled.collect::<Result<Map<_, _>>>()?;
        for rule in list_at(route, "/spec/rules") {
            let backend = &rule["backendRefs"][0];
            assert_eq!((&backend["name"], &backend["port"]), (&"hooks".into(), &80.into()));
            for found in list_at(rule, "/matches") {
                let (kind, path) = (text_at(found, "/path/type")?, text_at(found, "/path/value")?);
                let matched = match (kind, path) {
                    ("Exact", path) => json!({"path": path}),
                    ("PathPrefix", "/") => json!({"prefix": "/"}),
                    other => return Err(format!("no translation of {other:?}").into()),
                };
                let route = json!({
                    "match": matched,
                    "route": {"cluster": UPSTREAM, "timeout": rule["timeouts"]["request"],
                        "upgrade_configs": [{"upgrade_type": "websocket"}]},
                    "typed_per_filter_config": enabled,
                });
                routes.push((kind == "PathPrefix", route));
            }
        }
    }
    routes.sort_by_key(|(is_prefix, _)| *is_prefix);
    let routes: Vec<_> = routes.into_iter().map(|(_, route)| route).collect();
    Ok(json!({"name": "https", "ignore_port_in_host_matching": true,
        "virtual_hosts": [{"name": "hooks", "domains": [listener["hostname"]], "routes": routes}]}))
}

fn access_log(proxy: &Value) -> Result<Value> {
    let settings = list_at(proxy, "/spec/telemetry/accessLog/settings");
    let [setting] = settings else { return Err("one setting was expected".into()) };
    Ok(json!([{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": text_at(setting, "/sinks/0/file/path")?,
        "log_format": {"json_format": setting["format"]["json"]},
    }}]))
}
