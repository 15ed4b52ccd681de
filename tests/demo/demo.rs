//! The demo: a real Envoy with the filter, `envoy/quickstart.yaml`, in front of an echo application.
//!
//! Sends every row of `scenarios`, prints what became of it as seen from outside (the client's status, Envoy's
//! access log, the application's own count), and fails if any row differs from what it promises. With `--serve` it
//! then prints a `curl` line to play with and keeps serving until Ctrl-C or SIGTERM. `PORT` and `ADMIN_PORT` replace
//! 10000 and 9901; 0 takes a free port. With `RUNNER=func-e` it is func-e that starts Envoy.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal, whose output is what it is for"
)]

mod print;
#[path = "../support/mod.rs"]
mod support;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use support::client::{self, Protocol};
use support::config::EnvoyConfig;
use support::envoy::Envoy;
use support::quickstart::{self, Addresses};
use support::runner::Runner;
use support::scenarios::{self, Expected, Scenario};
use support::upstream::Upstream;
use support::{Result, access_log, binary, eventually, module};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let serve = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => false,
        ["--serve"] => true,
        _ => {
            eprintln!("usage: demo [--serve]");
            return ExitCode::from(2);
        }
    };
    match run(serve) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every row was as promised.
fn run(serve: bool) -> Result<bool> {
    let listener = free("PORT", 10000)?;
    let admin = free("ADMIN_PORT", 9901)?;
    // What can take long comes first, while Ctrl-C still ends the process and its children by itself.
    let envoy = binary::find()?;
    let module = module::path()?;
    println!("Envoy   {} {}", binary::version(envoy)?, envoy.display());
    if let Runner::FuncE(func_e) = Runner::chosen()? {
        println!("func-e  {}", func_e.display());
    }
    println!("module  {} ({} KB)", module.display(), std::fs::metadata(module)?.len() / 1000);

    tokio::runtime::Runtime::new()?.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            outcome = demonstrate(listener, admin, serve) => outcome,
            _ = interrupt.recv() => Ok(stopped()),
            _ = terminate.recv() => Ok(stopped()),
        }
    })
}

/// Everything has been stopped by now: it belonged to the future that was dropped.
fn stopped() -> bool {
    println!("\nstopped");
    true
}

/// The address on a port that a variable or the default names. Envoy would share a port that another process already
/// serves, so that is found out here.
fn free(variable: &str, default: u16) -> Result<SocketAddr> {
    let port = match std::env::var(variable) {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| format!("{variable} is not a port number: {text}"))?
        }
        _ => default,
    };
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address).map_err(|error| {
        let other = port.saturating_add(10);
        format!("port {port} cannot be used ({error}); choose another: make run {variable}={other}")
    })?;
    Ok(address)
}

async fn demonstrate(listener: SocketAddr, admin: SocketAddr, serve: bool) -> Result<bool> {
    let upstream = Upstream::start().await?;
    let addresses = Addresses { listener, admin, upstream: upstream.address() };
    let bootstrap = quickstart::bootstrap(addresses, module::path()?)?;
    let config = EnvoyConfig::new(upstream.address()).envs(scenarios::environment()).concurrency(2);
    let mut envoy = Envoy::launch(tempfile::tempdir()?, &bootstrap, &config).await?;
    println!(
        "serving http://{}, admin http://{}, application {}\n",
        envoy.address(),
        envoy.admin(),
        upstream.address()
    );

    let mut rows = Vec::new();
    for scenario in scenarios::all() {
        rows.push(Row::observe(&envoy, &upstream, scenario).await?);
    }
    let heading = ["request", "expected", "status", "reason (Envoy's access log)", "reached app", ""];
    print::table(heading, rows.iter().map(Row::cells));
    let failed = rows.iter().filter(|row| !row.as_promised).count();
    if failed > 0 {
        eprintln!(
            "\n{failed} of {} rows differ from what they promise. Envoy's log:\n{}",
            rows.len(),
            envoy.log()
        );
        return Ok(false);
    }
    println!("\nall {} as promised; the application received none of the refused requests", rows.len());
    let log = envoy.log();
    let explanation = scenarios::explanation(&log).ok_or("Envoy's log explains no refusal")?;
    println!("\nEnvoy's log on \"{}\" tells the operator, and nobody else, the fix:\n", scenarios::EXPLAINED);
    println!("{explanation}");
    if serve {
        print_curl(&envoy);
        follow(&mut envoy).await?;
    }
    Ok(true)
}

/// A scenario and what became of it.
struct Row {
    name: &'static str,
    expected: Expected,
    status: u16,
    details: String,
    reached_upstream: usize,
    as_promised: bool,
}

impl Row {
    async fn observe(envoy: &Envoy, upstream: &Upstream, scenario: Scenario) -> Result<Self> {
        scenario.prepare(upstream);
        let (logged, received) = (access_log::lines(&envoy.stdout()).len(), upstream.count());
        let response = client::send(envoy.address(), Protocol::Http1, &scenario.request).await?;
        let line =
            eventually("the access log", async || access_log::lines(&envoy.stdout()).into_iter().nth(logged));
        let details = line.await?.details().to_owned();
        let reached_upstream = upstream.count() - received;
        Ok(Self {
            name: scenario.name,
            expected: scenario.expected,
            status: response.status,
            as_promised: scenario.expected.holds(&response, &details, reached_upstream),
            details,
            reached_upstream,
        })
    }

    fn cells(&self) -> [String; 6] {
        [
            self.name.to_owned(),
            self.expected.to_string(),
            self.status.to_string(),
            self.details.clone(),
            if self.reached_upstream == 0 { "no" } else { "yes" }.to_owned(),
            if self.as_promised { "ok" } else { "DIFFERS" }.to_owned(),
        ]
    }
}

/// A genuine message, to be pasted; any change to it is refused.
fn print_curl(envoy: &Envoy) {
    let request = scenarios::another_message();
    println!(
        "\nA genuine webhook, ready to paste. Change a letter of it, or send it twice, and it is refused:\n"
    );
    println!("{}\n", print::curl(envoy.address(), &request));
    println!("Counters: curl -s http://{}/stats?filter=twilio_guard", envoy.admin());
    println!("Ctrl-C stops everything. Envoy's access log follows.\n");
}

/// Prints the access log as it grows, for as long as Envoy runs.
async fn follow(envoy: &mut Envoy) -> Result<()> {
    let mut printed = access_log::lines(&envoy.stdout()).len();
    while envoy.is_running() {
        for line in access_log::lines(&envoy.stdout()).iter().skip(printed) {
            println!("{}", line.0);
            printed += 1;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(format!("Envoy ended by itself. Its log:\n{}", envoy.log()).into())
}
