//! The way from the filter to the Redis that replicas share, as far as it stands in one bootstrap.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::document::{bytes, field, list, member, text};
use super::finding::{Finding, Location, Severity};
use super::place::Place;
use super::redis_cluster;

/// The permissions of everybody but the owner.
const OTHERS: u64 = 0o077;

/// Inspects the way of a configuration's `replay.store.redis`. Nothing is said of what is not in the bootstrap.
pub(super) fn inspect(bootstrap: &Value, at: &Location, place: &Place) -> Vec<Finding> {
    let config = place.config.tree().unwrap_or(Value::Null);
    let Some(store) = config.pointer("/replay/store/redis") else { return Vec::new() };
    let Some(cluster) = text(store, "cluster") else { return Vec::new() };
    let Some((resources, path)) = field(bootstrap, &at.path, "static_resources") else { return Vec::new() };
    let discovers = |what| {
        field(bootstrap, "", "dynamic_resources")
            .is_some_and(|(dynamic, _)| field(dynamic, "", what).is_some())
    };
    let mut way = Way {
        at,
        place: &place.location,
        config: &config,
        store,
        clusters: list(resources, &path, "clusters"),
        listeners: list(resources, &path, "listeners"),
        discovers_listeners: discovers("lds_config"),
        followed: BTreeSet::new(),
        findings: Vec::new(),
    };
    let Some((first, path)) = way.cluster(cluster) else {
        let severity = if discovers("cds_config") { Severity::Warning } else { Severity::Error };
        let problem = "the file has no such cluster: without it, Redis can be asked nothing";
        let remedy = "add the cluster, as in envoy/replay-redis.yaml";
        let missing = Finding::error("store_cluster_missing", place.location.clone(), problem, remedy);
        return vec![Finding { severity, ..missing.within("replay.store.redis.cluster") }];
    };
    if !may_speak_http2(first) {
        way.findings.push(Finding::error(
            "store_cluster_http1",
            at.at(path.clone()),
            "the filter's calls are gRPC, and this cluster speaks HTTP/1.1: every call fails",
            "set explicit_http_config: {http2_protocol_options: {}} in HttpProtocolOptions",
        ));
    }
    way.internal_listeners(bootstrap);
    way.follow(first, &path, None);
    way.findings
}

