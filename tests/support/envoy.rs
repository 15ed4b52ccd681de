//! A running Envoy: started, observed through its admin interface and its logs, and always stopped.

use super::access_log::{self, LogLine};
use super::client::{self, Protocol};
use super::config::{self, EnvoyConfig, Listener};
use super::http::{Request, Response};
use super::runner::{Prepared, Runner};
use super::{DEADLINE, Result, binary, eventually};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An Envoy process. Dropping it ends it; when its test is failing, its log is printed first.
pub struct Envoy {
    process: Process,
    directory: TempDir,
    admin: SocketAddr,
    listeners: BTreeMap<String, SocketAddr>,
    concurrency: u64,
    version: usize,
}

/// Why Envoy did not start.
#[derive(Debug)]
pub struct StartError {
    /// How it ended; `None` where the harness itself failed or the deadline passed.
    pub exit: Option<ExitStatus>,
    /// What it logged: the place to look for the filter's word on a bad configuration.
    pub log: String,
    /// What happened.
    pub reason: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Envoy did not start: {}\n{}", self.reason, self.log)
    }
}

impl std::error::Error for StartError {}

/// What became of a listener update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// All workers serve the new listeners.
    Applied,
    /// Envoy refused them and serves the old ones.
    Rejected,
}

impl Envoy {
    /// Starts with that configuration and waits until it serves.
    pub async fn start(config: &EnvoyConfig) -> std::result::Result<Self, StartError> {
        let directory = TempDir::new().map_err(unstarted)?;
        if config.dynamic_listeners {
            let listeners =
                config.listeners.iter().map(|listener| listener.to_json(directory.path())).collect();
            write_listeners(directory.path(), listeners, 0).map_err(unstarted)?;
        }
        let bootstrap = config.bootstrap(directory.path());
        Self::launch(directory, &bootstrap, config).await
    }

