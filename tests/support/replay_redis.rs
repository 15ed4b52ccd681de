//! `envoy/replay-redis.yaml` as the demo and the tests run it: the file itself, with only addresses, paths and what a test asks for
//! replaced.

use super::config::{Edit, EnvoyConfig, address, own_port, replace};
use super::envoy::{Envoy, Update};
use super::redis::Redis;
use super::{Result, module, project_root};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// The module's configuration in the bootstrap, a text.
pub const PLUGIN: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/\
                          configuration/value";

/// The HTTP connection manager of the bootstrap's first listener.
pub const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

const MODULE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config/\
                      vm_config/code/local/filename";

const ACCESS_LOG: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/access_log/0";

/// The file, in a process that works in `directory`, before these servers.
pub fn bootstrap(directory: &Path, upstream: SocketAddr, redis: &[SocketAddr]) -> Result<Value> {
    let text = std::fs::read_to_string(project_root().join("envoy/replay-redis.yaml"))?;
    let mut bootstrap: Value = serde_saphyr::from_str(&text)?;
    let free = address(([127, 0, 0, 1], 0).into());
    let socket = directory.join("redis.sock");
    let socket = Value::from(socket.to_str().ok_or("the directory's path is not UTF-8")?);
    let endpoint = |address: Value| serde_json::json!({"endpoint": {"address": address}});
    let nodes: Vec<_> = redis.iter().map(|node| endpoint(address(*node))).collect();
    let module = module::path()?;
    let replacements = [
        ("/admin/address", free.clone()),
        ("/static_resources/listeners/0/address", free),
        ("/static_resources/listeners/2/address/pipe/path", socket.clone()),
        (
            "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address",
            address(upstream),
        ),
        (
            "/static_resources/clusters/2/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path",
            socket,
        ),
        ("/static_resources/clusters/3/load_assignment/endpoints/0/lb_endpoints", Value::Array(nodes)),
        (MODULE, module.to_str().ok_or("the module's path is not UTF-8")?.into()),
    ];
    for (pointer, value) in replacements {
        replace(&mut bootstrap, pointer, value)?;
    }
    own_port(&mut bootstrap);
    Ok(bootstrap)
}

/// Passes that Redis has not been told about.
pub const WAITING: &str = "wasmcustom.twilio_guard_replay_settlements_waiting";

/// The longest that the module waits for Redis.
pub const LONGEST_WAIT: &str = "5s";

/// Has each step of the way to Redis take as long as this, where the shipped file has 100 ms.
pub fn wait_for_redis(bootstrap: &mut Value, time: &str) {
    let op_timeout =
        "/static_resources/listeners/2/filter_chains/0/filters/0/typed_config/settings/op_timeout";
    let connects = (1..4).map(|number| format!("/static_resources/clusters/{number}/connect_timeout"));
    for pointer in connects.chain([op_timeout.to_owned()]) {
        replace(bootstrap, &pointer, time.into()).expect("the file has this timeout");
    }
}

/// A replica: an Envoy with the shipped file before an application and Redis.
pub struct Replica {
    /// What is changed in the bootstrap.
    edits: Vec<Edit>,
    config: EnvoyConfig,
    upstream: SocketAddr,
    redis: Vec<SocketAddr>,
}

impl Replica {
    /// With one Redis.
    pub fn new(upstream: SocketAddr, redis: &Redis) -> Self {
        Self::with_nodes(upstream, &[redis.address()])
    }

    /// With these nodes.
    pub fn with_nodes(upstream: SocketAddr, redis: &[SocketAddr]) -> Self {
        let config = EnvoyConfig::new(upstream)
            .concurrency(2)
            .env("TWILIO_AUTH_TOKEN", super::scenarios::TOKEN)
            .env("REDIS_PASSWORD", "");
        Self { edits: Vec::new(), config, upstream, redis: redis.to_vec() }
    }

