//! The file passes the project's own check, as it stands and with every optional block.

use std::io::Write;
use std::process::{Command, Stdio};

use super::shipped::{BLOCKS, text};
use crate::support::Result;

#[test]
fn the_check_finds_nothing() -> Result<()> {
    for blocks in [&[][..], &BLOCKS] {
        let mut check = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
            .args(["check", "--deny-warnings", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        check.stdin.take().ok_or("no stdin")?.write_all(text(blocks)?.as_bytes())?;
        let output = check.wait_with_output()?;
        assert!(output.status.success(), "{blocks:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}
