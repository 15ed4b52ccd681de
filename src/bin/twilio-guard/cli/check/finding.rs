//! What `check` reports. The codes are stable and documented in docs/cli.md.

use std::fmt;

use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// The filter does not load, does not protect, or refuses genuine requests.
    Error,
    /// It works, but for less than it seems.
    Warning,
}

impl Severity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The document of a file with several, from 1.
    pub(super) document: Option<usize>,
    /// The path in the document, such as `spec.pluginConfig`; empty for the document as a whole.
    pub(super) path: String,
}

impl Location {
    /// The same document at another path.
    pub(super) fn at(&self, path: impl Into<String>) -> Self {
        Self { document: self.document, path: path.into() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(document) = self.document {
            write!(f, "#{document}{}", if self.path.is_empty() { "" } else { " " })?;
        }
        f.write_str(&self.path)
    }
}

/// One thing to put right. No value of a configuration is part of it.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    pub(super) location: Location,
    /// The path inside the filter's own configuration, where the fault is there.
    pub(super) config_path: Option<String>,
    pub(super) problem: String,
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn error(code: &'static str, location: Location, problem: &str, remedy: &str) -> Self {
        Self {
            severity: Severity::Error,
            code,
            location,
            config_path: None,
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    pub(super) fn warning(code: &'static str, location: Location, problem: &str, remedy: &str) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, location, problem, remedy) }
    }

    /// The finding with a path inside the filter's configuration.
    pub(super) fn within(mut self, config_path: impl Into<String>) -> Self {
        self.config_path = Some(config_path.into()).filter(|path| !path.is_empty());
        self
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.as_str(),
            "code": self.code,
            "document": self.location.document,
            "path": self.location.path,
            "config_path": self.config_path,
            "problem": self.problem,
            "remedy": self.remedy,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: ", self.severity.as_str(), self.code)?;
        let location = self.location.to_string();
        for part in [Some(location.as_str()), self.config_path.as_deref()].into_iter().flatten() {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}
