//! Which policies govern which routes, and the filters and transport sockets that come of them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::{AUTHORIZATION, MODULES};
use crate::documents::{Folder, identity, list_at, text_at};
use crate::support::Result;

/// A policy is attached to what its target names, in its own namespace.
pub fn attached(target: &Value, resource: &Value) -> Result<()> {
    assert_eq!(target["group"], "gateway.networking.k8s.io");
    match targets(target, resource) {
        true => Ok(()),
        false => Err(format!("{target} is not {}", resource["metadata"]).into()),
    }
}

fn targets(target: &Value, resource: &Value) -> bool {
    target["kind"] == resource["kind"] && target["name"] == resource["metadata"]["name"]
}

/// The filters of each `HTTPRoute` of the Gateway, by its name; each of them is off until a route turns it on.
pub fn filters(resources: &Folder, gateway: &Value, digest: &str) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut chosen = BTreeMap::new();
    for route in resources.of_kind("HTTPRoute") {
        attached(
            &json!({"group": "gateway.networking.k8s.io", "kind": "Gateway",
            "name": route["spec"]["parentRefs"][0]["name"]}),
            gateway,
        )?;
        let mut filters = Vec::new();
        if let Some(policy) = governing(resources, "EnvoyExtensionPolicy", route, gateway)? {
            filters.extend(wasm_filters(policy, digest)?);
        }
        if let Some(policy) = governing(resources, "SecurityPolicy", route, gateway)? {
            filters.push(authorization_filter(policy)?);
        }
        chosen.insert(text_at(route, "/metadata/name")?.to_owned(), filters);
    }
    Ok(chosen)
}

/// The policy of a kind that governs a route: the one of the route itself, else the one of the Gateway. Of two for the same
/// target the older one, here the first.
fn governing<'r>(
    resources: &'r Folder,
    kind: &str,
    route: &Value,
    gateway: &Value,
) -> Result<Option<&'r Value>> {
    for policy in resources.of_kind(kind) {
        for target in list_at(policy, "/spec/targetRefs") {
            if !resources.of_kind("HTTPRoute").any(|route| targets(target, route)) {
                attached(target, gateway)?;
            }
        }
    }
    let governs = |resource: &Value| {
        let mut policies = resources.of_kind(kind);
        policies
            .find(|policy| list_at(policy, "/spec/targetRefs").iter().any(|target| targets(target, resource)))
    };
    Ok(governs(route).or_else(|| governs(gateway)))
}

fn wasm_filters(policy: &Value, digest: &str) -> Result<Vec<Value>> {
    let mut filters = Vec::new();
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
    Ok(filters)
}

/// The filter that asks a service by HTTP whether a request may pass.
fn authorization_filter(policy: &Value) -> Result<Value> {
    let (namespace, name) = identity(policy)?;
    assert!(policy["spec"]["extAuth"]["http"].is_object(), "only that is simulated");
    Ok(json!({
        "name": format!("envoy.filters.http.ext_authz/securitypolicy/{namespace}/{name}"),
        "disabled": true,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "http_service": {"server_uri": {"uri": "http://authorization", "cluster": AUTHORIZATION, "timeout": "10s"}},
        },
    }))
}

/// How the proxies speak to the application: in clear, or as the `BackendTLSPolicy` for its Service says.
pub fn upstream_tls(resources: &Folder, folder: &Path) -> Result<Value> {
    let Some(policy) = resources.of_kind("BackendTLSPolicy").next() else {
        return Ok(json!({"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
        }}));
    };
    let backend = &resources.one("HTTPRoute")?["spec"]["rules"][0]["backendRefs"][0];
    let target = &policy["spec"]["targetRefs"][0];
    assert_eq!(target, &json!({"group": "", "kind": "Service", "name": backend["name"]}));
    let validation = &policy["spec"]["validation"];
    let authority = &validation["caCertificateRefs"][0];
    let map = resources.one("ConfigMap")?;
    assert_eq!((&authority["kind"], &authority["name"]), (&map["kind"], &map["metadata"]["name"]));
    assert_eq!(identity(policy)?.0, identity(map)?.0);
    let file = folder.join("application-ca.crt");
    std::fs::write(&file, text_at(&map["data"]["ca.crt"], "")?)?;
    let name = &validation["hostname"];
    Ok(json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": name,
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": file},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}],
        }},
    }}))
}
