//! The file passes the project's own checks, as it stands and with every optional block.

use std::io::Write;
use std::process::{Command, Stdio};

use super::shipped::{BLOCKS, text};
use crate::support::Result;

#[test]
fn the_check_finds_nothing() -> Result<()> {
    check(&["--deny-warnings"], &[])?;
    check(&["--deny-warnings"], &BLOCKS)
}

/// The block `default` has a log for what the filter did not judge, which the check cannot know: it warns.
#[test]
fn no_sink_leaks() -> Result<()> {
    check(&["--leaks", "--deny-warnings"], &[])?;
    check(&["--leaks", "--deny-warnings"], &["mtls", "text", "tracing"])?;
    check(&["--leaks"], &BLOCKS)
}

fn check(arguments: &[&str], blocks: &[&str]) -> Result<()> {
    let mut check = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
        .arg("check")
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    check.stdin.take().ok_or("no stdin")?.write_all(text(blocks)?.as_bytes())?;
    let output = check.wait_with_output()?;
    assert!(output.status.success(), "{blocks:?}: {}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