struct Way<'v> {
    at: &'v Location,
    place: &'v Location,
    /// The filter's configuration.
    config: &'v Value,
    store: &'v Value,
    clusters: Vec<(&'v Value, String)>,
    listeners: Vec<(&'v Value, String)>,
    discovers_listeners: bool,
    followed: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl<'v> Way<'v> {
    fn cluster(&self, name: &str) -> Option<(&'v Value, String)> {
        self.clusters.iter().find(|(cluster, _)| text(cluster, "name") == Some(name)).cloned()
    }

    /// Envoy refuses internal listeners that its bootstrap does not turn on.
    fn internal_listeners(&mut self, bootstrap: &Value) {
        let extensions = list(bootstrap, &self.at.path, "bootstrap_extensions");
        let is_on = extensions.iter().any(|(extension, _)| mentions(extension, "InternalListener"));
        let internal =
            self.listeners.iter().find(|(listener, _)| field(listener, "", "internal_listener").is_some());
        if let (Some((_, path)), false) = (internal, is_on) {
            self.findings.push(Finding::error(
                "internal_listener_off",
                self.at.at(path.clone()),
                "Envoy refuses internal listeners without their bootstrap extension",
                "add envoy.bootstrap.internal_listener to bootstrap_extensions, as in envoy/replay-redis.yaml",
            ));
        }
    }

    /// Goes on from a cluster, to which this `redis_proxy` led if one did: through listeners of the same process, or to Redis.
    fn follow(&mut self, cluster: &'v Value, path: &str, proxy: Option<(&'v Value, &Location)>) {
        if !self.followed.insert(path.to_owned()) {
            return;
        }
        let addresses = addresses(cluster, path);
        for (address, path) in &addresses {
            if let Some((internal, _)) = field(address, "", "envoy_internal_address")
                && let Some(name) = text(internal, "server_listener_name")
                && !self.listeners.iter().any(|(listener, _)| text(listener, "name") == Some(name))
            {
                let problem = "no listener of the file has this name: the call ends here";
                let remedy = "add the internal listener, as in envoy/replay-redis.yaml";
                let missing =
                    Finding::error("store_listener_missing", self.at.at(path.clone()), problem, remedy);
                let severity = if self.discovers_listeners { Severity::Warning } else { Severity::Error };
                self.findings.push(Finding { severity, ..missing });
            }
        }
        let is_next = |listener: &Value| addresses.iter().any(|(address, _)| leads_to(address, listener));
        let next: Vec<_> = self.listeners.iter().filter(|(listener, _)| is_next(listener)).cloned().collect();
        let is_internal =
            |(address, _): &(&Value, String)| field(address, "", "envoy_internal_address").is_some();
        if next.is_empty() && !addresses.iter().any(is_internal) {
            self.server(cluster, path, &addresses, proxy);
        }
        for (listener, path) in next {
            let own = redis_proxy(listener, &path).map(|(proxy, path)| (proxy, self.at.at(path)));
            if let Some((proxy, _)) = &own {
                self.findings.extend(proxy_for_others(listener, &self.at.at(path)));
                self.signed_in_twice(proxy);
            }
            let proxy = own.as_ref().map(|(proxy, at)| (*proxy, at)).or(proxy);
            let mut names = BTreeSet::new();
            named_clusters(listener, &mut names);
            for (cluster, path) in names.into_iter().filter_map(|name| self.cluster(name)).collect::<Vec<_>>()
            {
                self.follow(cluster, &path, proxy);
            }
        }
    }

    /// What the filter says to Redis about its connection, a `redis_proxy` takes for its own, or for the connection that all share.
    fn signed_in_twice(&mut self, proxy: &Value) {
        let mut add = |code, key: &str, problem, remedy| {
            let finding = Finding::error(code, self.place.clone(), problem, remedy);
            self.findings.push(finding.within(format!("replay.store.redis.{key}")));
        };
        if field(self.store, "", "database").is_some_and(|(database, _)| database.as_u64() != Some(0)) {
            add(
                "redis_proxy_database",
                "database",
                "redis_proxy sends SELECT to one node, on a connection that all share: captures end up in several databases",
                "remove it, and keep filters apart by namespace or key_prefix",
            );
        }
        let takes_passwords =
            ["downstream_auth_password", "downstream_auth_passwords", "external_auth_provider"]
                .iter()
                .any(|name| field(proxy, "", name).is_some());
        if field(self.store, "", "password").is_some() && !takes_passwords {
            add(
                "redis_proxy_login",
                "password",
                "redis_proxy refuses AUTH unless it has passwords of its own: every call fails",
                "remove it, and let redis_proxy sign in: auth_password of RedisProtocolOptions on the cluster",
            );
        }
    }

    /// Redis itself.
    fn server(
        &mut self,
        cluster: &Value,
        path: &str,
        addresses: &[(&Value, String)],
        proxy: Option<(&Value, &Location)>,
    ) {
        let at = self.at.at(path.to_owned());
        self.findings.extend(redis_cluster::inspect(cluster, &at, proxy, self.config, self.place));
        let is_here = !addresses.is_empty() && addresses.iter().all(|(address, _)| is_local(address));
        if !is_here && !mentions(cluster, "UpstreamTlsContext") {
            self.findings.push(Finding::warning(
                "redis_plaintext",
                at,
                "whoever is on the way to Redis can read the password and forge answers: a replay then passes",
                "add a TLS transport_socket with trusted_ca and match_typed_subject_alt_names",
            ));
        }
    }
}

/// The settings of the listener's `redis_proxy`, where it has one; with their path.
fn redis_proxy<'v>(listener: &'v Value, path: &str) -> Option<(&'v Value, String)> {
    let chains = list(listener, path, "filter_chains").into_iter();
    let mut filters = chains.flat_map(|(chain, path)| list(chain, &path, "filters"));
    filters.find_map(|(filter, path)| {
        let (config, path) = field(filter, &path, "typed_config")?;
        mentions(config, "filters.network.redis_proxy.v3.RedisProxy")
            .then(|| (config.get("value").unwrap_or(config), path))
    })
}

