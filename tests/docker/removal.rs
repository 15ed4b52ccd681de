//! Containers, networks and images of a test end with it, however it ends.

use crate::support::Result;
use crate::support::container::Engine;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// What the names of everything begin with that this process makes: those that run beside it, with the same engine, are told apart by
/// their ids, and by where these ids hold.
pub static OWN: LazyLock<String> = LazyLock::new(|| format!("{}{}", *PREFIX, std::process::id()));

/// The same without the process id. Processes in other containers may share the engine, and not the ids.
static PREFIX: LazyLock<String> = LazyLock::new(|| {
    let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino());
    format!("twilio-guard-test-{namespace:x}-")
});

/// The key of compose's label.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";

const REMOVE: &str = r#"read -r _
docker ps --all --quiet --filter "label=com.docker.compose.project=$1" | xargs -r docker rm --force --volumes
docker network ls --quiet --filter "label=com.docker.compose.project=$1" | xargs -r docker network rm
docker images --format '{{.Repository}}:{{.Tag}}' --filter "reference=$1" --filter "reference=$1-*" | xargs -r docker rmi"#;

/// A shell that waits for the end of a pipe which only we hold, and then removes a project: so it goes with us even where no
/// destructor runs.
pub struct Remover(Child);

impl Remover {
    /// Of everything that a project of that name will have.
    pub fn new(project: &str) -> Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", REMOVE, "remover", project])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for us.
            .process_group(0)
            .spawn()?;
        Ok(Self(shell))
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        // Waiting closes its input first. Whatever it fails on, the next run finds.
        let _ = self.0.wait();
    }
}

/// Removes what is left of runs whose remover was killed as well.
pub fn of_leftovers(engine: &Engine) -> Result<()> {
    let label = format!("{{{{.Label {PROJECT_LABEL:?}}}}}");
    let found = [
        engine.docker(&["ps", "--all", "--format", &label])?,
        engine.docker(&["network", "ls", "--format", &label])?,
        engine.docker(&["images", "--format", "{{.Repository}}"])?,
    ];
    let projects: BTreeSet<_> = found.iter().flat_map(|names| names.lines()).filter_map(left_over).collect();
    projects.iter().try_for_each(|project| Remover::new(project).map(drop))
}

/// The project that a name belongs to, where the process that made it has ended.
fn left_over(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix(PREFIX.as_str())?.split('-');
    let process: u32 = parts.next()?.parse().ok()?;
    let has_ended = !Path::new("/proc").join(process.to_string()).exists();
    let number = parts.next().map(|number| format!("-{number}")).unwrap_or_default();
    has_ended.then(|| format!("{}{process}{number}", *PREFIX))
}
