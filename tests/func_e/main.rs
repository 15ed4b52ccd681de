//! Envoy through func-e: how we call it, and how we read its files. A stand-in takes its place, since most machines have
//! none; where func-e is on PATH, it is tried as well.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::client::{self, Protocol};
use support::config::EnvoyConfig;
use support::envoy::Envoy;
use support::http::Request;
use support::quickstart::{self, Addresses};
use support::runner::Runner;
use support::sign::{SIGNATURE, Twilio};
use support::upstream::Upstream;
use support::{Result, access_log, binary, eventually, module, process, project_root, scenarios};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The stand-in, in a folder of its own.
struct StandIn(TempDir);

impl StandIn {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let program = folder.path().join("func-e");
        // Not written by this process: what it has open for writing, a child that another test is starting has open as well for a
        // moment, and the kernel runs no such file ("Text file busy").
        let copied = Command::new("install")
            .args(["-m", "755"])
            .arg(project_root().join("tests/func_e/func-e.sh"))
            .arg(&program)
            .status()?;
        assert!(copied.success(), "{copied}");
        symlink(binary::find()?, folder.path().join("chosen"))?;
        Ok(Self(folder))
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn program(&self) -> PathBuf {
        self.folder().join("func-e")
    }

    fn config(&self, upstream: &Upstream) -> EnvoyConfig {
        EnvoyConfig::new(upstream.address()).runner(Runner::FuncE(self.program()))
    }

