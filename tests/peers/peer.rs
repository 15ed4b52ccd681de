//! The Python process with the official validators.

use crate::support::install::Packages;
use crate::support::{DEADLINE, Result, project_root, sign};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// A running peer. It ends with this value.
pub struct Peer {
    process: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Peer {
    /// Starts a peer, after an installation of its packages when they are absent.
    pub fn start() -> Result<Self> {
        let packages = packages()?;
        let mut process = Command::new("python3")
            .arg(project_root().join("tests/peers/peer.py"))
            .env("PYTHONPATH", packages)
            .env("PYTHONNOUSERSITE", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PYTHONUTF8", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let output = process.stdout.take().ok_or("the peer has no output")?;
        let (sender, answers) = mpsc::channel();
        // A thread of its own, so that waiting for an answer has a deadline.
        std::thread::spawn(move || {
            BufReader::new(output)
                .lines()
                .map_while(std::io::Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self { process, questions, answers })
    }

    /// Sends one batch.
    pub fn send(&mut self, questions: &[Value]) -> Result<()> {
        let input = self.questions.as_mut().ok_or("the peer has no input")?;
        serde_json::to_writer(&mut *input, questions)?;
        input.write_all(b"\n")?;
        Ok(input.flush()?)
    }

    /// Waits for the answers to the oldest batch that has none yet.
    pub fn receive<T: DeserializeOwned>(&mut self, count: usize) -> Result<Vec<T>> {
        let line = self.answers.recv_timeout(DEADLINE).map_err(|_| "the Python peer gave no answer")?;
        let answers: Vec<T> = serde_json::from_str(&line)?;
        if answers.len() != count {
            return Err(format!("{} answers to {count} questions", answers.len()).into());
        }
        Ok(answers)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its loop ends with its input; should it hang, it is ended.
        drop(self.questions.take());
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The folder of the installed packages.
fn packages() -> Result<PathBuf> {
    const MISSING: &str =
        "the official validators need Python: install Python 3 with pip (python3, python3-pip)";
    let python = Command::new("python3").arg("--version").output().map_err(|_| MISSING)?;
    // Compiled packages fit one version of Python.
    let hash = sign::body_sha256(&[REQUIREMENTS.as_bytes(), &python.stdout].concat());
    let requirements: Vec<&str> =
        REQUIREMENTS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let proof = Packages {
        folder: &format!("peers-{}", &hash[..12]),
        what: "the official validators (twilio, sendgrid and cryptography from PyPI, about 10 MB)",
        requirements: &requirements,
        proof: "twilio/request_validator.py",
        missing: "no official validators",
        unfit: "the package twilio has no request validator",
        otherwise: "",
    }
    .installed()?;
    proof.ancestors().nth(2).map(PathBuf::from).ok_or_else(|| "the packages have no folder".into())
}

/// Bytes as text whose characters are the bytes: how they travel in JSON.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