    /// Sets an environment variable of the process.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.config = self.config.env(name, value);
        self
    }

    /// Sets the number of workers; 2 by default.
    pub fn concurrency(mut self, workers: u32) -> Self {
        self.config = self.config.concurrency(workers);
        self
    }

    /// Changes the bootstrap.
    pub fn edit(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edits.push(Arc::new(edit));
        self
    }

    /// Changes the module's configuration.
    pub fn plugin(self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edit(move |bootstrap| {
            let text = bootstrap.pointer_mut(PLUGIN).expect("the file configures the module");
            let mut plugin: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
            change(&mut plugin);
            *text = plugin.to_string().into();
        })
    }

    /// Leaves `redis_proxy` out: each call has a connection to Redis of its own.
    pub fn direct(self) -> Self {
        self.edit(|bootstrap| {
            let route = "/static_resources/listeners/1/filter_chains/0/filters/0/typed_config/route_config/\
                         virtual_hosts/0/routes/0/route/cluster";
            replace(bootstrap, route, "redis".into()).expect("the file has this route");
        })
    }

    /// Waits until Redis was told what became of so many passes of this replica.
    pub async fn settled(envoy: &Envoy, passes: u64) -> Result<()> {
        envoy.wait_for_stat("wasmcustom.twilio_guard_replay_settlements_shared", passes).await
    }

    /// Waits until this replica has nothing left to tell Redis. Of a request that was answered the gauge knows.
    pub async fn nothing_waits(envoy: &Envoy) -> Result<()> {
        super::eventually("nothing to tell Redis", async || {
            (envoy.stat(WAITING).await.ok()? == 0).then_some(())
        })
        .await
    }

    /// Waits until Redis was told what became of each pass that it granted.
    pub async fn all_settled(redis: &Redis) -> Result<()> {
        const UNDER_WAY: &str = "local n = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
             if redis.call('TYPE', key).ok == 'hash' then n = n + tonumber(redis.call('HGET', key, 'in_flight')) end end return n";
        let is_settled =
            async || redis.cli(&["eval", UNDER_WAY, "0"]).is_ok_and(|passes| passes == "0").then_some(());
        super::eventually("the end of every pass in Redis", is_settled).await
    }

    /// Another configuration of the module, with the file's namespace and store.
    pub fn settings(self, settings: &Value) -> Self {
        let settings = settings.clone();
        self.plugin(move |plugin| {
            let file = std::mem::replace(plugin, settings.clone());
            for key in ["namespace", "store"] {
                plugin["replay"][key] = file["replay"][key].clone();
            }
        })
    }

    /// Waits for Redis as long as the module allows: then a test on a slow machine sees what Redis says, and no timeouts.
    pub fn patient(self) -> Self {
        self.waiting(LONGEST_WAIT)
    }

    /// Waits for Redis as long as this. A test in which Redis does not answer need not be [`Self::patient`].
    pub fn waiting(self, time: &'static str) -> Self {
        self.plugin(move |plugin| plugin["replay"]["store"]["redis"]["timeout"] = time.into())
            .edit(move |bootstrap| wait_for_redis(bootstrap, time))
    }

    /// Changes the HTTP connection manager.
    pub fn manager(self, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.edit(move |bootstrap| change(bootstrap.pointer_mut(MANAGER).expect("the file has a manager")))
    }

    /// Has the first listener come from a file, so that [`Self::update`] can replace it.
    pub fn dynamic_listeners(mut self) -> Self {
        self.config = self.config.dynamic_listeners();
        self
    }

    /// Starts it.
    pub async fn start(&self) -> Result<Envoy> {
        let directory = TempDir::new()?;
        let mut bootstrap = self.bootstrap(directory.path())?;
        if self.config.dynamic_listeners {
            let ingress = take_ingress(&mut bootstrap)?;
            super::envoy::write_listeners(directory.path(), vec![ingress], 0)?;
            super::config::find_listeners_in_file(&mut bootstrap, directory.path());
        }
        Ok(Envoy::launch(directory, &bootstrap, &self.config).await?)
    }

    /// Gives a replica that runs the first listener of this one.
    pub async fn update(&self, envoy: &mut Envoy) -> Result<Update> {
        let ingress = take_ingress(&mut self.bootstrap(envoy.directory())?)?;
        envoy.replace_listeners(vec![ingress]).await
    }

    /// The bootstrap. The access log goes where the harness reads it, and says whose line is whose.
    fn bootstrap(&self, directory: &Path) -> Result<Value> {
        let mut bootstrap = bootstrap(directory, self.upstream, &self.redis)?;
        let log = super::config::access_log_file(directory);
        let mut access_log = bootstrap.pointer(ACCESS_LOG).cloned().ok_or("the file has an access log")?;
        access_log["name"] = "envoy.access_loggers.file".into();
        access_log["typed_config"]["@type"] =
            "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog".into();
        access_log["typed_config"]["path"] = log.to_str().ok_or("the directory's path is not UTF-8")?.into();
        let format = &mut access_log["typed_config"]["log_format"]["text_format_source"]["inline_string"];
        let fields = format.as_str().ok_or("the file has a format")?.trim_end();
        *format = format!("{fields} peer=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%\n").into();
        replace(&mut bootstrap, ACCESS_LOG, access_log)?;
        // No worker is left out.
        bootstrap["static_resources"]["listeners"][0]["connection_balance_config"] =
            serde_json::json!({"exact_balance": {}});
        self.edits.iter().for_each(|edit| edit(&mut bootstrap));
        Ok(bootstrap)
    }
}

/// Takes the first listener out of a bootstrap.
fn take_ingress(bootstrap: &mut Value) -> Result<Value> {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().filter(|own| !own.is_empty());
    Ok(listeners.ok_or("the file has listeners")?.remove(0))
}
