//! What a command ends with, and the two forms in which it is printed.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde_json::{Value, json};

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Whether the answer is good news (exit code 0, else 1).
    pub(crate) ok: bool,
    /// For a person: standard output.
    pub(crate) text: String,
    /// What a person should know beside the answer: standard error.
    pub(crate) note: Option<String>,
    /// For a program (`--json`): an object; `ok` is added to it.
    pub(crate) json: Value,
}

/// Why a command could not answer (exit code 2). One line; it never repeats a value that could be a secret.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: String,
    remedy: String,
}

impl Failure {
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// Prints the result of a command and gives its exit code.
pub(crate) fn print(result: Result<Outcome, Failure>, as_json: bool) -> ExitCode {
    let written = match &result {
        Ok(outcome) if as_json => {
            let mut json = outcome.json.clone();
            if let Some(object) = json.as_object_mut() {
                object.insert("ok".to_owned(), outcome.ok.into());
            }
            write_line(io::stdout(), &json.to_string())
        }
        Ok(outcome) => {
            let note = outcome.note.iter().try_for_each(|note| write_line(io::stderr(), note));
            note.and_then(|()| write_line(io::stdout(), &outcome.text))
        }
        Err(failure) => {
            let error = json!({"ok": false, "error": {"problem": failure.problem, "remedy": failure.remedy}});
            let json = if as_json { write_line(io::stdout(), &error.to_string()) } else { Ok(()) };
            json.and_then(|()| write_line(io::stderr(), &format!("twilio-guard: {failure}")))
        }
    };
    match (written, result) {
        // A reader that went away (`| head`) has seen what it wanted.
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        (_, Ok(outcome)) => ExitCode::from(u8::from(!outcome.ok)),
        (_, Err(_)) => ExitCode::from(2),
    }
}

fn write_line(mut stream: impl io::Write, text: &str) -> io::Result<()> {
    stream.write_all(text.trim_end_matches('\n').as_bytes())?;
    stream.write_all(b"\n")?;
    stream.flush()
}
