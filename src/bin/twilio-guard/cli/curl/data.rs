//! The data options of a curl command: what they add to the body.

use std::path::Path;

use super::super::input;
use super::super::message::encode_form;
use super::super::outcome::Failure;

/// How an option reads its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `-d`: a leading `@` names a file, whose line breaks are dropped.
    Plain,
    /// `--data-raw`: literally.
    Raw,
    /// `--data-binary` and `--json`: a leading `@` names a file, taken as it is.
    Binary,
    /// `--data-urlencode`.
    Encoded,
}

/// The bytes that an option adds.
pub(super) fn read(kind: Kind, value: &str) -> Result<Vec<u8>, Failure> {
    match (kind, value.strip_prefix('@')) {
        (Kind::Raw, _) | (Kind::Plain | Kind::Binary, None) => Ok(value.as_bytes().to_vec()),
        (Kind::Plain, Some(path)) => {
            let mut bytes = input::read(Path::new(path))?;
            bytes.retain(|b| !matches!(b, b'\r' | b'\n' | 0));
            Ok(bytes)
        }
        (Kind::Binary, Some(path)) => input::read(Path::new(path)),
        (Kind::Encoded, _) => encoded(value),
    }
}

/// `content`, `=content`, `name=content`, `@file` and `name@file`; the name is taken as it is.
fn encoded(value: &str) -> Result<Vec<u8>, Failure> {
    let (name, content) = match value.split_once(['=', '@']) {
        None => ("", value.as_bytes().to_vec()),
        Some((name, content)) if value.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')) => {
            (name, content.as_bytes().to_vec())
        }
        Some((name, path)) => (name, input::read(Path::new(path))?),
    };
    // One pair without a name is `=content`.
    let content = encode_form(&[(Vec::new(), content)]);
    let content = content.strip_prefix('=').unwrap_or(&content);
    let equals = if name.is_empty() { "" } else { "=" };
    Ok(format!("{name}{equals}{content}").into_bytes())
}
