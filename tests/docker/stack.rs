//! The containers of one test. They end with it, however it ends.

use crate::removal::{self, OWN, PROJECT_LABEL, Remover};
use crate::support::client::{self, Protocol};
use crate::support::config::{address, replace};
use crate::support::container::{self, Engine, run};
use crate::support::hardened::{APPLICATION, Authorities, HOST};
use crate::support::http::{Request, Response};
use crate::support::tls::TlsClient;
use crate::support::{Result, binary, eventually, module, project_root, scenarios};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// The filter's configuration in `envoy/hardened.yaml`, a Struct.
const PLUGIN: &str = "/static_resources/listeners/0/filter_chains/0/filters/1/typed_config/http_filters/0/typed_config/config/\
                      configuration/value";

/// A socket that is in no file system.
const SOCKET: &str = r#"{"pipe":{"path":"@twilio_guard_redis"}}"#;

/// What the files' time limits towards the application and Redis become: a slow machine takes longer than they should. The filter
/// takes no more.
const PATIENCE: &str = "5s";

/// The engine, beside Compose; where one of them is missing, a line says so.
pub fn engine_or_skip() -> Option<Engine> {
    let engine = Engine::or_skip()?;
    match compose() {
        Ok(_) => Some(engine),
        Err(error) => {
            // Printed with eprintln!, it would be captured.
            let _ = writeln!(std::io::stderr(), "SKIP docker: {error}");
            None
        }
    }
}

/// Docker Compose with the shipped file: the plugin, or the older program.
pub fn compose() -> Result<Command> {
    let plugin = || {
        let mut docker = Command::new("docker");
        docker.arg("compose");
        docker
    };
    let program = || Command::new("docker-compose");
    let is_here =
        |mut command: Command| command.arg("version").output().is_ok_and(|output| output.status.success());
    let mut command = match (is_here(plugin()), is_here(program())) {
        (true, _) => plugin(),
        (false, true) => program(),
        (false, false) => return Err("Docker Compose is missing: install docker-compose-plugin".into()),
    };
    command.arg("--file").arg(project_root().join("envoy/docker/compose.yaml"));
    Ok(command)
}

/// Running containers.
pub struct Stack {
    engine: Engine,
    project: String,
    authorities: Authorities,
    // Before the files, which the containers read.
    _remover: Remover,
    files: TempDir,
}

impl Stack {
    /// So many Envoys, in front of one application, beside one Redis; all serve.
    pub async fn up(engine: Engine, envoys: usize) -> Result<Self> {
        static STACKS: AtomicUsize = AtomicUsize::new(0);
        removal::of_leftovers(&engine)?;
        let number = STACKS.fetch_add(1, Ordering::Relaxed);
        let project = format!("{}-{number}", *OWN);
        let stack = Self {
            _remover: Remover::new(&project)?,
            files: tempfile::tempdir()?,
            authorities: Authorities::new()?,
            engine,
            project,
        };
        stack.start(envoys)?;
        // What stands behind them first: a request that comes before is refused.
        stack.service("application")?.wait_for_log("listening").await?;
        stack.service("redis")?.wait_for_log("eady to accept connections").await?;
        for envoy in stack.envoys()? {
            envoy.wait_until_ready().await?;
        }
        Ok(stack)
    }

    fn start(&self, envoys: usize) -> Result<()> {
        let folder = self.files.path();
        let tls = folder.join("tls");
        std::fs::create_dir(&tls)?;
        self.authorities.write(&tls)?;
        let application = self.authorities.internal.issue(APPLICATION)?;
        std::fs::write(tls.join("app.crt"), &application.certificate_pem)?;
        std::fs::write(tls.join("app.key"), application.key_pem())?;
        let secrets = scenarios::environment().map(|(name, value)| format!("{name}={value}\n")).concat();
        std::fs::write(folder.join("secrets.env"), secrets + "REDIS_PASSWORD=\n")?;
        std::fs::write(folder.join("envoy.json"), config()?.to_string())?;
        readable(&tls)?;
        readable(&folder.join("envoy.json"))?;

        let files = [("SECRETS", "secrets.env"), ("ENVOY_CONFIG", "envoy.json"), ("TLS", "tls")];
        run(compose()?
            .arg("--file")
            .arg(project_root().join("tests/docker/compose.yaml"))
            .args(["--project-name", &self.project])
            .args(["up", "--detach", "--scale", &format!("envoy={envoys}")])
            .envs(self.images()?)
            .envs(files.map(|(name, file)| (name, folder.join(file))))
            .env("MODULE", module::path()?)
            // A free port of the loopback.
            .env("PUBLISH", "127.0.0.1:"))?;
        Ok(())
    }

