//! The versions of Envoy, and what is promised on each: the table of the README.
//!
//! `make test-matrix` runs every test that starts an Envoy on every supported version, and writes the table from what the
//! tests said. What is checked each time is that the table is of this shape, of these versions and of these promises.
#![allow(
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test, and the long form is watched while it runs"
)]

#[path = "../support/mod.rs"]
mod support;

mod promises;
mod run;
mod table;

use promises::PROMISES;
use support::binary::VERSIONS;
use support::{Result, project_root};
use table::Row;

const README: &str = "README.md";

/// Where the table stands.
const MARKERS: [&str; 2] = ["<!-- written by make test-matrix -->\n", "<!-- end of the matrix -->\n"];

/// The README before the table, the table, and the README behind it.
fn parts(readme: &str) -> Option<[&str; 3]> {
    let (before, rest) = readme.split_once(MARKERS[0])?;
    let (table, after) = rest.split_once(MARKERS[1])?;
    Some([before, table, after])
}

#[test]
#[ignore = "takes a quarter of an hour: make test-matrix"]
fn every_supported_envoy_keeps_its_promises() -> Result<()> {
    let mut rows = Vec::new();
    for version in VERSIONS {
        rows.push(Row::new(version, &run::every_test(version)?)?);
    }
    let file = project_root().join(README);
    let readme = std::fs::read_to_string(&file)?;
    let [before, _, after] = parts(&readme).ok_or("the README has no place for the table")?;
    let table = table::text(&rows);
    println!("\n{table}");
    std::fs::write(&file, [before, MARKERS[0], &table, MARKERS[1], after].concat())?;
    let failed: Vec<_> = rows.iter().flat_map(Row::failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    Ok(())
}

/// All but the number of tests follows from the promises, once every test has passed.
#[test]
fn the_table_of_the_readme_is_of_these_versions_and_promises() -> Result<()> {
    let readme = std::fs::read_to_string(project_root().join(README))?;
    let [_, table, _] = parts(&readme).ok_or("the README has no place for the table")?;
    let mut rows = Vec::new();
    for version in VERSIONS {
        let start = format!("| {version} |");
        let row =
            table.lines().find(|line| line.starts_with(&start)).ok_or(format!("no row of {version}"))?;
        let (passed, all) =
            row.split('|').find_map(|cell| cell.trim().split_once(" of ")).ok_or("no number")?;
        assert!(passed == all, "{version}: {passed} of {all} tests passed: make test-matrix");
        rows.push(Row::passed(version, all.parse()?)?);
    }
    assert_eq!(table, table::text(&rows), "run: make test-matrix");
    Ok(())
}

/// A renamed test would leave its promise without proof.
#[test]
fn every_promise_names_tests_that_exist() -> Result<()> {
    for promise in &PROMISES {
        for test in promise.tests {
            assert!(promises::exists(test)?, "{}: there is no {test}", promise.name);
        }
    }
    Ok(())
}
