//! A listener of the test configuration, and the module's instances in its filter chain.

use super::access_log;
use super::config::{Edit, UPSTREAM, access_log_file, address};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A listener on a free port that speaks HTTP/1.1 and HTTP/2 and proxies everything to the upstream.
#[derive(Clone)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The filters before the router, first to last.
    pub filters: Vec<WasmFilter>,
    /// `per_connection_buffer_limit_bytes`, where not Envoy's default of 1 MiB.
    pub buffer_limit: Option<u32>,
    /// Whether websocket upgrades and extended CONNECT are let through.
    pub websockets: bool,
    /// Whether CONNECT is accepted and terminated towards the upstream.
    pub connect: bool,
    /// Whether the upstream's 302 answers are followed inside Envoy.
    pub internal_redirects: bool,
    /// Whether the module is told the address of each connection's other end.
    pub direct_peer: bool,
    edits: Vec<Edit>,
}

impl Listener {
    /// A listener without filters.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            filters: Vec::new(),
            buffer_limit: None,
            websockets: true,
            connect: false,
            internal_redirects: false,
            direct_peer: false,
            edits: Vec::new(),
        }
    }

    /// Adds a filter behind those that are there.
    pub fn filter(mut self, filter: WasmFilter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Sets the buffer limit.
    pub fn buffer_limit(mut self, bytes: u32) -> Self {
        self.buffer_limit = Some(bytes);
        self
    }

    /// Refuses upgrades.
    pub fn no_websockets(mut self) -> Self {
        self.websockets = false;
        self
    }

    /// Accepts CONNECT.
    pub fn connect(mut self) -> Self {
        self.connect = true;
        self
    }

    /// Follows the upstream's redirects.
    pub fn internal_redirects(mut self) -> Self {
        self.internal_redirects = true;
        self
    }

    /// Tells the module who the direct peer is.
    pub fn direct_peer(mut self) -> Self {
        self.direct_peer = true;
        self
    }

    /// Changes the finished HTTP connection manager.
    pub fn edit(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push(Arc::new(edit));
        self
    }

    /// The listener of a process that works in this directory.
    pub fn to_json(&self, directory: &Path) -> Value {
        let mut manager = self.manager(directory);
        self.edits.iter().for_each(|edit| edit(&mut manager));
        manager["@type"] = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.\
                            HttpConnectionManager"
            .into();
        let mut filters = Vec::new();
        if self.direct_peer {
            filters.push(direct_peer());
        }
        filters
            .push(json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}));
        let mut listener = json!({
            "name": self.name,
            "address": address(([127, 0, 0, 1], 0).into()),
            // By default Envoy reuses ports, and where many listeners start at the same time the kernel now and then gives the
            // same free port to two processes. The workers share one socket instead, and are dealt its connections evenly.
            "enable_reuse_port": false,
            "connection_balance_config": {"exact_balance": {}},
            "filter_chains": [{"filters": filters}],
        });
        if let Some(bytes) = self.buffer_limit {
            listener["per_connection_buffer_limit_bytes"] = bytes.into();
        }
        listener
    }

    fn manager(&self, directory: &Path) -> Value {
        let mut upgrades = Vec::new();
        let mut routes = Vec::new();
        if self.websockets {
            upgrades.push(json!({"upgrade_type": "websocket"}));
        }
        if self.connect {
            upgrades.push(json!({"upgrade_type": "CONNECT"}));
            let terminate = json!([{"upgrade_type": "CONNECT", "connect_config": {}}]);
            routes.push(json!({
                "match": {"connect_matcher": {}},
                "route": {"cluster": UPSTREAM, "upgrade_configs": terminate},
            }));
        }
        let mut route = json!({"cluster": UPSTREAM, "timeout": "30s"});
        if self.internal_redirects {
            route["internal_redirect_policy"] = json!({"max_internal_redirects": 3});
        }
        routes.push(json!({"match": {"prefix": "/"}, "route": route}));

        let mut filters: Vec<_> =
            self.filters.iter().enumerate().map(|(position, filter)| filter.to_json(position)).collect();
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }));
        json!({
            "stat_prefix": self.name,
            "codec_type": "AUTO",
            "http_protocol_options": {"enable_trailers": true},
            "http2_protocol_options": {"allow_connect": true},
            "upgrade_configs": upgrades,
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": access_log_file(directory),
                    "log_format": {"text_format_source": {"inline_string": access_log::FORMAT}},
                },
            }],
            "route_config": {
                "name": "routes",
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
            },
            "http_filters": filters,
        })
    }
}

