//! Runs the tests on one version, and reads what became of each.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Result, project_root};

/// The crates with tests that start an Envoy.
const CRATES: [&str; 7] = ["harness", "func_e", "quickstart", "hardened", "leaks", "cli", "e2e"];

/// Whether each test passed, by its name with its crate. Ignored tests are left out.
pub type Results = BTreeMap<String, bool>;

/// Runs all.
pub fn every_test(version: &str) -> Result<Results> {
    let mut results = Results::new();
    for name in CRATES {
        println!("---- Envoy {version}: {name}");
        let before = results.len();
        run(version, name, &mut results)?;
        if results.len() == before {
            return Err(format!("{name} ran no test on Envoy {version}").into());
        }
    }
    Ok(results)
}

fn run(version: &str, name: &str, results: &mut Results) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .current_dir(project_root())
        .args(["test", "--test", name])
        .env("ENVOY_VERSION", version)
        .env_remove("ENVOY_PATH")
        .env_remove("RUNNER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    for line in BufReader::new(child.stdout.take().ok_or("cargo has no stdout")?).lines() {
        let line = line?;
        println!("{line}");
        if let Some((test, passed)) = outcome(&line) {
            results.insert(format!("{name}::{test}"), passed);
        }
    }
    // Failed tests are among the results.
    child.wait()?;
    Ok(())
}

/// What a line of the test runner says of a test.
fn outcome(line: &str) -> Option<(&str, bool)> {
    let (test, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    match outcome {
        "ok" => Some((test, true)),
        "FAILED" => Some((test, false)),
        _ => None,
    }
}

#[test]
fn what_the_test_runner_prints_is_understood() {
    assert_eq!(outcome("test wire::caps::a_test ... ok"), Some(("wire::caps::a_test", true)));
    assert_eq!(outcome("test a_test ... FAILED"), Some(("a_test", false)));
    assert_eq!(outcome("test replay::cost::a_test ... ignored, prints figures"), None);
    assert_eq!(outcome("test result: ok. 3 passed; 0 failed"), None);
}
