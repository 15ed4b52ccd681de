//! Every configuration in the documentation is one that the filter takes and that its schema describes.
#![allow(clippy::expect_used, clippy::panic, reason = "a failed expectation must fail its test")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use twilio_guard::config::{Plan, json_schema};
use twilio_guard::native::NativeEnvironment;

const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvY7FM3D98pf61k0hNUz7ft2iNitmWrYRRUzuwBMcpaIo3K5hSNKZvdwHiVNAoWFtUATCMOXdNFHvYYGqyudOZw==";

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/products"] {
        let entries = std::fs::read_dir(root.join(folder)).expect("the folder");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// Each JSON example of a page that is a whole configuration.
fn configurations(page: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(page).expect("the page");
    let blocks = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let parsed = blocks.filter_map(|block| serde_json::from_str::<Value>(block).ok());
    parsed.filter(|value| value.get("public_url").is_some()).collect()
}

#[test]
fn every_documented_configuration_loads() {
    let schema = jsonschema::validator_for(&json_schema()).expect("a valid schema");
    // Long enough for a key as well.
    let secret = "0123456789abcdef0123456789abcdef";
    let variable =
        |name: &str| Some(if name.starts_with("SENDGRID") { PUBLIC_KEY } else { secret }.to_owned());
    let mut count = 0;
    for page in pages() {
        for config in configurations(&page) {
            count += 1;
            assert!(schema.is_valid(&config), "{}", page.display());
            let loaded = Plan::parse(config.to_string().as_bytes(), &NativeEnvironment(variable));
            assert!(loaded.is_ok(), "{}: {:?}", page.display(), loaded.err());
        }
    }
    assert!(count >= 6, "the README's and one for each product, {count} found");
}

#[test]
fn every_reason_is_documented() {
    let operations = include_str!("../docs/operations.md");
    let missing: Vec<_> = twilio_guard::reject::Reject::ALL
        .iter()
        .map(|reject| reject.code())
        .filter(|code| !operations.contains(&format!("`{code}`")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("the page");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let is_local = !target.is_empty() && !target.contains("://");
            let folder = page.parent().expect("a folder");
            assert!(!is_local || folder.join(target).exists(), "{}: {target}", page.display());
        }
    }
}

/// The rows of docs/hipaa.md that promise something: status, and the tests that are named as proof, `(name, file)`.
fn promises(page: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let rows = page.lines().filter_map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, _, _, status, proof, _] = cells.as_slice() else { return None };
        Some((*status, *proof))
    });
    rows.filter(|(status, _)| !matches!(*status, "status" | "---"))
        .map(|(status, proof)| {
            let links = proof.split("[`").skip(1);
            let tests = links.map(|rest| {
                rest.split_once("`](../").and_then(|(name, rest)| Some((name, rest.split_once(')')?.0)))
            });
            (status, tests.map(|test| test.expect("a test is named as [`name`](../file)")).collect())
        })
        .collect()
}

#[test]
fn every_control_that_is_promised_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = include_str!("../docs/hipaa.md");
    let promises = promises(page);
    assert!(promises.len() >= 40, "{} rows", promises.len());
    for (status, tests) in &promises {
        match *status {
            "enforced here" | "example shipped" => {
                assert!(!tests.is_empty(), "a row without a test: {status}")
            }
            "yours to do" => assert_eq!(tests, &[], "a test proves nothing of what is yours"),
            other => panic!("the status {other}"),
        }
        for (name, file) in tests {
            let source = std::fs::read_to_string(root.join(file)).expect("the file of a test");
            let tests = source
                .split("#[")
                .filter(|rest| rest.starts_with("test]") || rest.starts_with("tokio::test"));
            let mut signatures = tests.filter_map(|rest| rest.lines().find(|line| line.contains("fn ")));
            let is_test = signatures.any(|line| line.contains(&format!("fn {name}(")));
            assert!(is_test, "{file} has no test {name}");
        }
    }
    let linked = promises.iter().map(|(_, tests)| tests.len()).sum::<usize>();
    assert_eq!(linked, page.matches("](../tests/").count(), "a test is named outside of the tables");
}
