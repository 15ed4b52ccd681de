//! Everything that writes, and how it is read.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::docs;
use crate::support::http::Response;
use crate::support::{Result, project_root};

/// Envoy's format where none is configured.
pub const DEFAULT_TEXT: &str = "default text log";
/// What Istio prints where nothing is configured.
pub const ISTIO_TEXT: &str = "Istio's default text log";
/// What Istio prints as JSON, and the referer, which many add.
pub const DEFAULT_JSON: &str = "default JSON log";
/// The fail-closed text format of docs/redaction.md.
pub const STATE_TEXT: &str = "filter-state text log";
/// The fail-closed JSON format of docs/redaction.md.
pub const STATE_JSON: &str = "filter-state JSON log";
/// The default format behind a condition, of docs/redaction.md.
pub const JUDGED_ONLY: &str = "default text log, judged requests only";
/// The log of `envoy/quickstart.yaml`.
pub const QUICKSTART: &str = "quickstart.yaml's log";
/// The log of `envoy/hardened.yaml`.
pub const HARDENED: &str = "hardened.yaml's log";
/// Envoy's default format, in the log of requests to the upstream that the router can write.
pub const UPSTREAM_LOG: &str = "router's upstream log";
/// Standard error and output.
pub const ENVOY_LOG: &str = "Envoy's own log";
/// What the collector was sent.
pub const SPANS: &str = "trace spans";
/// `/stats`.
pub const STATS: &str = "stats";
/// `/stats/prometheus`.
pub const PROMETHEUS: &str = "Prometheus stats";
/// What the client was answered: status and headers, trailers included.
pub const RESPONSE_HEADERS: &str = "response headers";
/// What the client was answered: the body.
pub const RESPONSE_BODIES: &str = "response bodies";
/// `/config_dump`.
pub const CONFIG_DUMP: &str = "config dump";

/// All of them.
pub const ALL: [&str; 16] = [
    DEFAULT_TEXT,
    ISTIO_TEXT,
    DEFAULT_JSON,
    STATE_TEXT,
    STATE_JSON,
    JUDGED_ONLY,
    QUICKSTART,
    HARDENED,
    UPSTREAM_LOG,
    ENVOY_LOG,
    SPANS,
    STATS,
    PROMETHEUS,
    RESPONSE_HEADERS,
    RESPONSE_BODIES,
    CONFIG_DUMP,
];

/// The access logs, each of which has one line for each request.
const LOGS: [&str; 8] =
    [DEFAULT_TEXT, ISTIO_TEXT, DEFAULT_JSON, STATE_TEXT, STATE_JSON, JUDGED_ONLY, QUICKSTART, HARDENED];

/// What each sink was given.
pub type Outputs = BTreeMap<String, Vec<u8>>;

/// Adds a response to the outputs.
pub fn record(outputs: &mut Outputs, response: &Response) {
    let headers = outputs.entry(RESPONSE_HEADERS.to_owned()).or_default();
    for (name, value) in response.headers.iter().chain(&response.trailers) {
        headers.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\n"].concat());
    }
    let bodies = outputs.entry(RESPONSE_BODIES.to_owned()).or_default();
    bodies.extend([&response.body[..], b"\n"].concat());
}

/// The access logs, those of single operators included.
pub fn logs(operators: &[String]) -> impl Iterator<Item = &str> {
    LOGS.into_iter().chain(operators.iter().map(String::as_str))
}

/// What an access log holds so far.
pub fn read_log(directory: &Path, name: &str) -> Vec<u8> {
    std::fs::read(file(directory, name)).unwrap_or_default()
}

/// How many requests each access log has written down.
pub fn log_lines(directory: &Path, operators: &[String]) -> Vec<usize> {
    let lines = |name| read_log(directory, name).iter().filter(|byte| **byte == b'\n').count();
    logs(operators).map(lines).collect()
}

fn file(directory: &Path, name: &str) -> std::path::PathBuf {
    let name = name.replace(|character: char| !character.is_ascii_alphanumeric(), "-");
    directory.join(format!("{name}.log"))
}

/// The access loggers of every listener.
pub fn access_logs(directory: &Path, operators: &[String]) -> Result<Value> {
    let mut loggers = Vec::new();
    for name in logs(operators) {
        let mut of_this = match name {
            DEFAULT_TEXT => vec![logger(None)],
            ISTIO_TEXT => {
                let format = std::fs::read_to_string(project_root().join("tests/leaks/istio.format"))?;
                vec![logger(Some(text_format(&format)))]
            }
            DEFAULT_JSON => vec![logger(Some(json!({"json_format": default_json()})))],
            STATE_TEXT => vec![docs::block("access_log: filter state, text")?],
            STATE_JSON => vec![docs::block("access_log: filter state, JSON")?],
            JUDGED_ONLY => match docs::block("access_log: default format, judged requests only")? {
                Value::Array(pair) => pair,
                _ => return Err("docs/redaction.md: two loggers were expected".into()),
            },
            QUICKSTART => vec![shipped("envoy/quickstart.yaml")?],
            HARDENED => vec![shipped("envoy/hardened.yaml")?],
            operator => vec![logger(Some(text_format(&format!("{operator}\n"))))],
        };
        for logger in &mut of_this {
            logger["typed_config"]["path"] = file(directory, name).to_str().into();
        }
        loggers.append(&mut of_this);
    }
    Ok(Value::Array(loggers))
}

/// The access log of a configuration that ships, written into a file.
fn shipped(file: &str) -> Result<Value> {
    let text = std::fs::read_to_string(project_root().join(file))?;
    let bootstrap: Value = serde_saphyr::from_str(&text)?;
    let filters = bootstrap.pointer("/static_resources/listeners/0/filter_chains/0/filters");
    let mut managers = filters.and_then(Value::as_array).into_iter().flatten();
    let format =
        managers.find_map(|filter| filter.pointer("/typed_config/access_log/0/typed_config/log_format"));
    Ok(logger(Some(format.ok_or_else(|| format!("{file}: no access log"))?.clone())))
}

/// The router's log of upstream requests.
pub fn upstream_log(directory: &Path) -> Value {
    let mut logger = logger(None);
    logger["typed_config"]["path"] = file(directory, UPSTREAM_LOG).to_str().into();
    json!([logger])
}

fn logger(format: Option<Value>) -> Value {
    let mut logger = json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"},
    });
    if let Some(format) = format {
        logger["typed_config"]["log_format"] = format;
    }
    logger
}

fn text_format(format: &str) -> Value {
    json!({"text_format_source": {"inline_string": format}})
}

fn default_json() -> Value {
    json!({
        "start_time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "protocol": "%PROTOCOL%",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        "response_code_details": "%RESPONSE_CODE_DETAILS%",
        "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
        "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "bytes_received": "%BYTES_RECEIVED%",
        "bytes_sent": "%BYTES_SENT%",
        "duration": "%DURATION%",
        "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
        "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
        "user_agent": "%REQ(USER-AGENT)%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "authority": "%REQ(:AUTHORITY)%",
        "referer": "%REQ(REFERER)%",
        "upstream_host": "%UPSTREAM_HOST%",
        "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
        "route_name": "%ROUTE_NAME%",
    })
}
