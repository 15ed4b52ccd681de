//! `check --leaks`: every row of the leak table has an example that fails, and its fix passes.

mod envoy;
mod examples;
mod mesh;
mod operators;
mod truth;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Ran, Run};

/// A row of the leak table.
struct Case {
    row: &'static str,
    bad: Value,
    /// Severity and code of each finding.
    finds: &'static [&'static str],
    fixed: Value,
}

impl Case {
    /// Checks both files. Returns the codes that were found.
    fn check(&self) -> BTreeSet<String> {
        let ran = leaks(&self.bad);
        let findings = findings(&ran);
        assert_eq!(summaries(&findings), self.finds, "{}: {findings:#?}", self.row);
        let fails = self.finds.iter().any(|finding| finding.starts_with("error"));
        assert_eq!(ran.code, i32::from(fails), "{}", self.row);
        let fixed = leaks(&self.fixed);
        assert_eq!(self::findings(&fixed), Vec::<Value>::new(), "{} is fixed", self.row);
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    }
}

/// Runs the check over a file; one of several documents is given as a list.
fn leaks(document: &Value) -> Ran {
    leaks_with(document, &[])
}

fn leaks_with(document: &Value, options: &[&str]) -> Ran {
    let text = match document {
        Value::Array(documents) => {
            documents.iter().map(|document| format!("---\n{document}\n")).collect::<String>()
        }
        document => document.to_string(),
    };
    Run::new(&[&["check", "--leaks", "--json", "-"], options].concat()).input(text.as_bytes()).go()
}

fn findings(ran: &Ran) -> Vec<Value> {
    ran.json()["files"][0]["findings"].as_array().unwrap().clone()
}

fn summaries(findings: &[Value]) -> Vec<String> {
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .iter()
        .inspect(|finding| {
            assert!(!text(finding, "problem").is_empty() && !text(finding, "remedy").is_empty(), "{finding}");
        })
        .map(|finding| format!("{} {}", text(finding, "severity"), text(finding, "code")))
        .collect()
}

/// A listener whose connection manager has the filter first, prints nothing raw, and then `own` fields.
fn listener(own: Value) -> Value {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [guard(&json!({})), router(&json!({}))],
        "route_config": routes(&json!([{"match": {"prefix": "/"}, "route": {"cluster": "app"}}])),
        "access_log": [log(&json!("%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%"))],
    });
    let Value::Object(own) = own else { panic!("fields") };
    manager.as_object_mut().unwrap().extend(own);
    json!({
        "name": "ingress",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]}],
    })
}

/// An access logger of lines with a text or JSON format.
fn log(format: &Value) -> Value {
    let format = match format {
        Value::String(text) => json!({"text_format_source": {"inline_string": text}}),
        format => json!({"json_format": format}),
    };
    logger("stream.v3.StdoutAccessLog", &json!({"log_format": format}))
}

fn logger(kind: &str, fields: &Value) -> Value {
    json!({"name": "log", "typed_config": typed(&format!("access_loggers.{kind}"), fields)})
}

fn typed(kind: &str, fields: &Value) -> Value {
    let mut typed = json!({"@type": format!("type.googleapis.com/envoy.extensions.{kind}")});
    typed.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    typed
}

/// The filter, with keys of its own configuration.
fn guard(own: &Value) -> Value {
    let mut config = json!({
        "public_url": "https://hooks.example.org",
        "accounts": [{"auth_tokens": [{"env": "TOKEN"}]}],
        "default": "twilio",
    });
    config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    json!({"name": "twilio-guard", "typed_config": typed("filters.http.wasm.v3.Wasm", &json!({"config": {
        "allow_on_headers_stop_iteration": true,
        "vm_config": {"environment_variables": {"host_env_keys": ["TOKEN"]}},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
    }}))})
}

fn router(fields: &Value) -> Value {
    json!({"name": "envoy.filters.http.router", "typed_config": typed("filters.http.router.v3.Router", fields)})
}

/// A filter of another kind.
fn filter(kind: &str, fields: &Value) -> Value {
    json!({"name": "other", "typed_config": typed(&format!("filters.http.{kind}"), fields)})
}

fn routes(routes: &Value) -> Value {
    json!({"name": "app", "virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}]})
}

/// The codes that docs/cli.md lists for `--leaks`.
fn documented() -> BTreeSet<String> {
    let docs = std::fs::read_to_string(super::root().join("docs/cli.md")).unwrap();
    let section = docs.split("### Leaks").nth(1).expect("a section").split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.filter(|(_, rest)| rest.starts_with("error") || rest.starts_with("warning"))
        .map(|(code, _)| code.to_owned())
        .collect()
}

#[test]
fn every_row_of_the_leak_table_fails_and_its_fix_passes() {
    let mut codes = BTreeSet::new();
    for case in [operators::cases(), envoy::cases(), mesh::cases()].into_iter().flatten() {
        codes.extend(case.check());
    }
    assert_eq!(codes, documented(), "docs/cli.md lists the codes that there are examples of");
}