/// The network filter that records the direct peer's address under the key that the module reads.
fn direct_peer() -> Value {
    json!({
        "name": "envoy.filters.network.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [{
                "object_key": "twilio_guard.direct_peer",
                "factory_key": "envoy.string",
                "format_string": {"text_format_source": {
                    "inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
                }},
            }],
        },
    })
}

/// One instance of the module.
#[derive(Clone, Debug)]
pub struct WasmFilter {
    /// The plugin's name, which is also the prefix of its statistics.
    pub name: String,
    /// The plugin configuration: the text of a `StringValue`, or absent.
    pub configuration: Option<String>,
    /// Whether the configuration is handed over as a `Struct` instead: nested values, as Envoy's own YAML has them.
    pub as_struct: bool,
    /// Whether Envoy may hold the headers while the body is read.
    pub allow_on_headers_stop_iteration: bool,
    /// What happens after a trap.
    pub failure_policy: String,
    /// The process's environment variables that the module sees.
    pub host_env_keys: Vec<String>,
    /// The VM's id: instances with equal ids may share a VM and always share data.
    pub vm_id: String,
    /// The module.
    pub module: PathBuf,
}

impl WasmFilter {
    /// An instance configured with this JSON.
    pub fn new(module: &Path, configuration: &Value) -> Self {
        Self::raw(module, Some(configuration.to_string()))
    }

    /// An instance configured with this text, which may be no JSON at all, or without configuration.
    pub fn raw(module: &Path, configuration: Option<String>) -> Self {
        Self {
            name: "twilio_guard".to_owned(),
            configuration,
            as_struct: false,
            allow_on_headers_stop_iteration: true,
            failure_policy: "FAIL_RELOAD".to_owned(),
            host_env_keys: vec!["TWILIO_AUTH_TOKEN".to_owned(), "TWILIO_AUTH_TOKEN_NEXT".to_owned()],
            vm_id: "twilio_guard".to_owned(),
            module: module.to_owned(),
        }
    }

    /// Leaves out the flag that lets Envoy hold the headers.
    pub fn without_header_hold(mut self) -> Self {
        self.allow_on_headers_stop_iteration = false;
        self
    }

    /// Hands the configuration over as a `Struct`.
    pub fn structured(mut self) -> Self {
        self.as_struct = true;
        self
    }

    /// Sets the plugin's name.
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Sets what happens after a trap.
    pub fn failure_policy(mut self, policy: &str) -> Self {
        self.failure_policy = policy.to_owned();
        self
    }

    /// Sets the variables that the module sees.
    pub fn host_env_keys(mut self, names: &[&str]) -> Self {
        self.host_env_keys = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn to_json(&self, position: usize) -> Value {
        let mut config = json!({
            "name": self.name,
            "failure_policy": self.failure_policy,
            "vm_config": {
                "vm_id": self.vm_id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": self.module}},
                "environment_variables": {"host_env_keys": self.host_env_keys},
            },
        });
        if self.allow_on_headers_stop_iteration {
            config["allow_on_headers_stop_iteration"] = true.into();
        }
        if let Some(text) = &self.configuration {
            config["configuration"] = if self.as_struct {
                let value: Value = serde_json::from_str(text).expect("a Struct holds JSON values");
                json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": value})
            } else {
                json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
            };
        }
        json!({
            "name": format!("wasm-{position}"),
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config,
            },
        })
    }
}
