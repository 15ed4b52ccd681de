//! What starts Envoy: we do, or func-e. `RUNNER=func-e` chooses the latter for everything that starts an Envoy.

use super::{Result, binary, process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How long func-e may take to end: on SIGTERM it stops Envoy and waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two ways to start Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runner {
    /// The binary itself.
    Envoy,
    /// This func-e, of version 1.5 or later: it takes the binary by `ENVOY_PATH` and looks nothing up.
    FuncE(PathBuf),
}

/// A process that is about to be started.
pub struct Prepared {
    /// The command, complete but for Envoy's own arguments.
    pub command: Command,
    /// The file that Envoy writes its admin address to.
    pub admin_file: PathBuf,
    /// Where Envoy's own standard output goes, if not to that of the command.
    pub stdout: Option<PathBuf>,
}

impl Runner {
    /// The one that `RUNNER` names: `envoy`, which is the default, or `func-e`.
    pub fn chosen() -> Result<Self> {
        Self::named(&std::env::var("RUNNER").unwrap_or_default(), binary::on_path("func-e"))
    }

    /// The one of that name, where this is the func-e that was found.
    pub fn named(name: &str, func_e: Option<PathBuf>) -> Result<Self> {
        match (name, func_e) {
            ("" | "envoy", _) => Ok(Self::Envoy),
            ("func-e", Some(func_e)) => Ok(Self::FuncE(func_e)),
            ("func-e", None) => {
                Err("RUNNER is func-e, and there is no func-e on PATH: see https://func-e.io \
                                     (the packages of that name on PyPI and npm are something else)"
                    .into())
            }
            _ => Err(format!("RUNNER is {name}; it is envoy or func-e").into()),
        }
    }

    /// What to run for an Envoy that works in this directory, func-e's own files included.
    pub fn prepare(&self, envoy: &Path, directory: &Path) -> Result<Prepared> {
        let Self::FuncE(func_e) = self else {
            let admin_file = directory.join("admin.address");
            let mut command = Command::new(envoy);
            command.arg("--admin-address-path").arg(&admin_file);
            return Ok(Prepared { command, admin_file, stdout: None });
        };
        // The directory is this Envoy's alone, so its name tells runs apart.
        let run = directory.file_name().and_then(|name| name.to_str()).ok_or("a directory without a name")?;
        let run = run.trim_start_matches('.');
        let home = directory.join("func-e");
        let (state, runtime) = (home.join("state"), home.join("runtime"));
        fs::create_dir_all(&home)?;
        let mut command = Command::new(func_e);
        // It would take the place of all other folders.
        command.env_remove("FUNC_E_HOME").env("ENVOY_PATH", envoy);
        for (name, folder) in [("CONFIG_HOME", "config"), ("DATA_HOME", "data")] {
            command.env(format!("FUNC_E_{name}"), home.join(folder));
        }
        command.env("FUNC_E_STATE_HOME", &state).env("FUNC_E_RUNTIME_DIR", &runtime);
        command.args(["--run-id", run, "run"]);
        Ok(Prepared {
            command,
            admin_file: runtime.join(run).join("admin-address.txt"),
            stdout: Some(state.join("envoy-runs").join(run).join("stdout.log")),
        })
    }

    /// The signal that ends it, and Envoy with it.
    pub fn signal(&self) -> &'static str {
        match self {
            Self::Envoy => "KILL",
            // Killed, it would leave Envoy behind where the kernel does not see to that.
            Self::FuncE(_) => "TERM",
        }
    }

    /// Ends the process and waits for its end.
    pub fn stop(&self, child: &mut Child) {
        let runs = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if matches!(self, Self::FuncE(_)) && runs(child) {
            let _ = process::signal(child.id(), self.signal());
            let began = Instant::now();
            while began.elapsed() < PATIENCE && runs(child) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // Failure means that it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}
