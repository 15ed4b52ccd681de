//! Redis Cluster at the end of the way: what Envoy's own cluster type needs beside it (docs/replay-redis.md).

use serde_json::Value;

use super::document::{field, is_true, text};
use super::finding::{Finding, Location};

/// Inspects a cluster at the end of the way. `proxy` are the settings of the `redis_proxy` that leads to it, `plugin` is the
/// filter's configuration at `place`.
pub(super) fn inspect(
    cluster: &Value,
    at: &Location,
    proxy: Option<(&Value, &Location)>,
    plugin: &Value,
    place: &Location,
) -> Vec<Finding> {
    if !is_redis_cluster(cluster) {
        return Vec::new();
    }
    let Some((proxy, proxy_at)) = proxy else {
        let problem = "without redis_proxy nobody looks for the node of a key: every call fails";
        let remedy = "put a redis_proxy before it, as in envoy/replay-redis.yaml";
        return vec![Finding::error("redis_cluster_direct", at.clone(), problem, remedy)];
    };
    let mut findings = Vec::new();
    if plugin.pointer("/replay/cold_start").and_then(Value::as_str) == Some("strict") && !has_hash_tag(plugin)
    {
        let problem = "its script has two keys, and Redis Cluster refuses it: they are in different slots";
        let remedy = "put replay.store.redis.key_prefix in braces, such as \"{twilio-guard}\": then all keys are in one";
        let finding = Finding::error("redis_cluster_cold_start", place.clone(), problem, remedy);
        findings.push(finding.within("replay.cold_start"));
    }
    if text(cluster, "lb_policy") != Some("CLUSTER_PROVIDED") {
        findings.push(Finding::warning(
            "redis_cluster_policy",
            at.clone(),
            "the nodes are not chosen by Redis's hash slots: most calls fail, or take two round trips",
            "set lb_policy: CLUSTER_PROVIDED",
        ));
    }
    if field(cluster, "", "wait_for_warm_on_init").is_none_or(|(waits, _)| waits != &Value::Bool(false)) {
        findings.push(Finding::warning(
            "redis_cluster_start",
            at.clone(),
            "Envoy does not begin to serve anything before Redis Cluster has answered",
            "set wait_for_warm_on_init: false",
        ));
    }
    let settings = field(proxy, "", "settings").map_or(&Value::Null, |(settings, _)| settings);
    if !is_true(settings, "enable_redirection") || field(settings, "", "dns_cache_config").is_none() {
        findings.push(Finding::warning(
            "redis_cluster_redirection",
            proxy_at.clone(),
            "MOVED and ASK are not followed, or not to a name: calls fail while slots move and after a failover",
            "set enable_redirection: true and dns_cache_config in the settings of redis_proxy",
        ));
    }
    findings
}

fn is_redis_cluster(cluster: &Value) -> bool {
    field(cluster, "", "cluster_type")
        .is_some_and(|(kind, _)| text(kind, "name") == Some("envoy.clusters.redis"))
}

/// Whether all keys of the filter share a slot.
fn has_hash_tag(plugin: &Value) -> bool {
    let prefix = plugin.pointer("/replay/store/redis/key_prefix").and_then(Value::as_str);
    prefix.is_some_and(|prefix| prefix.starts_with('{'))
}
