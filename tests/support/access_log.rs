//! What Envoy's access log says of a request: the only report on it that comes neither from the client nor from the
//! filter's own log.

/// The log line of the tests: `key=value` fields. `path` is what the filter shows of the target, `shown` what Envoy's default
/// format prints of it, and likewise for `agent` and `shown_agent`. `peer` is the client's end of its connection.
pub const FORMAT: &str = "method=%REQ(:METHOD)% status=%RESPONSE_CODE% details=%RESPONSE_CODE_DETAILS% \
flags=%RESPONSE_FLAGS% verdict=%FILTER_STATE(wasm.twilio_guard.verdict:PLAIN)% \
reason=%FILTER_STATE(wasm.twilio_guard.reason:PLAIN)% route=%FILTER_STATE(wasm.twilio_guard.route:PLAIN)% \
key=%FILTER_STATE(wasm.twilio_guard.key:PLAIN)% upstream=%UPSTREAM_HOST% id=%REQ(X-REQUEST-ID)% \
path=%FILTER_STATE(wasm.twilio_guard.path:PLAIN)% shown=%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% \
agent=%FILTER_STATE(wasm.twilio_guard.user_agent:PLAIN)% shown_agent=%REQ(USER-AGENT)% \
referer=%FILTER_STATE(wasm.twilio_guard.referer:PLAIN)% shown_referer=%REQ(REFERER)% \
request_id=%FILTER_STATE(wasm.twilio_guard.request_id:PLAIN)% peer=%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%\n";

/// One line of the access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine(pub String);

impl LogLine {
    /// The value of a field; empty where the line has none.
    pub fn field(&self, name: &str) -> &str {
        self.0
            .split_whitespace()
            .filter_map(|field| field.split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value))
            .unwrap_or_default()
    }

    /// `%RESPONSE_CODE_DETAILS%`: the filter's reason code, or Envoy's own word.
    pub fn details(&self) -> &str {
        self.field("details")
    }

    /// The status that the client was sent; 0 where it left first.
    pub fn status(&self) -> u16 {
        self.field("status").parse().unwrap_or_default()
    }
}

/// The lines of a log that have been written completely.
pub fn lines(text: &str) -> Vec<LogLine> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n') && line.contains("details="))
        .map(|line| LogLine(line.trim_end().to_owned()))
        .collect()
}
