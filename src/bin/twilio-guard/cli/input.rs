//! Files, standard input and secrets.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use twilio_guard::config::Secret;

use super::args::KeyArgs;
use super::outcome::Failure;

/// The variable that holds the auth token where no other is named.
const DEFAULT_TOKEN_VARIABLE: &str = "TWILIO_AUTH_TOKEN";

/// In bytes, as a configuration demands it.
const SHORTEST_HASH_KEY: usize = 32;

static STDIN_IS_READ: AtomicBool = AtomicBool::new(false);

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        if STDIN_IS_READ.swap(true, Ordering::Relaxed) {
            return Err(Failure::new("standard input is named twice", "give one of them as a file"));
        }
        let mut bytes = Vec::new();
        return match std::io::stdin().lock().read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Failure::new(
                format!("standard input cannot be read ({})", error.kind()),
                "pipe the text in, or name a file",
            )),
        };
    }
    std::fs::read(path).map_err(|error| {
        Failure::new(
            format!("{} cannot be read ({})", path.display(), error.kind()),
            "name a readable file, or - for standard input",
        )
    })
}

/// The text of a file, or of standard input for `-`.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::new(format!("{} is not UTF-8 text", path.display()), "convert it to UTF-8"))
}

/// The secret that the arguments point to: in a file, or in an environment variable.
pub(crate) fn secret(args: &KeyArgs) -> Result<Secret, Failure> {
    match &args.token_file {
        Some(path) => secret_file(path, "--token-file"),
        None => secret_variable(args.token_env.as_deref()),
    }
}

/// A secret from a file. Its name is not repeated: it may be the secret itself.
pub(crate) fn secret_file(path: &Path, option: &str) -> Result<Secret, Failure> {
    let remedy = "give the name of a file that holds nothing but the secret";
    let bytes = if path.as_os_str() == "-" { read(path)? } else { unnamed(path, option)? };
    let text = String::from_utf8(bytes).map(Secret::from);
    let secret = text.map_err(|_| Failure::new(format!("the file of {option} is not text"), remedy))?;
    let trimmed = secret.reveal().trim();
    if trimmed.is_empty() {
        return Err(Failure::new(format!("the file of {option} is empty"), remedy));
    }
    Ok(Secret::from(trimmed.to_owned()))
}

fn unnamed(path: &Path, option: &str) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::new(
            format!("the file of {option} cannot be read ({})", error.kind()),
            "give the name of a readable file, never the secret itself",
        )
    })
}

/// The key of pseudonyms in an environment variable. A short one could be guessed, and every pseudonym with it.
pub(crate) fn hash_key(name: &str) -> Result<Secret, Failure> {
    let secret = variable(name, "--hash-key-env")?;
    if secret.reveal().len() < SHORTEST_HASH_KEY {
        return Err(Failure::new(
            format!("the key of --hash-key-env is shorter than {SHORTEST_HASH_KEY} bytes"),
            "make one with: openssl rand -hex 32",
        ));
    }
    Ok(secret)
}

fn secret_variable(name: Option<&str>) -> Result<Secret, Failure> {
    match name {
        Some(name) => variable(name, "--token-env"),
        None => value(DEFAULT_TOKEN_VARIABLE)?.ok_or_else(|| {
            Failure::new(
                format!("{DEFAULT_TOKEN_VARIABLE} is not set"),
                "export it, or use --token-env NAME or --token-file FILE",
            )
        }),
    }
}

/// The secret in the variable that an option names. The name may be the secret itself, so it is not repeated.
fn variable(name: &str, option: &str) -> Result<Secret, Failure> {
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(Failure::new(
            format!("{option} does not name an environment variable"),
            "give the name of the variable, never the secret itself",
        ));
    }
    value(name)?.ok_or_else(|| {
        Failure::new(
            format!("the environment variable of {option} is not set"),
            "export it; give the name of the variable, never the secret itself",
        )
    })
}

fn value(name: &str) -> Result<Option<Secret>, Failure> {
    let secret = std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::from);
    if secret.as_ref().is_some_and(|secret| secret.reveal().trim() != secret.reveal()) {
        return Err(Failure::new(
            "the secret begins or ends with white space",
            "remove it (a line break at the end of an encoded secret is the usual cause)",
        ));
    }
    Ok(secret)
}
