//! An Envoy configuration, as the tests vary it.
//!
//! [`EnvoyConfig::new`] is a plain reverse proxy: the control without the module. Tests add [`WasmFilter`]s and turn
//! what they need; what no method covers is changed in the JSON itself ([`Listener::edit`], [`EnvoyConfig::edit`]).

use super::Result;
pub use super::listener::{Listener, WasmFilter};
use super::runner::Runner;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A change to generated JSON.
pub type Edit = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// The cluster that every route leads to.
pub const UPSTREAM: &str = "upstream";

/// The name of the first listener.
pub const INGRESS: &str = "ingress";

/// One Envoy process.
#[derive(Clone)]
pub struct EnvoyConfig {
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// Worker threads.
    pub concurrency: u32,
    /// Environment variables of the process. Inherited ones whose name starts with `TWILIO_` are removed.
    pub environment: Vec<(String, String)>,
    /// Whether the listeners come from a file that can be replaced while Envoy runs.
    pub dynamic_listeners: bool,
    /// What starts Envoy, where that is not left to `RUNNER`.
    pub runner: Option<Runner>,
    /// Further command-line arguments, such as `--component-log-level`.
    pub arguments: Vec<String>,
    clusters: Vec<(String, SocketAddr)>,
    edits: Vec<Edit>,
}

impl EnvoyConfig {
    /// A proxy with one listener, in front of one upstream, with one worker.
    pub fn new(upstream: SocketAddr) -> Self {
        Self {
            listeners: vec![Listener::new(INGRESS)],
            concurrency: 1,
            environment: Vec::new(),
            dynamic_listeners: false,
            runner: None,
            arguments: Vec::new(),
            clusters: vec![(UPSTREAM.to_owned(), upstream)],
            edits: Vec::new(),
        }
    }

    /// The same with a filter on the first listener.
    pub fn filter(mut self, filter: WasmFilter) -> Self {
        self.listeners[0].filters.push(filter);
        self
    }

    /// Changes the first listener.
    pub fn ingress(mut self, change: impl FnOnce(Listener) -> Listener) -> Self {
        self.listeners[0] = change(self.listeners[0].clone());
        self
    }

    /// Adds a listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Adds a cluster with one endpoint.
    pub fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.clusters.push((name.to_owned(), address));
        self
    }

    /// Sets an environment variable of the process; the module sees it when a filter names it in `host_env_keys`.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets several.
    pub fn envs<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self
    }

    /// Sets the number of workers.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Serves the listeners from a file: see `Envoy::update_listeners`.
    pub fn dynamic_listeners(mut self) -> Self {
        self.dynamic_listeners = true;
        self
    }

    /// Starts Envoy that way, whatever `RUNNER` says.
    pub fn runner(mut self, runner: Runner) -> Self {
        self.runner = Some(runner);
        self
    }

    /// Changes the finished bootstrap.
    pub fn edit(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push(Arc::new(edit));
        self
    }

    /// The bootstrap of a process that works in this directory.
    pub fn bootstrap(&self, directory: &Path) -> Value {
        let clusters: Vec<_> = self.clusters.iter().map(|(name, address)| cluster(name, *address)).collect();
        let mut bootstrap = json!({
            "admin": {"address": address(([127, 0, 0, 1], 0).into())},
            "static_resources": {"clusters": clusters},
        });
        if self.dynamic_listeners {
            find_listeners_in_file(&mut bootstrap, directory);
        } else {
            let listeners = self.listeners.iter().map(|listener| listener.to_json(directory)).collect();
            bootstrap["static_resources"]["listeners"] = Value::Array(listeners);
        }
        self.edits.iter().for_each(|edit| edit(&mut bootstrap));
        bootstrap
    }
}

/// The file that a dynamic configuration's listeners come from.
pub fn listeners_file(directory: &Path) -> PathBuf {
    directory.join("listeners.json")
}

/// The file that every listener's access log goes to.
pub fn access_log_file(directory: &Path) -> PathBuf {
    directory.join("access.log")
}

/// Has listeners come from that file.
pub fn find_listeners_in_file(bootstrap: &mut Value, directory: &Path) {
    bootstrap["node"] = json!({"id": "test", "cluster": "test"});
    bootstrap["dynamic_resources"] =
        json!({"lds_config": {"path_config_source": {"path": listeners_file(directory)}}});
}

/// The content of that file.
pub fn discovery_response(mut listeners: Vec<Value>, version: usize) -> Value {
    for listener in &mut listeners {
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
    }
    json!({"version_info": version.to_string(), "resources": listeners})
}

/// A cluster with one endpoint that speaks HTTP/1.1.
pub(super) fn cluster(name: &str, endpoint: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(endpoint)}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
            },
        },
    })
}

/// A socket address as Envoy writes it.
pub fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// Replaces what a configuration has at this JSON pointer; that there is nothing is an error.
pub fn replace(bootstrap: &mut Value, pointer: &str, value: Value) -> Result<()> {
    *bootstrap.pointer_mut(pointer).ok_or_else(|| format!("the configuration has no {pointer}"))? = value;
    Ok(())
}

/// Lets no other process have the free port of a bootstrap's first listener. By default Envoy reuses ports, and where many
/// listeners start at the same time the kernel now and then gives the same free port to two processes. The workers then share one
/// socket.
pub fn own_port(bootstrap: &mut Value) {
    bootstrap["static_resources"]["listeners"][0]["enable_reuse_port"] = false.into();
}
