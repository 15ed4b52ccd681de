//! The command-line tool, from outside: what it prints, and its exit codes.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod docs;
mod leaks;
mod mint;
mod redact;
mod secrets;
mod sign;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The auth token of the examples.
const TOKEN: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";

/// The SendGrid key of the examples; it is not secret.
const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvY7FM3D98pf61k0hNUz7ft2iNitmWrYRRUzuwBMcpaIo3K5hSNKZvdwHiVNAoWFtUATCMOXdNFHvYYGqyudOZw==";

/// A command to run: arguments, environment (nothing else is inherited), standard input.
struct Run<'a> {
    arguments: Vec<&'a str>,
    environment: Vec<(&'a str, &'a str)>,
    input: &'a [u8],
}

/// What it did.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(arguments: &[&str]) -> Ran {
    Run::new(arguments).go()
}

impl<'a> Run<'a> {
    fn new(arguments: &[&'a str]) -> Self {
        Self { arguments: arguments.to_vec(), environment: Vec::new(), input: b"" }
    }

    fn env(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn token(self) -> Self {
        self.env("TWILIO_AUTH_TOKEN", TOKEN).env("SENDGRID_PUBLIC_KEY", PUBLIC_KEY)
    }

    fn input(mut self, input: &'a [u8]) -> Self {
        self.input = input;
        self
    }

    fn go(&self) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().copied())
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool is built");
        let mut stdin = child.stdin.take().expect("piped");
        let output = std::thread::scope(|scope| {
            // Beside reading, or both sides could wait for each other. A command that does not read its input may be gone already.
            scope.spawn(move || drop(stdin.write_all(self.input)));
            child.wait_with_output().expect("it ends")
        });
        Ran {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ran {
    /// Standard output, of a command that answered with good news.
    fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{self:?}");
        self.stdout.trim_end()
    }

    /// Standard output, of a command that answered with bad news.
    fn bad(&self) -> &str {
        assert_eq!(self.code, 1, "{self:?}");
        assert_eq!(self.stderr, "", "bad news are an answer");
        self.stdout.trim_end()
    }

    /// The one line of a command that did not understand.
    fn failure(&self) -> &str {
        assert_eq!(self.code, 2, "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let line = self.stderr.trim_end();
        assert!(line.starts_with("twilio-guard: ") && line.contains("; ") && !line.contains('\n'), "{line}");
        line
    }

    /// Standard output as JSON, which has to agree with the exit code.
    fn json(&self) -> Value {
        let json: Value =
            serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(json["ok"], Value::Bool(self.code == 0), "{self:?}");
        json
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect(folder);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect(folder).path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder}");
    paths
}

/// A file that lives as long as the folder.
fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("a temporary file");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn the_version_is_that_of_the_crate() {
    assert_eq!(run(&["--version"]).ok(), concat!("twilio-guard ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_is_an_answer_and_no_command_is_none() {
    for command in ["check", "sign", "verify", "redact"] {
        assert!(run(&["--help"]).ok().contains(command));
        assert!(run(&[command, "--help"]).ok().contains("--json"));
    }
    assert!(run(&[]).failure().contains("check, sign, verify or redact"));
    assert!(run(&["look"]).failure().contains("check, sign, verify or redact"));
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    for arguments in
        [&["check", "absent.yaml", "--json"][..], &["--json", "sign"], &["verify", "--json", "--x"]]
    {
        let ran = run(arguments);
        assert_eq!(ran.code, 2, "{ran:?}");
        let json = ran.json();
        assert!(json["error"]["problem"].is_string() && json["error"]["remedy"].is_string(), "{json}");
    }
}
