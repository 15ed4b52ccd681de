//! The kinds of data that a sink can print, and what to say of each.

use super::super::finding::Severity;

/// What an operator, a header or a span tag carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Nothing of a request that is not meant to be read.
    Harmless,
    /// `:path`, with its query.
    RawPath,
    /// `:path` without its query: names and record numbers stand in segments too.
    PathSegments,
    /// Parameters of the query.
    Query,
    /// The redacted path that the filter puts into `x-envoy-original-path`.
    OriginalPath,
    /// Another header that repeats the URL.
    UrlHeader,
    /// One that the filter removes, because applications take it for the URL.
    Override,
    Referer,
    UserAgent,
    RequestId,
    Credential,
    Signature,
    /// A request header of which nothing is known.
    UnlistedHeader,
    /// A URL in a response.
    Location,
    /// A response header or trailer of which nothing is known.
    UnlistedResponse,
    /// What other filters noted about the request.
    Metadata,
    /// An expression over the request.
    Expression,
    Secret,
    /// Filter state of another filter.
    OtherState,
    /// An operator that this version does not know.
    UnknownOperator,
}

/// A row of the leak table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) severity: Severity,
    pub(super) code: &'static str,
    /// What is printed, to follow the name of the sink.
    pub(super) problem: &'static str,
    pub(super) remedy: &'static str,
}

const fn error(code: &'static str, problem: &'static str, remedy: &'static str) -> Option<Row> {
    Some(Row { severity: Severity::Error, code, problem, remedy })
}

const fn warning(code: &'static str, problem: &'static str, remedy: &'static str) -> Option<Row> {
    Some(Row { severity: Severity::Warning, code, problem, remedy })
}

const USE_PATH: &str = "use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%";
const USE_REFERER: &str = "use %FILTER_STATE(wasm.twilio_guard.referer:PLAIN)%";
const USE_USER_AGENT: &str = "use %FILTER_STATE(wasm.twilio_guard.user_agent:PLAIN)%";
const USE_REQUEST_ID: &str = "use %FILTER_STATE(wasm.twilio_guard.request_id:PLAIN)%";
const DROP_OPERATOR: &str = "remove the operator";

/// What the surroundings of a sink mean for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scene {
    /// The router replaces the redacted path by the true one.
    pub(super) rewritten: bool,
    /// The log is also written before the filter has run.
    pub(super) before_filter: bool,
    /// Which requests keep their own user-agent and referer.
    pub(super) raw_headers: RawHeaders,
    /// Which requests keep their own x-request-id.
    pub(super) raw_request_id: RawHeaders,
    /// The sink never sees a request that the filter handles.
    pub(super) is_elsewhere: bool,
}

/// Which requests keep the headers that the client sent (`rewrite_headers`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RawHeaders {
    /// Those alone that the filter never sees.
    Unhandled,
    /// Also those of routes that verify nothing.
    Unverified,
    /// Also those of routes that verify.
    Verified,
}