    /// What it was called with, and how it ended.
    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder().join("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

/// The value of a word `name=value`; of `args`, all that follows.
fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_default();
    if name == "args" { rest } else { rest.split(' ').next().unwrap_or_default() }
}

async fn closed(address: SocketAddr) -> Result<()> {
    eventually("a closed port", async || TcpStream::connect(address).await.err()).await?;
    Ok(())
}

#[tokio::test]
async fn it_is_called_as_it_documents_and_its_file_tells_the_admin_address() -> Result<()> {
    let (stand_in, upstream) = (StandIn::new()?, Upstream::start().await?);
    let envoy = Envoy::start(&stand_in.config(&upstream)).await?;
    let calls = stand_in.calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert!(call.starts_with("run "), "{call}");
    // Its own flags come first, and what is Envoy's follows.
    assert_eq!(value(call, "flags"), "");
    assert!(call.contains("flags= --run-id "), "{call}");
    assert!(value(call, "args").starts_with("--config-path "), "{call}");
    assert!(!call.contains("--admin-address-path") && !call.contains("--base-id"), "{call}");
    assert!(call.contains("--disable-hot-restart"), "or it needs a base id of its own: {call}");
    assert_eq!(Path::new(value(call, "envoy")), binary::find()?);
    // Nothing of it is left at home.
    assert_eq!(value(call, "home"), "");
    let runtime = Path::new(value(call, "runtime"));
    assert!(runtime.starts_with(envoy.directory()), "{call}");
    let file = runtime.join(value(call, "id")).join("admin-address.txt");
    assert_eq!(std::fs::read_to_string(file)?.trim(), envoy.admin().to_string());
    assert_eq!(client::send(envoy.address(), Protocol::Http2, &Request::get("/")).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn each_run_has_an_id_of_its_own_and_ends_by_sigterm() -> Result<()> {
    let (stand_in, upstream) = (StandIn::new()?, Upstream::start().await?);
    let config = stand_in.config(&upstream);
    let (one, two) = (Envoy::start(&config).await?, Envoy::start(&config).await?);
    let calls = stand_in.calls();
    assert_ne!(value(&calls[0], "id"), value(&calls[1], "id"));
    let (first, second) = (one.address(), two.address());
    drop(one);
    closed(first).await?;
    assert_eq!(client::send(second, Protocol::Http1, &Request::get("/")).await?.status, 200);
    drop(two);
    closed(second).await?;
    // Dropping waits for the end.
    let ended: Vec<_> = stand_in.calls().split_off(2);
    assert_eq!(ended.len(), 2, "{ended:?}");
    assert!(
        ended.iter().all(|line| line.starts_with("ended ") && value(line, "signal") == "TERM"),
        "{ended:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_configuration_that_envoy_refuses_is_reported_with_its_word() -> Result<()> {
    let (stand_in, upstream) = (StandIn::new()?, Upstream::start().await?);
    let config = stand_in.config(&upstream).edit(|bootstrap| bootstrap["no_such_field"] = 1.into());
    let error = Envoy::start(&config).await.err().ok_or("it started")?;
    assert_eq!(error.exit.and_then(|exit| exit.code()), Some(1), "{error}");
    assert!(error.log.contains("no_such_field"), "{error}");
    Ok(())
}

/// Runs itself a second time, as the owner that is killed.
#[tokio::test]
async fn envoy_ends_even_when_the_owner_of_func_e_is_killed() -> Result<()> {
    const FILE: &str = "FUNC_E_OWNER_WRITES_TO";
    let stand_in = StandIn::new()?;
    if let Some(file) = std::env::var_os(FILE) {
        let upstream = Upstream::start().await?;
        let envoy = Envoy::start(&stand_in.config(&upstream)).await?;
        std::fs::write(file, envoy.address().to_string())?;
        return std::future::pending().await;
    }
    let (mut owner, address) =
        process::owner("envoy_ends_even_when_the_owner_of_func_e_is_killed", FILE, stand_in.folder()).await?;
    owner.kill().await?;
    closed(address).await
}

/// Runs itself a second time, with the stand-in on PATH and an Envoy that only it knows.
#[tokio::test]
async fn runner_func_e_takes_the_one_on_path_and_the_envoy_it_has() -> Result<()> {
    const AGAIN: &str = "FUNC_E_ON_PATH";
    if let Some(folder) = std::env::var_os(AGAIN).map(PathBuf::from) {
        assert_eq!(Runner::chosen()?, Runner::FuncE(folder.join("func-e")));
        assert_eq!(binary::find()?, folder.join("chosen"));
        let upstream = Upstream::start().await?;
        let envoy = Envoy::start(&EnvoyConfig::new(upstream.address())).await?;
        assert_eq!(client::send(envoy.address(), Protocol::Http1, &Request::get("/")).await?.status, 200);
        return Ok(());
    }
    let stand_in = StandIn::new()?;
    let path = std::env::var_os("PATH").ok_or("no PATH")?;
    let path =
        std::env::join_paths([stand_in.folder().to_owned()].into_iter().chain(std::env::split_paths(&path)))?;
    let again = tokio::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "runner_func_e_takes_the_one_on_path_and_the_envoy_it_has"])
        .env(AGAIN, stand_in.folder())
        .env("PATH", path)
        .env("RUNNER", "func-e")
        .env_remove("ENVOY_PATH")
        // Would take the place of every folder that we name.
        .env("FUNC_E_HOME", stand_in.folder().join("home"))
        .output()
        .await?;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    let calls = stand_in.calls();
    let words: Vec<_> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    assert_eq!(words, ["which", "run", "ended"]);
    assert_eq!(value(&calls[1], "home"), "");
    Ok(())
}

#[test]
fn a_runner_that_is_not_there_is_an_error_that_says_what_to_do() {
    let func_e = PathBuf::from("/opt/func-e");
    assert_eq!(Runner::named("", Some(func_e.clone())).ok(), Some(Runner::Envoy));
    assert_eq!(Runner::named("envoy", None).ok(), Some(Runner::Envoy));
    assert_eq!(Runner::named("func-e", Some(func_e.clone())).ok(), Some(Runner::FuncE(func_e)));
    for (name, said) in [("func-e", "https://func-e.io"), ("docker", "it is envoy or func-e")] {
        let error = Runner::named(name, None).expect_err(name).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn the_quickstart_runs_and_what_func_e_keeps_holds_no_secret() -> Result<()> {
    the_quickstart_runs_through(StandIn::new()?.program()).await
}

/// The real one, of whatever version is installed.
#[tokio::test]
async fn the_quickstart_runs_through_the_func_e_of_this_machine() -> Result<()> {
    match binary::on_path("func-e") {
        Some(func_e) => the_quickstart_runs_through(func_e).await,
        // Not by a macro: of a test that passes, those are swallowed.
        None => Ok(writeln!(std::io::stderr(), "SKIP: there is no func-e on PATH")?),
    }
}

async fn the_quickstart_runs_through(func_e: PathBuf) -> Result<()> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let upstream = Upstream::start().await?;
    let addresses = Addresses { listener: free, admin: free, upstream: upstream.address() };
    let bootstrap = quickstart::bootstrap(addresses, module::path()?)?;
    // That of the demo is also the end of an account's id.
    let token = "b6f1c0de9a7745d2a3c8e5f00d1e2b3c";
    let config = EnvoyConfig::new(upstream.address())
        .envs(scenarios::environment())
        .env("TWILIO_AUTH_TOKEN", token)
        .runner(Runner::FuncE(func_e));
    let envoy = Envoy::launch(tempfile::tempdir()?, &bootstrap, &config).await?;
    let genuine = Twilio::new(token).form("/sms", &scenarios::MESSAGE);
    assert_eq!(client::send(envoy.address(), Protocol::Http1, &genuine).await?.status, 200);
    assert_eq!(
        client::send(envoy.address(), Protocol::Http2, &genuine.without(SIGNATURE)).await?.status,
        401
    );
    assert_eq!(upstream.count(), 1);
    // Envoy's lines, and none of func-e's.
    let log = eventually("two lines", async || {
        let log = envoy.stdout();
        (access_log::lines(&log).len() == 2).then_some(log)
    })
    .await?;
    assert_eq!(log.lines().count(), 2, "{log}");
    let dump = eventually("the dump of the configuration", async || {
        files(envoy.directory()).into_iter().find(|file| file.ends_with("config_dump.json"))
    })
    .await?;
    let dump = std::fs::read_to_string(dump)?;
    assert!(dump.contains("TWILIO_AUTH_TOKEN"), "it lacks even the names: {dump}");
    for file in files(envoy.directory()) {
        let content = String::from_utf8_lossy(&std::fs::read(&file)?).into_owned();
        assert!(!content.contains(token), "the token is in {}", file.display());
    }
    Ok(())
}

/// Every ordinary file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            Ok(kind) if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}