    /// Starts with a finished bootstrap; of `config` the runner, environment, concurrency and arguments are used.
    pub async fn launch(
        directory: TempDir,
        bootstrap: &Value,
        config: &EnvoyConfig,
    ) -> std::result::Result<Self, StartError> {
        let file = directory.path().join("bootstrap.json");
        fs::write(&file, bootstrap.to_string()).map_err(unstarted)?;
        let mut process = Process::spawn(directory.path(), &file, config).map_err(unstarted)?;
        let started = Instant::now();
        let admin = loop {
            if let Some(exit) = process.exited() {
                return Err(process.failed(Some(exit), format!("it ended with {exit}")));
            }
            if let Some(admin) = process.ready().await {
                break admin;
            }
            if started.elapsed() > DEADLINE {
                return Err(process.failed(None, format!("it was not ready after {DEADLINE:?}")));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let mut envoy = Self {
            process,
            directory,
            admin,
            listeners: BTreeMap::new(),
            concurrency: config.concurrency.into(),
            version: 0,
        };
        match envoy.find_listeners().await {
            Ok(()) => Ok(envoy),
            Err(error) => Err(envoy.process.failed(None, error.to_string())),
        }
    }

    /// The address of the only or first listener (`ingress`).
    pub fn address(&self) -> SocketAddr {
        self.listener(config::INGRESS)
    }

    /// The address of a listener by name.
    pub fn listener(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("no listener {name} in {:?}", self.listeners))
    }

    /// The address of the admin interface.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Where it works, and where func-e keeps what it keeps of a run.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process id of Envoy, or of the func-e that started it.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// How much memory the process has, in KiB.
    pub fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// The module's lines of JSON that the log has completely by now, parsed; each must be one line at level warning.
    pub fn module_lines(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n')).filter_map(|line| {
            let (head, json) = line.split_once("twilio-guard {")?;
            assert!(head.contains("[warning][wasm]"), "another level: {line}");
            Some(serde_json::from_str(&format!("{{{json}")).unwrap_or_else(|_| panic!("not JSON: {line}")))
        });
        lines.collect()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.exited().is_none()
    }

    /// Asks the admin interface.
    pub async fn admin_get(&self, target: &str) -> Result<Response> {
        admin_get(self.admin, target).await
    }

    /// Everything Envoy has logged, the module's own lines included.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the log contains this text.
    pub async fn wait_for_log(&self, text: &str) -> Result<()> {
        eventually(&format!("{text:?} in Envoy's log"), async || self.log().contains(text).then_some(()))
            .await
    }

    /// A counter or gauge; 0 where it does not exist (yet).
    pub async fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats_matching(name).await?.get(name).copied().unwrap_or_default())
    }

    /// All counters and gauges whose name starts so.
    pub async fn stats_matching(&self, prefix: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.admin_get("/stats").await?.text();
        Ok(text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.starts_with(prefix))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    /// Waits until a counter or gauge is at least this.
    pub async fn wait_for_stat(&self, name: &str, at_least: u64) -> Result<()> {
        eventually(&format!("{name} >= {at_least}"), async || {
            self.stat(name).await.is_ok_and(|value| value >= at_least).then_some(())
        })
        .await
    }

    /// Waits until no request is under way at the first listener. Envoy logs a request before it ends it, so the gauge that
    /// tells of the next one may still count the last.
    pub async fn wait_until_idle(&self) -> Result<()> {
        eventually("the end of every request", async || {
            self.stat("http.ingress.downstream_rq_active").await.is_ok_and(|active| active == 0).then_some(())
        })
        .await
    }

    /// The access log so far.
    pub fn access_log(&self) -> Vec<LogLine> {
        access_log::lines(&read(&config::access_log_file(self.directory.path())))
    }

    /// Waits for the n-th line and returns all that are there.
    pub async fn wait_for_access_log(&self, lines: usize) -> Result<Vec<LogLine>> {
        eventually(&format!("{lines} access-log lines"), async || {
            let log = self.access_log();
            (log.len() >= lines).then_some(log)
        })
        .await
    }

    /// What Envoy has written to its standard output.
    pub fn stdout(&self) -> String {
        read(&self.process.stdout)
    }

    /// Replaces the listeners of a dynamic configuration and waits until every worker serves them, or Envoy has
    /// refused them. Connections that are open stay with the listener that accepted them.
    ///
    /// A listener has to be added before any other is changed: Envoy gives a new listener on port 0 the socket of one
    /// that drains, since both are configured alike. That is reported as an error.
    pub async fn update_listeners(&mut self, listeners: &[Listener]) -> Result<Update> {
        let listeners = listeners.iter().map(|listener| listener.to_json(self.directory.path())).collect();
        self.replace_listeners(listeners).await
    }

    /// The same with listeners as Envoy reads them.
    pub async fn replace_listeners(&mut self, listeners: Vec<Value>) -> Result<Update> {
        const PREFIX: &str = "listener_manager.";
        let before = self.stats_matching(PREFIX).await?;
        self.version += 1;
        write_listeners(self.directory.path(), listeners, self.version)?;
        let update = eventually("the listener update", async || {
            let now = self.stats_matching(PREFIX).await.ok()?;
            let grown = |name: &str| {
                let value = |stats: &BTreeMap<String, u64>| {
                    stats.get(&format!("{PREFIX}{name}")).copied().unwrap_or_default()
                };
                value(&now) - value(&before)
            };
            if grown("lds.update_rejected") > 0 {
                return Some(Update::Rejected);
            }
            let changed = grown("listener_added") + grown("listener_modified");
            let served = grown("lds.update_success") > 0
                && grown("listener_create_success") >= changed * self.concurrency;
            served.then_some(Update::Applied)
        })
        .await?;
        if update == Update::Applied {
            self.find_listeners().await?;
        }
        Ok(update)
    }

    async fn find_listeners(&mut self) -> Result<()> {
        let answer = self.admin_get("/listeners?format=json").await?.json()?;
        let statuses = answer.get("listener_statuses").and_then(Value::as_array).cloned().unwrap_or_default();
        self.listeners = statuses
            .iter()
            .filter_map(|status| {
                let socket = status.pointer("/local_address/socket_address")?;
                let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
                let address = SocketAddr::new(socket.get("address")?.as_str()?.parse().ok()?, port);
                Some((status.get("name")?.as_str()?.to_owned(), address))
            })
            .collect();
        let ports: BTreeSet<_> = self.listeners.values().collect();
        if ports.len() < self.listeners.len() {
            return Err(format!("listeners share a port: {:?}", self.listeners).into());
        }
        Ok(())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- Envoy's log\n{}", self.log());
            for line in self.access_log() {
                eprintln!("---- access log: {}", line.0);
            }
        }
    }
}

