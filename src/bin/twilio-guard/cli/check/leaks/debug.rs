//! Envoy's own log: at `debug` and `trace` it prints headers, the path among them, as they were sent.

use serde_json::Value;

use super::super::document::member;
use super::super::finding::{Finding, Location};
use super::facts::children;
use super::report::Report;

/// Components whose debug output has nothing of requests.
const SAFE: &[&str] =
    &["admin", "config", "dns", "init", "main", "runtime", "secret", "stats", "upstream", "wasm"];

/// Looks for log levels in a node: annotations and values of Istio, the arguments of a container, EnvoyProxy.
pub(super) fn inspect(node: &Value, at: &Location, report: &mut Report) {
    let Value::Object(members) = node else { return };
    for (key, value) in members {
        let at = at.at(member(&at.path, key));
        match (key.as_str(), value) {
            ("sidecar.istio.io/logLevel" | "logLevel", Value::String(level)) => {
                report_if(is_verbose(level), at, report);
            }
            ("sidecar.istio.io/componentLogLevel" | "componentLogLevel", Value::String(levels)) => {
                report_if(has_verbose_component(levels), at, report);
            }
            ("args" | "command", Value::Array(_) | Value::String(_)) => {
                report_if(has_verbose_argument(value), at, report);
            }
            // EnvoyProxy: spec.logging.level maps components to levels.
            ("logging", value) => {
                for (level, at) in value.get("level").map(|levels| children(levels, &at)).unwrap_or_default()
                {
                    let component = at.path.rsplit('.').next().unwrap_or_default();
                    let is_safe = SAFE.contains(&component);
                    report_if(!is_safe && level.as_str().is_some_and(is_verbose), at, report);
                }
            }
            _ => {}
        }
    }
}

fn report_if(condition: bool, at: Location, report: &mut Report) {
    if condition {
        report.findings.push(Finding::error(
            "debug_log",
            at,
            "Envoy's own log prints paths, queries and headers as they were sent",
            "use the level info or above",
        ));
    }
}

fn is_verbose(level: &str) -> bool {
    matches!(level.trim(), "debug" | "trace")
}

/// `http:debug,router:info`.
fn has_verbose_component(levels: &str) -> bool {
    let pairs = levels.split(',').filter_map(|pair| pair.rsplit_once(':'));
    pairs.into_iter().any(|(component, level)| is_verbose(level) && !SAFE.contains(&component.trim()))
}

fn has_verbose_argument(value: &Value) -> bool {
    let words: Vec<&str> = match value {
        Value::Array(items) => {
            items.iter().filter_map(Value::as_str).flat_map(str::split_whitespace).collect()
        }
        Value::String(text) => text.split_whitespace().collect(),
        _ => Vec::new(),
    };
    let mut words = words.iter().flat_map(|word| word.split('='));
    while let Some(word) = words.next() {
        let is_verbose = match word {
            "-l" | "--log-level" | "--proxyLogLevel" => words.next().is_some_and(is_verbose),
            "--component-log-level" | "--proxyComponentLogLevel" => {
                words.next().is_some_and(has_verbose_component)
            }
            _ => false,
        };
        if is_verbose {
            return true;
        }
    }
    false
}
