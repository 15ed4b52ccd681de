//! From the command line to an exit code.
//!
//! Exit codes: 0 all is well; 1 the answer is bad news (findings, a refused request, a disagreement); 2 the question was not
//! understood (usage, unreadable input).

mod args;
mod check;
mod configuration;
mod curl;
mod har;
mod input;
mod message;
mod mint;
mod outcome;
mod redact;
mod sign;
mod usage;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

/// Runs the tool with the arguments of the process.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Also known where the rest is not understood.
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let result = match Cli::try_parse_from(&arguments) {
        Ok(Cli { command, .. }) => match command {
            Command::Check(args) => check::run(&args),
            Command::Mint(args) => mint::run(&args),
            Command::Sign(args) => sign::run(&args),
            Command::Verify(args) => verify::run(&args),
            Command::Redact(args) => match redact::run(&args, wants_json) {
                Ok(None) => return ExitCode::SUCCESS,
                Ok(Some(outcome)) => Ok(outcome),
                Err(failure) => Err(failure),
            },
        },
        Err(error) if usage::is_answer(&error) => return usage::print(&error),
        Err(error) => Err(usage::failure(&error)),
    };
    outcome::print(result, wants_json)
}