/// The child process and the watchdog that outlives us.
struct Process {
    runner: Runner,
    child: Child,
    watchdog: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    admin_file: PathBuf,
}

impl Process {
    fn spawn(directory: &Path, bootstrap: &Path, config: &EnvoyConfig) -> Result<Self> {
        let runner = match &config.runner {
            Some(runner) => runner.clone(),
            None => Runner::chosen()?,
        };
        let printed = directory.join("stdout.log");
        let stderr = directory.join("envoy.log");
        let Prepared { mut command, admin_file, stdout } = runner.prepare(binary::find()?, directory)?;
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TWILIO_"))
        {
            command.env_remove(name);
        }
        let child = command
            .arg("--config-path")
            .arg(bootstrap)
            .args(["--concurrency", &config.concurrency.to_string()])
            // Several run side by side, and none is ever replaced: no shared memory that a kill would leave behind.
            .arg("--disable-hot-restart")
            .args(["--file-flush-interval-msec", "10", "--log-level", "warning"])
            // Plain `info` would open every log with the list of all extensions.
            .args(["--component-log-level", "wasm:info,config:info,upstream:info,admin:info"])
            .args(&config.arguments)
            .envs(config.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&printed)?)
            .stderr(File::create(&stderr)?)
            // Ctrl-C is ours to handle; Envoy would answer it by draining.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{:?} cannot be run: {error}", command.get_program()))?;
        let watchdog = watchdog(child.id(), runner.signal())?;
        Ok(Self { runner, child, watchdog, stdout: stdout.unwrap_or(printed), stderr, admin_file })
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The admin address, once Envoy says that it serves.
    async fn ready(&self) -> Option<SocketAddr> {
        let admin = read(&self.admin_file).trim().parse().ok()?;
        let response = admin_get(admin, "/ready").await.ok()?;
        (response.status == 200).then_some(admin)
    }

    fn log(&self) -> String {
        read(&self.stderr)
    }

    fn failed(&self, exit: Option<ExitStatus>, reason: String) -> StartError {
        StartError { exit, log: self.log(), reason }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: it must not aim at a process id that has been given to somebody else meanwhile.
        let _ = self.watchdog.kill();
        let _ = self.watchdog.wait();
        self.runner.stop(&mut self.child);
    }
}

/// A shell that waits for the end of a pipe which only we hold, and then sends the signal: so Envoy ends with us even
/// where no destructor runs (SIGKILL, abort, a test runner's exit).
pub(super) fn watchdog(process: u32, signal: &str) -> Result<Child> {
    Ok(Command::new("sh")
        .args(["-c", "read -r _; kill -s \"$2\" \"$1\"", "watchdog", &process.to_string(), signal])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?)
}

async fn admin_get(admin: SocketAddr, target: &str) -> Result<Response> {
    client::send(admin, Protocol::Http1, &Request::get(target)).await
}

/// Puts the listeners in place by a rename, which is what Envoy watches for.
pub(super) fn write_listeners(directory: &Path, listeners: Vec<Value>, version: usize) -> Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(config::discovery_response(listeners, version).to_string().as_bytes())?;
    file.persist(config::listeners_file(directory))?;
    Ok(())
}

fn unstarted(error: impl std::fmt::Display) -> StartError {
    StartError { exit: None, log: String::new(), reason: error.to_string() }
}

fn read(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
