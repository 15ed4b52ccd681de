//! What istiod does with an `EnvoyFilter`, written after `pilot/pkg/networking/core/envoyfilter` of Istio 1.30. What the
//! examples do not use is an error, so that nothing is passed over in silence.

use serde_json::{Value, json};

use crate::documents::{Folder, identity, list_at, selects, text_at};
use crate::istiod::{Place, Proxy};
use crate::support::Result;
use crate::support::config::INGRESS;

const MANAGER: &str = "envoy.filters.network.http_connection_manager";

/// The patches for a proxy, in their order.
pub fn of(resources: &Folder, proxy: &Proxy) -> Result<Vec<Value>> {
    let context = match proxy.place {
        Place::SidecarInbound => "SIDECAR_INBOUND",
        Place::SidecarOutbound => "SIDECAR_OUTBOUND",
        Place::Gateway => "GATEWAY",
        Place::Waypoint => "WAYPOINT",
    };
    let mut patches = Vec::new();
    let mut filters: Vec<_> = resources.of_kind("EnvoyFilter").collect();
    // The greater priority is applied later; among equals, the younger.
    filters.sort_by_key(|resource| resource["spec"]["priority"].as_i64().unwrap_or_default());
    for resource in filters {
        let selector = &resource["spec"]["workloadSelector"]["labels"];
        if identity(resource)?.0 != proxy.namespace || !selects(selector, &proxy.labels)? {
            continue;
        }
        for patch in list_at(resource, "/spec/configPatches") {
            let asked = patch.pointer("/match/context").and_then(Value::as_str).unwrap_or("ANY");
            if asked == context || asked == "ANY" {
                patches.push(patch.clone());
            }
        }
    }
    // `patchListeners` adds listeners once it has patched those that are there, so an added one gets no filters of others.
    patches.sort_by_key(|patch| patch["applyTo"] == "LISTENER" && patch["patch"]["operation"] == "ADD");
    Ok(patches)
}

/// Applies a patch to a bootstrap. One that adds or changes and matches nothing is an error here; istiod passes over it.
pub fn apply(entry: &Value, bootstrap: &mut Value) -> Result<()> {
    let operation = text_at(entry, "/patch/operation")?;
    let value = &entry["patch"]["value"];
    match text_at(entry, "/applyTo")? {
        "CLUSTER" if operation == "ADD" => push(bootstrap, "clusters", value),
        "LISTENER" if operation == "ADD" => push(bootstrap, "listeners", value),
        "LISTENER" if operation == "MERGE" => {
            let mut found = listeners(bootstrap, &entry["match"]["listener"]).peekable();
            found.peek().ok_or("the patch matches nothing")?;
            found.for_each(|listener| merge(listener, value));
            Ok(())
        }
        "HTTP_FILTER" => {
            let mut applied = 0;
            for manager in managers(bootstrap, &entry["match"]["listener"]) {
                applied += usize::from(http_filter(manager, entry, operation, value)?);
            }
            let is_needed = operation != "REMOVE";
            if applied == 0 && is_needed { Err("the patch matches nothing".into()) } else { Ok(()) }
        }
        other => Err(format!("no simulation of {operation} to {other}").into()),
    }
}

fn push(bootstrap: &mut Value, list: &str, value: &Value) -> Result<()> {
    bootstrap["static_resources"][list].as_array_mut().ok_or("a list")?.push(value.clone());
    Ok(())
}

/// The listeners of the name that a match asks for, if it does.
fn listeners<'b>(bootstrap: &'b mut Value, asked: &Value) -> impl Iterator<Item = &'b mut Value> {
    // The inbound listener of a sidecar has the name that these tests give to the listener which they send to.
    let name = asked["name"].as_str().map(|name| if name == "virtualInbound" { INGRESS } else { name });
    let name = name.map(str::to_owned);
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().into_iter().flatten();
    listeners.filter(move |found| name.as_ref().is_none_or(|name| found["name"] == **name))
}

/// The HTTP connection managers that a listener match finds.
fn managers<'b>(bootstrap: &'b mut Value, listener: &Value) -> Vec<&'b mut Value> {
    let chain = &listener["filterChain"];
    let name = chain.pointer("/filter/name").and_then(Value::as_str).unwrap_or(MANAGER).to_owned();
    let sni = chain["sni"].as_str().map(str::to_owned);
    let chains = listeners(bootstrap, listener)
        .flat_map(|found| found["filter_chains"].as_array_mut().into_iter().flatten());
    let chains = chains.filter(|found| {
        let names = list_at(found, "/filter_chain_match/server_names");
        sni.as_ref().is_none_or(|sni| names.contains(&json!(sni)))
    });
    let filters = chains.flat_map(|found| found["filters"].as_array_mut().into_iter().flatten());
    filters.filter(|found| found["name"] == *name).map(|found| &mut found["typed_config"]).collect()
}

fn http_filter(manager: &mut Value, entry: &Value, operation: &str, value: &Value) -> Result<bool> {
    let beside = entry.pointer("/match/listener/filterChain/filter/subFilter/name").and_then(Value::as_str);
    let filters = manager["http_filters"].as_array_mut().ok_or("no HTTP filters")?;
    let position = beside.and_then(|name| filters.iter().position(|filter| filter["name"] == name));
    match (operation, beside, position) {
        ("INSERT_FIRST", None, _) => filters.insert(0, value.clone()),
        ("INSERT_BEFORE", Some(_), Some(position)) => filters.insert(position, value.clone()),
        ("MERGE", Some(_), Some(position)) => merge(&mut filters[position], value),
        ("REMOVE", Some(_), Some(position)) => drop(filters.remove(position)),
        (_, Some(_), None) => return Ok(false),
        _ => return Err(format!("no simulation of {operation}").into()),
    }
    Ok(true)
}

/// `proto.Merge`: messages are merged, lists are joined, the rest is replaced.
fn merge(target: &mut Value, value: &Value) {
    match (target, value) {
        (Value::Object(target), Value::Object(value)) => {
            for (name, value) in value {
                merge(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(value)) => target.extend(value.iter().cloned()),
        (target, value) => *target = value.clone(),
    }
}