    /// The images, by the variables of the files that name them.
    fn images(&self) -> Result<[(&'static str, String); 3]> {
        let name = |part: &str| format!("{}-{part}", self.project);
        let application = self.import(&module::example("application")?, &name("application"))?;
        let envoy =
            self.image("ENVOY_IMAGE", &official_envoy(), || container::envoy(&self.engine, &name("envoy")))?;
        let redis = self.image("REDIS_IMAGE", "redis:7", || {
            let program = binary::on_path("redis-server")
                .ok_or("no image of Redis and no redis-server to make one of: install redis-server")?;
            self.import(&program, &name("redis"))
        })?;
        Ok([("APPLICATION_IMAGE", application), ("ENVOY_IMAGE", envoy), ("REDIS_IMAGE", redis)])
    }

    /// What a variable names, else the official image where it is here or can be had, else one of our own.
    fn image(&self, variable: &str, official: &str, own: impl FnOnce() -> Result<String>) -> Result<String> {
        match std::env::var(variable) {
            Ok(image) if !image.is_empty() => Ok(image),
            _ if self.engine.has(official) => Ok(official.to_owned()),
            _ => own(),
        }
    }

    fn import(&self, program: &Path, tag: &str) -> Result<String> {
        let name = program.file_name().and_then(|name| name.to_str()).ok_or("a program without a name")?;
        self.engine.import(program, name, tag)?;
        Ok(tag.to_owned())
    }

    /// The Envoys.
    pub fn envoys(&self) -> Result<Vec<Container<'_>>> {
        self.containers("envoy")
    }

    /// The only container of another service.
    pub fn service(&self, name: &str) -> Result<Container<'_>> {
        self.containers(name)?.pop().ok_or_else(|| format!("no container of {name}").into())
    }

    fn containers(&self, service: &str) -> Result<Vec<Container<'_>>> {
        let project = format!("label={PROJECT_LABEL}={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let filters = ["--filter", &project, "--filter", &service];
        let ids = self.engine.docker(&[&["ps", "--all", "--quiet"], filters.as_slice()].concat())?;
        Ok(ids.lines().map(|id| Container { stack: self, id: id.to_owned() }).collect())
    }

    /// Whether nothing leads from a network to the outside.
    pub fn is_internal(&self, network: &str) -> Result<bool> {
        Ok(self.engine.docker(&["network", "inspect", "--format", "{{.Internal}}", network])? == "true")
    }

    /// Waits until the application has recorded so many requests, and returns all that are there.
    pub async fn received(&self, requests: usize) -> Result<Vec<Value>> {
        let application = self.service("application")?;
        eventually(&format!("{requests} requests at the application"), async || {
            let logs = application.logs().ok()?;
            let records: Vec<Value> =
                logs.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            (records.len() >= requests).then_some(records)
        })
        .await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for envoy in self.envoys().unwrap_or_default() {
                eprintln!("---- Envoy's log\n{}", envoy.logs().unwrap_or_default());
            }
        }
    }
}

/// A container.
pub struct Container<'a> {
    stack: &'a Stack,
    id: String,
}

