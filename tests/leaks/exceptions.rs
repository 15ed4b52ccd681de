//! What the host makes impossible, by name. The documentation prints this table; each row has to occur, so that it
//! stays true.

use crate::sinks::{DEFAULT_JSON, DEFAULT_TEXT, ISTIO_TEXT, RESPONSE_HEADERS};

/// Sinks that show personal data in some cases, although the filter is there.
pub struct Exception {
    /// The cases, by their names.
    pub cases: &'static [&'static str],
    /// The sinks.
    pub sinks: &'static [&'static str],
    /// Why nothing can be done in the filter.
    pub reason: &'static str,
}

const DEFAULTS: &[&str] = &[DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON];

/// All of them.
pub const EXCEPTIONS: [Exception; 4] = [
    Exception {
        cases: &["missing Host", "fragment", "escaped slash, redirected (307)"],
        sinks: DEFAULTS,
        reason: "Envoy answers before any filter runs",
    },
    Exception {
        cases: &["an earlier filter answers"],
        sinks: DEFAULTS,
        reason: "the filter in front answers before ours runs: place ours first",
    },
    Exception {
        cases: &[
            "the VM traps at the headers",
            "the VM is dead",
            "the VM is dead, form",
            "the VM traps and is reloaded",
            "the VM waits to be reloaded",
        ],
        sinks: DEFAULTS,
        reason: "no code of ours runs any more",
    },
    Exception {
        cases: &["redirect route", "escaped slash, redirected (307)"],
        sinks: &[RESPONSE_HEADERS],
        reason: "the client is told its own URL in `location`; do not log `%RESP(LOCATION)%`",
    },
];

/// Whether a hit is excepted.
pub fn excepted(sink: &str, case: &str) -> bool {
    let matches = |exception: &Exception| exception.sinks.contains(&sink) && exception.cases.contains(&case);
    EXCEPTIONS.iter().any(matches)
}
