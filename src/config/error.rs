//! The one way in which a configuration is refused.

use std::fmt;

/// Why a configuration is refused: where the fault is, what is wrong, and what to do about it.
///
/// Displays as one line. Holds no value of the configuration: a value may be a secret in the wrong place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    path: String,
    problem: String,
    remedy: String,
}

impl ConfigError {
    pub(super) fn new(
        path: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { path: printable(&path.into()), problem: problem.into(), remedy: remedy.into() }
    }

    /// Where the fault is, for example `routes[1].match.path`; empty for the text as a whole.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Translates what the parser says. Its own texts quote the offending value, so only what it expected and
    /// where it stood is taken over.
    pub(super) fn from_parser(path: &serde_path_to_error::Path, inner: &serde_json::Error) -> Self {
        let path = path.to_string();
        let path = if matches!(path.as_str(), "." | "?") { String::new() } else { path };
        let (line, column) = (inner.line(), inner.column());
        if inner.is_syntax() || inner.is_eof() {
            return Self::new(
                path,
                format!("not valid JSON at line {line} column {column}"),
                "give the configuration as one JSON object",
            );
        }
        let text = inner.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        if let Some(rest) = message.strip_prefix("unknown field ") {
            let remedy = expected_names(rest)
                .map_or_else(|| "remove it".to_owned(), |names| format!("remove it, or use one of {names}"));
            Self::new(path, "unknown key", remedy)
        } else if let Some(rest) = message.strip_prefix("unknown variant ") {
            let names = expected_names(rest).unwrap_or("the documented values");
            Self::new(path, "unknown value", format!("use one of {names}"))
        } else if let Some(name) = message.strip_prefix("missing field ") {
            Self::new(member(&path, name), "a required key is missing", "add it")
        } else if let Some(name) = message.strip_prefix("duplicate field ") {
            Self::new(member(&path, name), "the key is given twice", "keep one of them")
        } else if let Some((_value, expected)) = message.rsplit_once(", expected ") {
            Self::new(path, "wrong type or value", format!("give {expected}"))
        } else if let Some((problem, remedy)) = message.split_once("; ") {
            // Our own deserializers speak in this form.
            Self::new(path, problem, remedy)
        } else {
            Self::new(path, "not understood", "see the configuration reference")
        }
    }
}

/// The path of a key, quoted as the parser does, in the object at `path`.
fn member(path: &str, name: &str) -> String {
    let name = name.trim_matches('`');
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A path in which an unknown key can stand: one line, and not without end.
fn printable(path: &str) -> String {
    path.chars().take(200).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn expected_names(rest: &str) -> Option<&str> {
    let (_, names) = rest.rsplit_once("expected ")?;
    Some(names.strip_prefix("one of ").unwrap_or(names))
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "{path}: {}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for ConfigError {}