impl Container<'_> {
    /// Where a port of it is published.
    pub fn port(&self, port: u16) -> Result<SocketAddr> {
        let published = self.stack.engine.docker(&["port", &self.id, &port.to_string()])?;
        Ok(published.lines().next().ok_or("the port is not published")?.parse()?)
    }

    /// What it has written, on both streams.
    pub fn logs(&self) -> Result<String> {
        let output = run(Command::new("docker").args(["logs", &self.id]))?;
        Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
    }

    /// What the engine says of it.
    pub fn inspect(&self) -> Result<Value> {
        let mut containers: Vec<Value> =
            serde_json::from_str(&self.stack.engine.docker(&["inspect", &self.id])?)?;
        containers.pop().ok_or_else(|| "the container is gone".into())
    }

    /// Sends a request to an Envoy, as Twilio would.
    pub async fn send(&self, request: &Request) -> Result<Response> {
        let client = TlsClient::new(HOST, &self.stack.authorities.public);
        client.connect(self.port(8443)?, Protocol::Http2).await?.send(request).await
    }

    /// Waits for a line of an Envoy's access log.
    pub async fn access_log(&self, what: &str, find: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(&format!("{what} in the access log"), async || {
            let logs = self.logs().ok()?;
            logs.lines().filter_map(|line| serde_json::from_str(line).ok()).find(&find)
        })
        .await
    }

    /// Waits until it has written this text.
    async fn wait_for_log(&self, text: &str) -> Result<()> {
        self.wait(&format!("{text:?} in a log"), async || self.logs().is_ok_and(|logs| logs.contains(text)))
            .await
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let ask = async || client::send(self.port(9901)?, Protocol::Http1, &Request::get("/ready")).await;
        self.wait("a ready Envoy", async || ask().await.is_ok_and(|answer| answer.status == 200)).await
    }

    /// Waits for something of a container that runs.
    async fn wait(&self, what: &str, is_there: impl AsyncFn() -> bool) -> Result<()> {
        let waited = eventually(what, async || {
            let runs = self.inspect().is_ok_and(|inspected| inspected["State"]["Running"] == true);
            (!runs || is_there().await).then_some(runs)
        })
        .await;
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{what}: the container has ended:\n{}", self.logs()?).into()),
            Err(error) => Err(format!("{error}\n{}", self.logs()?).into()),
        }
    }
}

/// The image that the shipped file names.
pub fn official_envoy() -> String {
    format!("envoyproxy/envoy:v{}", binary::DEFAULT_VERSION)
}

/// `envoy/hardened.yaml` with the way to Redis of `envoy/replay-redis.yaml`, and with an admin interface that answers outside of its
/// container.
fn config() -> Result<Value> {
    let mut config = shipped("envoy/hardened.yaml")?;
    replace(&mut config, "/admin/address", address(([0, 0, 0, 0], 9901).into()))?;
    let way = shipped("envoy/replay-redis.yaml")?;
    config["bootstrap_extensions"] = way["bootstrap_extensions"].clone();
    for list in ["listeners", "clusters"] {
        // The first is the webhooks' and the application's.
        let further = way["static_resources"][list].as_array().ok_or("no list")?.iter().skip(1).cloned();
        config["static_resources"][list].as_array_mut().ok_or("no list")?.extend(further);
    }
    for cluster in config["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
        cluster["connect_timeout"] = PATIENCE.into();
    }
    // The containers' file systems are read-only, and each has its network's names for itself.
    let text = config
        .to_string()
        .replace(r#"{"pipe":{"mode":384,"path":"/tmp/twilio-guard-redis.sock"}}"#, SOCKET)
        .replace(r#"{"pipe":{"path":"/tmp/twilio-guard-redis.sock"}}"#, SOCKET)
        .replace(r#""op_timeout":"0.1s""#, &format!(r#""op_timeout":"{PATIENCE}""#))
        .replace(
            r#"{"socket_address":{"address":"127.0.0.1","port_value":6379}}"#,
            r#"{"socket_address":{"address":"redis","port_value":6379}}"#,
        );
    let mut config: Value = serde_json::from_str(&text)?;
    let plugin = config.pointer_mut(PLUGIN).ok_or("no configuration of the filter")?;
    plugin["replay"]["store"] = json!({"redis": {"cluster": "twilio_guard_store", "timeout": PATIENCE}});
    Ok(config)
}

fn shipped(file: &str) -> Result<Value> {
    Ok(serde_saphyr::from_str(&std::fs::read_to_string(project_root().join(file))?)?)
}

/// Lets the users inside of the containers read a file or a folder's files.
fn readable(path: &Path) -> Result<()> {
    if path.is_dir() {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
        return std::fs::read_dir(path)?.try_for_each(|entry| readable(&entry?.path()));
    }
    Ok(std::fs::set_permissions(path, PermissionsExt::from_mode(0o644))?)
}
