//! What Envoy Gateway makes of its resources, written after `internal/xds/translator/{wasm,listener,accesslog,jsonpatch}.go` and
//! the expected outputs beside them, of 1.9.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::documents::{Folder, identity, list_at, text_at};
use crate::patches;
use crate::support::config::{EnvoyConfig, UPSTREAM};
use crate::support::tls::Identity;
use crate::support::{Result, sign};

/// The cluster from which the proxies fetch modules: Envoy Gateway serves them itself.
pub const MODULES: &str = "wasm_cluster";

/// The proxy of the only Gateway: its configuration, before an application and the controller's own server of modules.
pub fn configure(
    resources: &Folder,
    cluster: &Cluster,
    upstream: SocketAddr,
    module: &[u8],
    certificate: (&Identity, &std::path::Path),
) -> Result<EnvoyConfig> {
    let gateway = resources.one("Gateway")?;
    let class = resources.one("GatewayClass")?;
    assert_eq!(gateway["spec"]["gatewayClassName"], class["metadata"]["name"]);
    let proxy = resources.one("EnvoyProxy")?;
    let parameters = &gateway["spec"]["infrastructure"]["parametersRef"];
    assert_eq!((&parameters["kind"], &parameters["name"]), (&proxy["kind"], &proxy["metadata"]["name"]));
    assert_eq!(identity(gateway)?.0, identity(proxy)?.0);

    let mut listener = listener(resources, gateway, &sign::body_sha256(module), certificate)?;
    for policy in resources.of_kind("EnvoyPatchPolicy") {
        attached(&policy["spec"]["targetRef"], gateway)?;
        // One that finds nothing has a status that says so, and the rest is served.
        patches::apply(policy, &mut listener)?;
    }
    let mut config = EnvoyConfig::new(upstream).edit(move |bootstrap| {
        let mut listener = listener.clone();
        listener["name"] = "ingress".into();
        bootstrap["static_resources"]["listeners"] = json!([listener]);
    });
    // Of the namespace of the controller, where its proxies run.
    let container = &proxy["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"];
    config.environment = cluster.environment("envoy-gateway-system", list_at(container, "/env"))?;
    Ok(config)
}

/// The listener, its only filter chain, and the routes that would come by RDS.
fn listener(
    resources: &Folder,
    gateway: &Value,
    digest: &str,
    (identity, folder): (&Identity, &std::path::Path),
) -> Result<Value> {
    let listeners = list_at(gateway, "/spec/listeners");
    let [spec] = listeners else { return Err("one listener was expected".into()) };
    let traffic = resources.one("ClientTrafficPolicy")?;
    attached(list_at(traffic, "/spec/targetRefs").first().ok_or("no target")?, gateway)?;
    let traffic = &traffic["spec"];

    let route = resources.one("HTTPRoute")?;
    assert_eq!(route["spec"]["parentRefs"][0]["name"], gateway["metadata"]["name"]);
    let filters = wasm_filters(resources, route, digest)?;
    let enabled = filters.iter().map(|filter| {
        let on = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
        Ok((text_at(filter, "/name")?.to_owned(), on))
    });
    let enabled = enabled.collect::<Result<serde_json::Map<_, _>>>()?;
    let mut http_filters = filters;
    http_filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": true,
        },
    }));
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "https-443",
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {"max_concurrent_streams": 100, "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1_048_576},
        "use_remote_address": true,
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": true,
        "merge_slashes": traffic.pointer("/path/disableMergeSlashes") != Some(&Value::Bool(true)),
        "path_with_escaped_slashes_action": match traffic.pointer("/path/escapedSlashesAction").and_then(Value::as_str) {
            Some("KeepUnchanged") => "KEEP_UNCHANGED",
            None | Some("UnescapeAndRedirect") => "UNESCAPE_AND_REDIRECT",
            other => return Err(format!("no translation of {other:?}").into()),
        },
        "http_filters": http_filters,
        "route_config": routes(route, spec, &enabled)?,
    });
    manager["access_log"] = access_log(resources.one("EnvoyProxy")?)?;
    let buffer = match traffic.pointer("/connection/bufferLimit").and_then(Value::as_str) {
        Some("1Mi") => 1_048_576,
        None => 32_768,
        other => return Err(format!("no translation of {other:?}").into()),
    };
    assert_eq!((&spec["protocol"], &spec["tls"]["mode"]), (&"HTTPS".into(), &"Terminate".into()));
    Ok(json!({
        // Scheme of names, version 2.
        "name": format!("tcp-{}", spec["port"]),
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "enable_reuse_port": false,
        "per_connection_buffer_limit_bytes": buffer,
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        }}],
        "filter_chains": [{
            "filter_chain_match": {"server_names": [spec["hostname"]]},
            "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
            "transport_socket": transport_socket(identity, folder)?,
        }],
    }))
}

