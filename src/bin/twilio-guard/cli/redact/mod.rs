//! `redact`: what access logs may show, for logs that were written without the filter.

mod field;
mod json;
mod keys;
mod line;
mod shapes;
mod stream;
mod vectors;

use std::io::{self, BufReader, BufWriter};

use twilio_guard::redact::Policy;

use super::args::RedactArgs;
use super::configuration;
use super::input;
use super::outcome::{Failure, Outcome};

/// How much is read and written at once.
const CHUNK: usize = 1 << 16;

/// Runs the command. Without an outcome, the answer is what has been written.
pub(crate) fn run(args: &RedactArgs, wants_json: bool) -> Result<Option<Outcome>, Failure> {
    if let Some(path) = &args.vectors {
        return vectors::run(path).map(Some);
    }
    if wants_json {
        return Err(Failure::new("redact writes lines, not JSON", "leave out --json"));
    }
    let policy = policy(args)?;
    let shown = |line: &[u8]| if args.log_line { line::shown(&policy, line) } else { policy.target(line) };
    let input = BufReader::with_capacity(CHUNK, io::stdin().lock());
    let output = BufWriter::with_capacity(CHUNK, io::stdout().lock());
    match stream::rewrite(input, output, shown) {
        // A reader that went away (`| head`) has seen what it wanted.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            format!("a stream broke ({})", error.kind()),
            "check standard input and standard output",
        )),
        _ => Ok(None),
    }
}

fn policy(args: &RedactArgs) -> Result<Policy, Failure> {
    let policy = match &args.config {
        None => Policy::default(),
        Some(path) => {
            let plan = configuration::plan_to_redact(path, args.place.as_deref())?;
            let rule = match &args.route {
                None => Some(plan.default_rule()),
                Some(name) => plan.rules().find(|rule| rule.name == *name),
            };
            let rule = rule.ok_or_else(|| {
                Failure::new(
                    "the configuration has no such route",
                    "use the name of one of its routes, or leave it out",
                )
            })?;
            rule.redaction.clone()
        }
    };
    match &args.hash_key_env {
        None => Ok(policy),
        Some(name) => Ok(policy.with_hash_key(&input::hash_key(name)?)),
    }
}
