//! What a process has used, and a test process that is there to be killed.

use super::{Result, eventually};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// Runs this test a second time, as the owner of an Envoy whose address it writes to the file that the variable names. Dropping the owner kills
/// it.
pub async fn owner(test: &str, variable: &str, folder: &Path) -> Result<(Child, SocketAddr)> {
    let file = folder.join("address");
    let owner = Command::new(std::env::current_exe()?)
        .args(["--exact", test])
        .env(variable, &file)
        // Where the killed owner leaves its files, so that they go with ours.
        .env("TMPDIR", folder)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let address =
        eventually("the owner's Envoy", async || std::fs::read_to_string(&file).ok()?.parse().ok()).await?;
    Ok((owner, address))
}

/// Sends a process this signal: `TERM`, `STOP`. By a shell, since not every machine has the program `kill`.
pub fn signal(process: u32, name: &str) -> Result<()> {
    let status = std::process::Command::new("sh")
        .args(["-c", "kill -s \"$2\" \"$1\"", "signal", &process.to_string(), name])
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("no signal {name}").into()) }
}

/// CPU time of a process so far, in ticks of 10 ms.
pub fn cpu_ticks(process: u32) -> Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = stat.rsplit_once(')').ok_or("no name")?.1.split_whitespace();
    Ok(fields.skip(11).take(2).map(|field| field.parse::<u64>()).sum::<std::result::Result<u64, _>>()?)
}
