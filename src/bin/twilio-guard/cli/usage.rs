//! What clap says about the arguments, in this tool's form: one line, and no value that was given.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::outcome::Failure;

/// Whether the "error" is the answer to `--help` or `--version`.
pub(crate) fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Prints help or version.
pub(crate) fn print(error: &clap::Error) -> ExitCode {
    match error.print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

/// Says what is wrong with the arguments. A value may be a secret in the wrong place, so none is repeated.
pub(crate) fn failure(error: &clap::Error) -> Failure {
    let options = options(error).join(", ");
    let of_options = if options.is_empty() { String::new() } else { format!(": {options}") };
    let problem = match error.kind() {
        ErrorKind::UnknownArgument => format!("an argument is not known{of_options}"),
        ErrorKind::InvalidSubcommand => "the command is not known".to_owned(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            "a command is missing".to_owned()
        }
        ErrorKind::MissingRequiredArgument => format!("something is missing{of_options}"),
        ErrorKind::ArgumentConflict => format!("arguments exclude each other or are repeated{of_options}"),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            format!("a value is absent or not understood{of_options}")
        }
        _ => format!("the arguments are not understood{of_options}"),
    };
    let is_credential = ["token", "secret", "key", "password"].iter().any(|word| options.contains(word));
    let remedy = match error.kind() {
        ErrorKind::UnknownArgument if is_credential => {
            "secrets come by --token-env NAME or --token-file FILE, never as an argument".to_owned()
        }
        ErrorKind::InvalidValue => match valid_values(error) {
            Some(values) => format!("use one of {values}"),
            None => "see --help".to_owned(),
        },
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "use check, sign, verify or redact".to_owned()
        }
        _ => "see --help".to_owned(),
    };
    Failure::new(problem, remedy)
}

/// The names of the options that the error is about, without values.
fn options(error: &clap::Error) -> Vec<String> {
    let kinds = [ContextKind::InvalidArg, ContextKind::PriorArg];
    let texts = kinds.into_iter().filter_map(|kind| error.get(kind)).flat_map(|value| match value {
        ContextValue::String(text) => vec![text.clone()],
        ContextValue::Strings(texts) => texts.clone(),
        _ => Vec::new(),
    });
    // `--url <URL>` and `<FILE>...` come from the definitions; `--token=x` and bare words from the user.
    let name = |text: String| {
        let name = text.split([' ', '=']).next().unwrap_or_default();
        (name.starts_with("--") || name.starts_with('<')).then(|| name.to_owned())
    };
    texts.filter_map(name).collect()
}

fn valid_values(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::ValidValue)? {
        ContextValue::Strings(values) if !values.is_empty() => Some(values.join(", ")),
        _ => None,
    }
}
