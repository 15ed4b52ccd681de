//! What docs/redaction.md offers to copy is what runs here, and what it calls an exception is what was measured.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::exceptions::EXCEPTIONS;
use crate::proxy::parts;
use crate::support::config::{Listener, WasmFilter};
use crate::support::{Result, pages, project_root};

const PAGE: &str = "docs/redaction.md";

/// The documentation.
pub fn text() -> Result<String> {
    Ok(std::fs::read_to_string(project_root().join(PAGE))?)
}

/// The YAML block that begins with this comment.
pub fn block(title: &str) -> Result<Value> {
    pages::block(PAGE, title)
}

/// The rows of the table that follows this heading, each as its cells.
pub fn table(heading: &str) -> Result<Vec<Vec<String>>> {
    let text = text()?;
    let (_, section) =
        text.split_once(&format!("\n{heading}\n")).ok_or_else(|| format!("no heading {heading:?}"))?;
    let lines =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    // The head and the line below it.
    let rows = lines.skip(2).map(|line| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    Ok(rows.collect())
}

/// The documentation's table of exceptions is ours.
#[test]
fn the_documentation_lists_the_exceptions() -> Result<()> {
    let ours = EXCEPTIONS.map(|exception| {
        vec![exception.cases.join("; "), exception.sinks.join("; "), exception.reason.to_owned()]
    });
    assert_eq!(table("### Exceptions")?, ours);
    Ok(())
}

/// What it offers to copy has no finding.
#[test]
fn what_is_offered_to_copy_passes_the_leak_check() -> Result<()> {
    let Value::Array(mut logs) = block("access_log: default format, judged requests only")? else {
        return Err("two loggers were expected".into());
    };
    logs.extend([block("access_log: filter state, text")?, block("access_log: filter state, JSON")?]);
    let filter = WasmFilter::new(Path::new("twilio_guard.wasm"), &parts::plugin("main", 1));
    for tracing in ["tracing: Envoy 1.37 and later", "tracing: Envoy 1.36"] {
        let mut tracing = block(tracing)?;
        tracing["provider"] = json!({"name": "envoy.tracers.zipkin"});
        let removals = block("http_connection_manager: headers that tracing believes")?;
        let logs = logs.clone();
        let listener = Listener::new("ingress").filter(filter.clone()).edit(move |manager| {
            manager["access_log"] = logs.clone().into();
            manager["tracing"] = tracing.clone();
            manager["early_header_mutation_extensions"] =
                removals["early_header_mutation_extensions"].clone();
        });
        let listeners = json!({"static_resources": {"listeners": [listener.to_json(Path::new("."))]}});
        let file = tempfile::NamedTempFile::with_suffix(".json")?;
        std::fs::write(file.path(), listeners.to_string())?;
        let output = Command::new(env!("CARGO_BIN_EXE_twilio-guard"))
            .args(["check", "--leaks"])
            .arg(file.path())
            .output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}
