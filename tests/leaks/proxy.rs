//! The proxy that the cases are sent through: the same with the filter and, as the control, without.

pub mod parts;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::config::{EnvoyConfig, Listener, WasmFilter};
use crate::support::{Result, binary, module, since};
use crate::{docs, sinks, traps};

/// The token that signs; its text is searched for in every output.
pub const TOKEN: &str = "5f0c9d2b7a1e48c6b3d97f20e1a4c8d6";

/// The key of pseudonyms, likewise.
pub const HASH_KEY: &str = "kx7Qm2vR9tLw4zPb8nYc3hJd6sFg1aUe5oXi0qTr";

/// Whether the filter is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As it ships.
    Present,
    /// The control: what the filter would set is set to raw values, and what may leak is made to leak.
    Absent,
}

/// What is other than docs/redaction.md advises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The router's `suppress_envoy_headers` is off.
    NoSuppression,
    /// Spans keep the tags that Envoy writes.
    NoSpanTags,
    /// Clients' headers that tracing believes are not removed.
    NoHeaderRemoval,
    /// `rewrite_headers` has its default.
    RewriteProtected,
    /// Access logs are written when a request arrives, too.
    LogOnArrival,
    /// Envoy logs at debug.
    DebugLog,
}

/// One proxy.
pub struct Proxy {
    /// Whether the filter is there.
    pub filter: Filter,
    /// What is other than advised.
    pub change: Change,
    /// Format operators, each of which has a log of its own.
    pub operators: Vec<String>,
    /// The listeners that the cases need.
    pub listeners: Vec<&'static str>,
    /// Where logs and trapped modules are.
    pub directory: PathBuf,
    /// The application.
    pub upstream: SocketAddr,
    /// The collector of spans.
    pub collector: SocketAddr,
    /// An address that nobody listens at.
    pub closed: SocketAddr,
}

impl Proxy {
    /// The configuration.
    pub fn config(&self) -> Result<EnvoyConfig> {
        let mut config = EnvoyConfig::new(self.upstream)
            .cluster("collector", self.collector)
            .cluster("unreachable", self.closed)
            .cluster("unhealthy", self.closed)
            .cluster("full", self.closed)
            .env("TWILIO_AUTH_TOKEN", TOKEN)
            .env("PHI_HASH_KEY", HASH_KEY)
            .dynamic_listeners()
            .edit(|bootstrap| {
                bootstrap["layered_runtime"] = json!({"layers": [
                    {"name": "test", "static_layer": {"tracing": {"zipkin": {"min_flush_spans": 1}}}},
                ]});
                for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().into_iter().flatten()
                {
                    if cluster["name"] == "unhealthy" {
                        cluster["load_assignment"]["endpoints"] = json!([]);
                    }
                    if cluster["name"] == "full" {
                        cluster["circuit_breakers"] = json!({"thresholds": [{"max_pending_requests": 0, "max_connections": 0, "max_requests": 0}]});
                    }
                }
            });
        config.listeners = self.listeners(1)?;
        Ok(config)
    }

