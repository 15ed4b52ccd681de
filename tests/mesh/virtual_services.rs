//! The routes that istiod makes of Istio's `Gateway` and `VirtualService`.

use serde_json::{Value, json};

use crate::documents::{Folder, identity, list_at, selects, text_at};
use crate::support::Result;
use crate::support::config::UPSTREAM;

/// The routes that the virtual services of a gateway make.
pub fn routes(resources: &Folder, labels: &Value) -> Result<Value> {
    let mut hosts = Vec::new();
    for service in resources.of_kind("VirtualService") {
        let (namespace, _) = identity(service)?;
        for gateway in list_at(service, "/spec/gateways") {
            let mut gateways = resources.of_kind("Gateway");
            let found = gateways.find(|found| {
                found["metadata"]["name"] == *gateway && found["metadata"]["namespace"] == *namespace
            });
            let found = found.ok_or_else(|| format!("no Gateway {gateway}"))?;
            if !selects(&found["spec"]["selector"], labels)? {
                return Err(format!("the Gateway {gateway} selects no pod").into());
            }
            let mut served =
                list_at(found, "/spec/servers").iter().flat_map(|server| list_at(server, "/hosts"));
            let names = list_at(service, "/spec/hosts");
            if !served.any(|host| names.contains(host)) {
                return Err(format!("the Gateway {gateway} does not serve {names:?}").into());
            }
        }
        hosts.push(virtual_host(resources, service)?);
    }
    Ok(json!({"name": "http", "virtual_hosts": hosts}))
}

fn virtual_host(resources: &Folder, service: &Value) -> Result<Value> {
    let mut routes = Vec::new();
    for rule in list_at(service, "/spec/http") {
        destination(resources, rule)?;
        let mut action = json!({"cluster": UPSTREAM, "timeout": rule["timeout"]});
        if rule["timeout"].is_null() {
            action["timeout"] = "0s".into();
        }
        // Istio's own default, since 1.24, where a rule says nothing.
        let default =
            json!({"attempts": 2, "retryOn": "connect-failure,refused-stream,unavailable,cancelled"});
        let retries = rule.get("retries").unwrap_or(&default);
        if retries["attempts"] != 0 {
            action["retry_policy"] =
                json!({"num_retries": retries["attempts"], "retry_on": retries["retryOn"]});
        }
        if let Some(uri) = rule.pointer("/rewrite/uri") {
            action["prefix_rewrite"] = uri.clone();
        }
        if let Some(authority) = rule.pointer("/rewrite/authority") {
            action["host_rewrite_literal"] = authority.clone();
        }
        let matches = match list_at(rule, "/match") {
            [] => vec![json!({"prefix": "/"})],
            matches => matches.iter().map(uri_match).collect::<Result<_>>()?,
        };
        routes.extend(matches.into_iter().map(|found| json!({"match": found, "route": action})));
    }
    let names = list_at(service, "/spec/hosts").iter().filter_map(Value::as_str);
    let domains: Vec<_> = names.flat_map(|name| [name.to_owned(), format!("{name}:*")]).collect();
    Ok(json!({"name": identity(service)?.1, "domains": domains, "routes": routes}))
}

/// A route leads to a Service with that port.
fn destination(resources: &Folder, rule: &Value) -> Result<()> {
    for route in list_at(rule, "/route") {
        let host = text_at(route, "/destination/host")?;
        let port = &route["destination"]["port"]["number"];
        let is_it = |service: &&Value| {
            identity(service)
                .is_ok_and(|(namespace, name)| host == format!("{name}.{namespace}.svc.cluster.local"))
        };
        let service = resources.of_kind("Service").find(is_it);
        let service = service.ok_or_else(|| format!("no Service {host}"))?;
        for deployment in resources.of_kind("Deployment") {
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            if !selects(&service["spec"]["selector"], labels)? {
                return Err(format!("the Service {host} selects no pod").into());
            }
        }
        if !list_at(service, "/spec/ports").iter().any(|found| found["port"] == *port) {
            return Err(format!("the Service {host} has no port {port}").into());
        }
    }
    Ok(())
}

fn uri_match(found: &Value) -> Result<Value> {
    let uri = &found["uri"];
    match (uri["exact"].as_str(), uri["prefix"].as_str()) {
        (Some(path), None) => Ok(json!({"path": path})),
        (None, Some(prefix)) => Ok(json!({"prefix": prefix})),
        _ => Err(format!("no translation of {found}").into()),
    }
}