/// The transport socket that ends TLS with this certificate, whose files are put into a folder of their own.
pub fn transport_socket(identity: &Identity, folder: &std::path::Path) -> Result<Value> {
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

fn routes(route: &Value, listener: &Value, enabled: &serde_json::Map<String, Value>) -> Result<Value> {
    assert_eq!(route["spec"]["hostnames"][0], listener["hostname"]);
    let mut routes = Vec::new();
    for rule in list_at(route, "/spec/rules") {
        assert_eq!(
            (&rule["backendRefs"][0]["name"], &rule["backendRefs"][0]["port"]),
            (&"hooks".into(), &80.into())
        );
        for found in list_at(rule, "/matches") {
            let path = match (text_at(found, "/path/type")?, text_at(found, "/path/value")?) {
                ("Exact", path) => json!({"path": path}),
                ("PathPrefix", "/") => json!({"prefix": "/"}),
                other => return Err(format!("no translation of {other:?}").into()),
            };
            routes.push(json!({
                "match": path,
                "route": {"cluster": UPSTREAM, "timeout": rule["timeouts"]["request"],
                    "upgrade_configs": [{"upgrade_type": "websocket"}]},
                "typed_per_filter_config": enabled,
            }));
        }
    }
    Ok(json!({"name": "https", "ignore_port_in_host_matching": true,
        "virtual_hosts": [{"name": "hooks", "domains": route["spec"]["hostnames"], "routes": routes}]}))
}

/// The Wasm filters of the policies for a route: off, until a route turns them on.
fn wasm_filters(resources: &Folder, route: &Value, digest: &str) -> Result<Vec<Value>> {
    let mut filters = Vec::new();
    for policy in resources.of_kind("EnvoyExtensionPolicy") {
        attached(list_at(policy, "/spec/targetRefs").first().ok_or("no target")?, route)?;
        let (namespace, name) = identity(policy)?;
        for (position, wasm) in list_at(policy, "/spec/wasm").iter().enumerate() {
            assert_eq!(wasm["code"]["type"], "Image");
            let id = format!("envoyextensionpolicy/{namespace}/{name}/wasm/{position}");
            let text = if wasm["config"].is_null() { String::new() } else { wasm["config"].to_string() };
            let mut config = json!({
                "name": wasm["name"],
                "root_id": wasm["rootID"],
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
                "vm_config": {
                    "vm_id": id,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"remote": {
                        "http_uri": {"uri": "https://envoy-gateway:18002/module.wasm", "cluster": MODULES, "timeout": "10s"},
                        "sha256": digest,
                    }},
                    "environment_variables": {"host_env_keys": wasm["env"]["hostKeys"]},
                },
            });
            if wasm["failOpen"] == true {
                config["fail_open"] = true.into();
            }
            filters.push(json!({
                "name": format!("envoy.filters.http.wasm/{id}"),
                "disabled": true,
                "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config},
            }));
        }
    }
    Ok(filters)
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

/// A policy is attached to what its target names, in its own namespace.
fn attached(target: &Value, resource: &Value) -> Result<()> {
    assert_eq!(target["group"], "gateway.networking.k8s.io");
    match target["kind"] == resource["kind"] && target["name"] == resource["metadata"]["name"] {
        true => Ok(()),
        false => Err(format!("{target} is not {}", resource["metadata"]).into()),
    }
}
