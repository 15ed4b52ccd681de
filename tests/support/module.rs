//! The wasm module under test, built from this working tree.

use super::{Result, project_root};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use wasmparser::{ExternalKind, Operator, Parser, Payload, TypeRef};

const TARGET: &str = "wasm32-wasip1";

/// What keeps the builder's paths out of the module (Makefile).
const FLAGS: &str = "CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS";

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
    // The same command as the Makefile's. Without the library beside it the module is an eighth smaller.
    build(&["rustc", "--release", "--lib", "--crate-type", "cdylib", "--target", TARGET], "wasm module")
}

/// The program of one of this package's examples.
pub fn example(name: &str) -> Result<PathBuf> {
    build(&["build", "--example", name], name)
}

/// Runs cargo, and finds out what it has made in the end.
fn build(command: &[&str], what: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = Command::new(cargo);
    // What the cargo around us says of this package, build scripts of dependencies would take for a change.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text == "OUT_DIR" || text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    if std::env::var_os(FLAGS).is_none() {
        let home = cargo_home().ok_or("neither CARGO_HOME nor HOME is set")?;
        cargo.env(FLAGS, format!("--remap-path-prefix={}=cargo", home.display()));
    }
    let mut child = cargo
        .current_dir(project_root())
        .args(command)
        .args(["--message-format", "json-render-diagnostics"])
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
            format!("building the {what} failed; cargo's messages are above").into()
        });
    }
    artifact.ok_or_else(|| format!("cargo reported no file of the {what}").into())
}

/// Where cargo keeps the sources of dependencies.
pub fn cargo_home() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("CARGO_HOME").or_else(|| Some(set("HOME")?.join(".cargo")))
}

/// The program or the `.wasm` file that one of cargo's messages names. Asking cargo, rather than composing the path, honours every
/// way to set a target directory.
fn artifact(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if let Some(program) = message.get("executable").and_then(|program| program.as_str()) {
        return Some(program.into());
    }
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The module with a trap where it handles trailers, as a file in this directory.
pub fn dying_of_trailers(directory: &Path) -> Result<PathBuf> {
    let bytes = std::fs::read(path()?)?;
    let (mut imported, mut handler, mut bodies) = (0, None, Vec::new());
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    if export.name == "proxy_on_request_trailers" && export.kind == ExternalKind::Func {
                        handler = Some(export.index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => bodies.push(body),
            _ => {}
        }
    }
    let index = handler.and_then(|handler| handler.checked_sub(imported)).ok_or("no such export")?;
    let body = bodies.get(usize::try_from(index)?).ok_or("no such function")?;
    // The first instruction that does something: blocks are entered in any case.
    let operators: Vec<_> =
        body.get_operators_reader()?.into_iter_with_offsets().collect::<std::result::Result<_, _>>()?;
    let is_block = |(operator, _): &(Operator<'_>, _)| {
        matches!(operator, Operator::Block { .. } | Operator::Loop { .. })
    };
    let mut operators = operators.iter().skip_while(|entry| is_block(entry));
    let (Some((first, start)), Some((_, end))) = (operators.next(), operators.next()) else {
        return Err("a short function".into());
    };
    assert!(!matches!(first, Operator::If { .. }), "{first:?}");
    // `unreachable`, as often as it fits.
    let place = usize::try_from(*start)?..usize::try_from(*end)?;
    let mut bytes = bytes.clone();
    bytes[place].fill(0);
    let file = directory.join("dies.wasm");
    std::fs::write(&file, bytes)?;
    Ok(file)
}