    /// All listeners; another generation changes the one that is named `updated`.
    pub fn listeners(&self, generation: usize) -> Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for name in &self.listeners {
            listeners.push(self.listener(name, generation)?);
        }
        if self.filter == Filter::Absent {
            listeners.extend([self.names_in_stats()?, self.secrets_in_the_configuration()?]);
        }
        Ok(listeners)
    }

    fn listener(&self, name: &'static str, generation: usize) -> Result<Listener> {
        let generation = if name == "updated" { generation } else { 1 };
        let listener = self.base(name)?;
        let listener = match name {
            "small" => listener.buffer_limit(2048),
            "internal_redirects" => listener.internal_redirects(),
            "connect" => listener.connect(),
            _ => listener,
        };
        let listener = match self.filter {
            Filter::Present => {
                let mut plugin = parts::plugin(name, generation);
                if self.change != Change::RewriteProtected {
                    plugin["redaction"]["rewrite_headers"] = "all".into();
                }
                listener.filter(wasm(name, &self.module(name)?, &plugin))
            }
            Filter::Absent => listener.edit(move |manager| {
                parts::prepend(manager, parts::raw_filter_state());
                manager["stat_prefix"] = format!("{name}{generation}").into();
            }),
        };
        Ok(listener.edit(move |manager| match name {
            "escaped_slashes" => {
                manager["path_with_escaped_slashes_action"] = "UNESCAPE_AND_REDIRECT".into();
            }
            "no_route" => manager["route_config"]["virtual_hosts"][0]["routes"] = json!([]),
            "filter_not_first" => parts::prepend(manager, parts::denying_filter()),
            _ => {}
        }))
    }

    fn module(&self, listener: &str) -> Result<PathBuf> {
        match listener {
            "trap_in_headers" | "reloading" => traps::trap("proxy_on_request_headers", &self.directory),
            "trap_in_body" | "trap_in_body_again" => traps::trap("proxy_on_request_body", &self.directory),
            _ => Ok(module::path()?.to_owned()),
        }
    }

    /// What all listeners share.
    fn base(&self, name: &'static str) -> Result<Listener> {
        let access_logs = sinks::access_logs(&self.directory, &self.operators)?;
        let upstream_log = sinks::upstream_log(&self.directory);
        let tracing = self.tracing()?;
        let removals = self.header_removals(name)?;
        let change = self.change;
        Ok(Listener::new(name).edit(move |manager| {
            manager["access_log"] = access_logs.clone();
            manager["access_log_options"] =
                json!({"flush_access_log_on_new_request": change == Change::LogOnArrival});
            manager["tracing"] = tracing.clone();
            manager["early_header_mutation_extensions"] = removals.clone();
            manager["stat_prefix"] = name.into();
            manager["delayed_close_timeout"] = json!("0.05s");
            manager["request_id_extension"] = parts::trace_everything();
            for filter in manager["http_filters"].as_array_mut().into_iter().flatten() {
                if filter["name"] == "envoy.filters.http.router" {
                    filter["typed_config"]["suppress_envoy_headers"] =
                        (change != Change::NoSuppression).into();
                    filter["typed_config"]["upstream_log"] = upstream_log.clone();
                }
            }
            if let Some(of_listener) = manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut() {
                of_listener.splice(..0, parts::routes());
            }
        }))
    }

    /// What docs/redaction.md says to remove before tracing begins. A forged `x-envoy-original-path` stays where the
    /// filter itself has to replace it.
    fn header_removals(&self, listener: &str) -> Result<Value> {
        if self.filter == Filter::Absent || self.change == Change::NoHeaderRemoval {
            return Ok(json!([]));
        }
        let mut block = docs::block("http_connection_manager: headers that tracing believes")?;
        let mut extensions = block["early_header_mutation_extensions"].take();
        if !["filter_not_first", "trap_in_headers", "reloading"].contains(&listener) {
            let mutations = extensions[0]["typed_config"]["mutations"].as_array_mut();
            let mutations = mutations.ok_or("docs/redaction.md: no mutations")?;
            mutations.retain(|mutation| mutation["remove"] != "x-envoy-original-path");
        }
        Ok(extensions)
    }

    fn tracing(&self) -> Result<Value> {
        let title = match binary::minor()? {
            ..since::HARDENED_FILE => "tracing: Envoy 1.36",
            _ => "tracing: Envoy 1.37 and later",
        };
        let mut tracing = match docs::block(title)? {
            _ if self.filter == Filter::Absent || self.change == Change::NoSpanTags => {
                json!({"custom_tags": []})
            }
            tracing => tracing,
        };
        let tags = tracing["custom_tags"].as_array_mut().ok_or("docs/redaction.md: no custom_tags")?;
        tags.push(json!({"tag": "case", "request_header": {"name": "x-case"}}));
        tracing["spawn_upstream_span"] = true.into();
        tracing["provider"] = json!({"name": "envoy.tracers.zipkin", "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
            "collector_cluster": "collector",
            "collector_endpoint": "/api/v2/spans",
            "collector_endpoint_version": "HTTP_JSON",
        }});
        Ok(tracing)
    }

    /// Control: a filter that names statistics after the path.
    fn names_in_stats(&self) -> Result<Listener> {
        let listener = self.base("path_in_stats")?;
        Ok(listener.edit(|manager| parts::prepend(manager, parts::stats_of_methods())))
    }

    /// Control: the filter with its secrets in the configuration.
    fn secrets_in_the_configuration(&self) -> Result<Listener> {
        let mut plugin = parts::plugin("inline_secrets", 1);
        plugin["allow_inline_secrets"] = true.into();
        plugin["accounts"][0]["auth_tokens"] = json!([{"value": TOKEN}]);
        plugin["redaction"]["hash_key"] = json!({"value": HASH_KEY});
        Ok(self.base("inline_secrets")?.filter(wasm("inline_secrets", module::path()?, &plugin)))
    }
}

fn wasm(name: &str, module: &Path, plugin: &Value) -> WasmFilter {
    let mut filter = WasmFilter::new(module, plugin)
        .named(&format!("twilio_guard_{name}"))
        .host_env_keys(&["TWILIO_AUTH_TOKEN", "PHI_HASH_KEY"]);
    if name.starts_with("trap") {
        // Else equal modules share one VM, and its death.
        filter.vm_id = name.to_owned();
        filter = filter.failure_policy("FAIL_CLOSED");
    }
    filter
}
