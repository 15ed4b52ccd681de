//! The wasm module under test, built from this working tree.

use super::{Result, project_root};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const TARGET: &str = "wasm32-wasip1";

/// The module's path: `TWILIO_GUARD_WASM` where set (to test a released file), else the release build of this tree,
/// made once per process and cheap when fresh.
pub fn path() -> Result<&'static Path> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| locate().map_err(|error| error.to_string()))
        .as_deref()
        .map_err(|error| error.as_str().into())
}

fn locate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TWILIO_GUARD_WASM").filter(|path| !path.is_empty()) {
        let path = std::path::absolute(path)?;
        if !path.is_file() {
            return Err(format!("TWILIO_GUARD_WASM names {}, which is not a file", path.display()).into());
        }
        return Ok(path);
    }
    build()
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .current_dir(project_root())
        // The same command as the Makefile's. Without the library beside it the module is an eighth smaller.
        .args([
            "rustc",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let progress = BufReader::new(child.stderr.take().ok_or("cargo has no stderr")?);
    let messages = BufReader::new(child.stdout.take().ok_or("cargo has no stdout")?);
    let (artifact, target_missing) = std::thread::scope(|scope| {
        // Both pipes are drained at once: a full one would stop cargo.
        let progress = scope.spawn(|| {
            progress.lines().map_while(std::io::Result::ok).fold(false, |missing, line| {
                eprintln!("{line}");
                missing || line.contains("target may not be installed")
            })
        });
        let artifact =
            messages.lines().map_while(std::io::Result::ok).filter_map(|line| artifact(&line)).last();
        (artifact, progress.join().unwrap_or(false))
    });
    if !child.wait()?.success() {
        return Err(if target_missing {
            format!("the Rust target {TARGET} is missing: run `make setup` (rustup target add {TARGET})")
                .into()
        } else {
            "building the wasm module failed; cargo's messages are above".into()
        });
    }
    artifact.ok_or_else(|| "cargo reported no .wasm artifact".into())
}

/// The `.wasm` file that one of cargo's messages names. Asking cargo, rather than composing the path, honours every
/// way to set a target directory.
fn artifact(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}