/// The row for data in a log; `None` if there is nothing to say.
pub(super) fn row(data: Data, scene: &Scene) -> Option<Row> {
    if scene.is_elsewhere {
        return None;
    }
    match data {
        Data::Harmless => None,
        Data::OriginalPath if scene.before_filter => error(
            "printed_before_filter",
            "is printed when the request arrives (flush_access_log_on_new_request), before the filter redacts it",
            "remove that option, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
        ),
        Data::OriginalPath if scene.rewritten => error(
            "path_rewritten",
            "prints the path and query as they were sent, because a route rewrites the path and the router replaces the redacted header",
            "set suppress_envoy_headers: true on the router, or use %FILTER_STATE(wasm.twilio_guard.path:PLAIN)%",
        ),
        Data::OriginalPath => warning(
            "path_fallback",
            "is redacted, but for requests that Envoy answers before the filter runs (no Host, a fragment), and while the VM is dead",
            USE_PATH,
        ),
        Data::RawPath => error("raw_path", "prints the path and query as they were sent", USE_PATH),
        Data::PathSegments => error(
            "raw_path_segments",
            "prints the path as it was sent: names and record numbers stand in segments too",
            USE_PATH,
        ),
        Data::Query => error("raw_query", "prints parameters as they were sent", USE_PATH),
        Data::UrlHeader => error("raw_url_header", "prints a URL as it was sent", USE_PATH),
        Data::Override if scene.before_filter => {
            error("raw_url_header", "prints a URL as it was sent", USE_PATH)
        }
        Data::Override => warning(
            "raw_url_header",
            "is a header that the filter removes, but for requests that Envoy answers before the filter runs, and while the VM is dead",
            USE_PATH,
        ),
        Data::Referer => referer(scene),
        Data::UserAgent => user_agent(scene),
        Data::RequestId => request_id(scene),
        Data::Credential => error("credential", "prints credentials", DROP_OPERATOR),
        Data::Signature => error(
            "signature",
            "prints what a captured request can be replayed with",
            "use %FILTER_STATE(wasm.twilio_guard.verdict:PLAIN)%",
        ),
        Data::UnlistedHeader | Data::UnlistedResponse => error(
            "unlisted_header",
            "prints a header that may carry anything",
            "remove the operator, or vouch for the header with --allow-header NAME",
        ),
        Data::Location => error(
            "raw_location",
            "prints a URL of a response: redirects repeat the query as it was sent",
            DROP_OPERATOR,
        ),
        Data::Metadata => {
            error("raw_metadata", "prints what other filters noted of the request", DROP_OPERATOR)
        }
        Data::Expression => {
            error("raw_expression", "evaluates parts of the request that are not redacted", USE_PATH)
        }
        Data::Secret => error("printed_secret", "prints a secret", DROP_OPERATOR),
        Data::OtherState => warning(
            "sink_not_known",
            "prints what another filter stored, which is not known",
            "make sure that it is nothing of the request",
        ),
        Data::UnknownOperator => warning(
            "operator_not_known",
            "is an operator that is not known or cannot be read",
            "make sure that it prints nothing of the request",
        ),
    }
}

fn referer(scene: &Scene) -> Option<Row> {
    let code = "raw_referer";
    match raw(scene, scene.raw_headers) {
        RawHeaders::Verified => error(code, "prints a URL as it was sent", USE_REFERER),
        RawHeaders::Unverified => error(
            code,
            "prints a URL as it was sent, on routes that verify nothing",
            "use %FILTER_STATE(wasm.twilio_guard.referer:PLAIN)%, or rewrite_headers: all",
        ),
        RawHeaders::Unhandled => warning(
            code,
            "is reduced to its origin, but for requests that Envoy answers before the filter runs, and while the VM is dead",
            USE_REFERER,
        ),
    }
}

fn user_agent(scene: &Scene) -> Option<Row> {
    let code = "raw_user_agent";
    match raw(scene, scene.raw_headers) {
        RawHeaders::Verified => error(code, "prints what the client sent", USE_USER_AGENT),
        RawHeaders::Unverified => warning(
            code,
            "prints what the client sent, on routes that verify nothing",
            "use %FILTER_STATE(wasm.twilio_guard.user_agent:PLAIN)%, or rewrite_headers: all",
        ),
        RawHeaders::Unhandled => warning(
            code,
            "is redacted, but for requests that Envoy answers before the filter runs, and while the VM is dead",
            USE_USER_AGENT,
        ),
    }
}

fn request_id(scene: &Scene) -> Option<Row> {
    let code = "raw_request_id";
    match raw(scene, scene.raw_request_id) {
        RawHeaders::Verified => error(code, "prints what the client sent", USE_REQUEST_ID),
        RawHeaders::Unverified => {
            warning(code, "prints what the client sent, on routes that verify nothing", USE_REQUEST_ID)
        }
        RawHeaders::Unhandled => warning(
            code,
            "is a random id, but for requests that Envoy answers before the filter runs, and while the VM is dead",
            USE_REQUEST_ID,
        ),
    }
}

/// A log that is written before the filter has run shows the headers of every request as they were sent.
fn raw(scene: &Scene, by_filter: RawHeaders) -> RawHeaders {
    if scene.before_filter { RawHeaders::Verified } else { by_filter }
}

impl Data {
    /// Whether a copy of it in another place carries raw data there.
    pub(super) const fn is_raw(self) -> bool {
        matches!(
            self,
            Self::RawPath
                | Self::PathSegments
                | Self::Query
                | Self::UrlHeader
                | Self::Referer
                | Self::Credential
                | Self::Signature
                | Self::Expression
        )
    }
}
