//! Docker by its command line, and images of what this machine has installed, for where no registry can be reached.

use super::{Result, binary};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// A Docker engine that answers.
#[derive(Clone, Copy, Debug)]
pub struct Engine(());

impl Engine {
    /// The engine that `docker` speaks to.
    pub fn find() -> Result<Self> {
        run(Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]))
            .map(|_| Self(()))
            .map_err(|error| format!("no Docker engine answers: {error}").into())
    }

    /// The same; where there is none, one line says so for all tests of this process, and no test runner hides it.
    pub fn or_skip() -> Option<Self> {
        static FOUND: OnceLock<Option<Engine>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let found = Self::find();
            if let Err(error) = &found {
                let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
                // Printed with println!, it would be captured.
                let _ = writeln!(std::io::stderr(), "SKIP docker: {reason}");
            }
            found.ok()
        })
    }

    /// What a command prints.
    pub fn docker(&self, arguments: &[&str]) -> Result<String> {
        let output = run(Command::new("docker").args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Whether an image is here, or can be had from its registry.
    pub fn has(&self, image: &str) -> bool {
        ["image inspect", "pull --quiet"].iter().any(|command| {
            let arguments: Vec<_> = command.split(' ').chain([image]).collect();
            self.docker(&arguments).is_ok()
        })
    }

    /// Makes an image of a program and the libraries that it loads, and nothing else.
    pub fn import(&self, program: &Path, name: &str, tag: &str) -> Result<()> {
        let libraries = libraries(program)?;
        let folders: BTreeSet<_> =
            libraries.iter().filter_map(|path| Path::new(path).parent()?.to_str()).collect();
        let folders: Vec<_> = folders.into_iter().collect();
        let entry = format!("/usr/local/bin/{name}");
        let mut docker = Command::new("docker")
            .arg("import")
            .args(["--change", &format!("ENTRYPOINT [\"{entry}\"]")])
            .args(["--change", &format!("ENV LD_LIBRARY_PATH={}", folders.join(":"))])
            .args(["-", tag])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut archive = tar::Builder::new(docker.stdin.take().ok_or("docker has no stdin")?);
        archive.mode(tar::HeaderMode::Deterministic);
        // Docker takes no entries with holes.
        archive.sparse(false);
        let written = libraries.iter().map(String::as_str).chain([entry.as_str()]).try_for_each(|path| {
            let source = if path == entry { program } else { Path::new(path) };
            archive.append_file(path.trim_start_matches('/'), &mut File::open(source)?)
        });
        // Its end is the end of docker's input. Where docker has closed it, docker says why.
        drop(archive);
        succeeded("docker import", &docker.wait_with_output()?)?;
        Ok(written?)
    }
}

/// An image of this machine's Envoy, named after its version.
pub fn envoy(engine: &Engine, name: &str) -> Result<String> {
    let envoy = binary::find()?;
    let tag = format!("{name}:{}", binary::version(envoy)?);
    engine.import(envoy, "envoy", &tag)?;
    Ok(tag)
}

/// Every library that a program loads, the loader included, where the loader will look for it.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let tree = lddtree::DependencyAnalyzer::new("/".into())
        .analyze(program)
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let mut paths = tree.interpreter.into_iter().collect::<BTreeSet<_>>();
    for library in tree.libraries.values() {
        if !library.found() {
            return Err(format!("{} needs {}, which is not here", program.display(), library.name).into());
        }
        paths.insert(library.path.to_str().ok_or("a library's path is not UTF-8")?.to_owned());
    }
    Ok(paths.into_iter().collect())
}

/// Runs a command to its end; what it says on failure is the error.
pub fn run(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name} cannot be run: {error}"))?;
    succeeded(&name, &output)?;
    Ok(output)
}

fn succeeded(name: &str, output: &Output) -> Result<()> {
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}