/// Whether others than this proxy can use the listener, whose `redis_proxy` is signed in.
fn proxy_for_others(listener: &Value, at: &Location) -> Option<Finding> {
    let (address, path) = field(listener, &at.path, "address")?;
    let finding = |path: String, problem: &str| {
        let remedy = "give it a Unix socket in a directory of the proxy's own: {pipe: {path: .., mode: 384}}";
        Some(Finding::warning("redis_proxy_reachable", at.at(path), problem, remedy))
    };
    let Some((pipe, path)) = field(address, &path, "pipe") else {
        return finding(
            path,
            "whoever reaches this port can read and change what Redis has, signed in by the proxy",
        );
    };
    let mode = field(pipe, "", "mode").and_then(|(mode, _)| bytes(mode)).filter(|mode| *mode != 0);
    match mode {
        Some(mode) if mode & OTHERS == 0 => None,
        _ => finding(
            member(&path, "mode"),
            "the socket is not the proxy's alone, or that is left to the umask",
        ),
    }
}

/// Whether the cluster may speak HTTP/2: what is negotiated, or follows the client, is not known.
fn may_speak_http2(cluster: &Value) -> bool {
    if field(cluster, "", "http2_protocol_options").is_some() {
        return true;
    }
    let Some((Value::Object(options), _)) = field(cluster, "", "typed_extension_protocol_options") else {
        return false;
    };
    options.values().filter(|own| mentions(own, "upstreams.http.v3.HttpProtocolOptions")).any(|own| {
        let own = own.get("value").unwrap_or(own);
        field(own, "", "explicit_http_config")
            .is_none_or(|(explicit, _)| field(explicit, "", "http2_protocol_options").is_some())
    })
}

/// The addresses of a cluster's endpoints.
fn addresses<'v>(cluster: &'v Value, path: &str) -> Vec<(&'v Value, String)> {
    let Some((assignment, path)) = field(cluster, path, "load_assignment") else { return Vec::new() };
    let localities = list(assignment, &path, "endpoints").into_iter();
    let endpoints = localities.flat_map(|(locality, path)| list(locality, &path, "lb_endpoints"));
    endpoints
        .filter_map(|(endpoint, path)| {
            let (endpoint, path) = field(endpoint, &path, "endpoint")?;
            field(endpoint, &path, "address")
        })
        .collect()
}

/// Whether an endpoint's address is where a listener listens.
fn leads_to(address: &Value, listener: &Value) -> bool {
    let part = |node: &Value, message: &str, name: &str| {
        field(node, "", message)
            .and_then(|(message, _)| field(message, "", name))
            .map(|(value, _)| value.clone())
    };
    if let Some(name) = part(address, "envoy_internal_address", "server_listener_name") {
        return name.as_str() == text(listener, "name");
    }
    let Some((own, _)) = field(listener, "", "address") else { return false };
    let is_same = |message: &str, name: &str| {
        let there = part(address, message, name);
        there.is_some() && there == part(own, message, name)
    };
    is_same("pipe", "path")
        || (is_same("socket_address", "address") && is_same("socket_address", "port_value"))
}

/// Whether what is sent to an address stays on the machine.
fn is_local(address: &Value) -> bool {
    if field(address, "", "pipe").is_some() {
        return true;
    }
    let socket = field(address, "", "socket_address").map_or(&Value::Null, |(socket, _)| socket);
    text(socket, "address").is_some_and(|host| {
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

/// The clusters that routes and proxies of a listener name.
fn named_clusters<'v>(node: &'v Value, names: &mut BTreeSet<&'v str>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| named_clusters(item, names)),
        Value::Object(members) => {
            names.extend(text(node, "cluster"));
            members.values().for_each(|value| named_clusters(value, names));
        }
        _ => {}
    }
}

/// Whether a type with this in its name is used anywhere below.
fn mentions(node: &Value, kind: &str) -> bool {
    match node {
        Value::Array(items) => items.iter().any(|item| mentions(item, kind)),
        Value::Object(members) => {
            let named = ["@type", "type_url", "typeUrl"].iter().filter_map(|key| members.get(*key)?.as_str());
            named.into_iter().any(|name| name.contains(kind))
                || members.values().any(|value| mentions(value, kind))
        }
        _ => false,
    }
}
