//! What each command operator of Envoy brings into a log (operators of Envoy 1.40, and of the formatters shipped with it).

use super::data::Data;
use super::format::Operator;
use super::headers;

/// Operators that print counts, times, addresses, names of the operator's own making and fixed texts.
const HARMLESS: &str = "
    ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CLUSTER_METADATA COMMON_DURATION
    CONNECTION_ID CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS DOWNSTREAM_CX_RTT
    DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
    DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS
    DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT
    DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS
    DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT
    DOWNSTREAM_HANDSHAKE_DURATION DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT
    DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
    DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN
    DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT
    DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START
    DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256
    DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_EMAIL_SAN
    DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN
    DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL
    DOWNSTREAM_PEER_OTHERNAME_SAN DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN
    DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT
    DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION
    DOWNSTREAM_TRANSPORT_FAILURE_REASON DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DURATION
    EMIT_TIME EMIT_TIME_LOCAL FILE_CONTENT FILTER_CHAIN_NAME GRPC_STATUS GRPC_STATUS_NUMBER HOSTNAME
    LISTENER_NAME LOCAL_REPLY_BODY PACKETS_RETRANSMITTED PROTOCOL REQUESTED_SERVER_NAME REQUEST_DURATION
    REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_CODE_DETAILS RESPONSE_DURATION
    RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION
    ROUNDTRIP_DURATION ROUTE_NAME ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US SPAN_ID START_TIME
    START_TIME_LOCAL TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID UNIQUE_ID UPSTREAM_CLUSTER
    UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED
    UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED
    UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_HEADER_BYTES_RECEIVED
    UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOSTS_ATTEMPTED UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT
    UPSTREAM_HOST_NAME UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
    UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
    UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN UPSTREAM_LOCAL_PORT
    UPSTREAM_LOCAL_URI_SAN UPSTREAM_METADATA UPSTREAM_PEER_CERT UPSTREAM_PEER_CERT_V_END
    UPSTREAM_PEER_CERT_V_START UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER
    UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS
    UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT
    UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP
    UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TRANSPORT_FAILURE_REASON
    UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME
";

/// What an operator that can print more than that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    RequestHeader,
    RequestHeaderWithoutQuery,
    ResponseHeader,
    Trailer,
    Path,
    FilterState,
    Metadata,
    Expression,
    Alternatives,
    Variable,
    Always(Data),
}

/// The operators that read requests or responses. What is in neither list is not known.
const READING: &[(&str, Reads)] = &[
    ("REQ", Reads::RequestHeader),
    ("REQUEST_HEADER", Reads::RequestHeader),
    ("STREAM_INFO_REQ", Reads::RequestHeader),
    ("REQ_WITHOUT_QUERY", Reads::RequestHeaderWithoutQuery),
    ("RESP", Reads::ResponseHeader),
    ("RESPONSE_HEADER", Reads::ResponseHeader),
    ("TRAILER", Reads::Trailer),
    ("RESPONSE_TRAILER", Reads::Trailer),
    ("PATH", Reads::Path),
    ("QUERY_PARAM", Reads::Always(Data::Query)),
    ("QUERY_PARAMS", Reads::Always(Data::Query)),
    // The value of x-request-id.
    ("STREAM_ID", Reads::Always(Data::RequestId)),
    ("FILTER_STATE", Reads::FilterState),
    ("UPSTREAM_FILTER_STATE", Reads::FilterState),
    ("DYNAMIC_METADATA", Reads::Always(Data::Metadata)),
    ("METADATA", Reads::Metadata),
    ("CEL", Reads::Expression),
    ("TYPED_CEL", Reads::Expression),
    ("COALESCE", Reads::Alternatives),
    ("ENVIRONMENT", Reads::Variable),
    ("SECRET", Reads::Always(Data::Secret)),
];

/// Attributes of a request that a CEL expression may read.
const HARMLESS_ATTRIBUTES: &[&str] = &[
    "request.method",
    "request.scheme",
    "request.host",
    "request.protocol",
    "request.time",
    "request.size",
    "request.total_size",
    "request.duration",
    "response.code",
    "response.code_details",
    "response.flags",
    "response.grpc_status",
    "response.size",
    "response.total_size",
    "response.backend_latency",
];

/// What an operator prints: one answer for each alternative of it. `allowed` are headers that the user vouches for.
pub(super) fn judge(operator: &Operator, allowed: &[String]) -> Vec<Data> {
    let name = operator.name.as_str();
    if HARMLESS.split_whitespace().any(|known| known == name) {
        return Vec::new();
    }
    let Some((_, reads)) = READING.iter().find(|(known, _)| *known == name) else {
        return vec![Data::UnknownOperator];
    };
    match reads {
        Reads::RequestHeader => request_headers(operator, allowed, Data::RawPath),
        Reads::RequestHeaderWithoutQuery => request_headers(operator, allowed, Data::PathSegments),
        Reads::ResponseHeader => each_header(operator, allowed, headers::response),
        Reads::Trailer => each_header(operator, allowed, headers::trailer),
        Reads::Path => vec![path(operator)],
        Reads::FilterState if operator.argument(0).starts_with("wasm.twilio_guard.") => Vec::new(),
        Reads::FilterState => vec![Data::OtherState],
        Reads::Metadata if operator.argument(0) == "DYNAMIC" => vec![Data::Metadata],
        // What routes, clusters and hosts carry is written by the operator.
        Reads::Metadata => Vec::new(),
        Reads::Expression => vec![expression(&operator.arguments)],
        Reads::Alternatives => match operator.alternatives() {
            Some(alternatives) => alternatives.iter().flat_map(|one| judge(one, allowed)).collect(),
            None => vec![Data::UnknownOperator],
        },
        Reads::Variable => vec![variable(&operator.arguments)],
        Reads::Always(data) => vec![*data],
    }
}

fn request_headers(operator: &Operator, allowed: &[String], raw_path: Data) -> Vec<Data> {
    let names = operator.headers();
    if names.first().is_some_and(|name| name == "x-envoy-original-path") {
        // What the filter sets; the path as it was sent only where the filter did not run.
        return vec![Data::OriginalPath];
    }
    each_header(operator, allowed, |name| if name == ":path" { raw_path } else { headers::request(name) })
}

fn each_header(operator: &Operator, allowed: &[String], judge: impl Fn(&str) -> Data) -> Vec<Data> {
    let judge = |name: &String| match judge(name) {
        Data::UnlistedHeader | Data::UnlistedResponse if allowed.contains(name) => Data::Harmless,
        data => data,
    };
    operator.headers().iter().map(judge).collect()
}

/// `PATH(X:Y)`: `X` is with (`WQ`) or without query (`NQ`), `Y` the header it comes from.
fn path(operator: &Operator) -> Data {
    match (operator.argument(0), operator.argument(1)) {
        ("NQ", "PATH") => Data::PathSegments,
        (_, "PATH") => Data::RawPath,
        _ => Data::OriginalPath,
    }
}

fn expression(text: &str) -> Data {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let is_risk = |attribute: &str| {
        let root = attribute.split('.').next().unwrap_or_default();
        matches!(root, "request" | "response" | "metadata" | "filter_state" | "upstream_filter_state")
            && !HARMLESS_ATTRIBUTES.contains(&attribute)
    };
    if text.split(|c| !is_part(c)).any(is_risk) { Data::Expression } else { Data::Harmless }
}

fn variable(name: &str) -> Data {
    let name = name.to_ascii_uppercase();
    let is_secret = ["TOKEN", "SECRET", "KEY", "PASSWORD"].iter().any(|word| name.contains(word));
    if is_secret { Data::Secret } else { Data::Harmless }
}

#[cfg(test)]
mod tests {
    use super::super::format;
    use super::*;

    fn judged(text: &str) -> Vec<Data> {
        let mut data: Vec<Data> =
            format::parse(text).operators.iter().flat_map(|one| judge(one, &[])).collect();
        data.retain(|data| *data != Data::Harmless);
        data
    }

    #[test]
    fn operators_are_judged_by_what_they_read() {
        for (text, expected) in [
            ("%START_TIME% %RESPONSE_CODE% %REQ(:METHOD)% %REQ(CONTENT-TYPE)%", &[][..]),
            ("%FILTER_STATE(wasm.twilio_guard.path:PLAIN)%", &[]),
            ("%FILTER_STATE(wasm.other:PLAIN)%", &[Data::OtherState]),
            ("%REQ(:PATH)%", &[Data::RawPath]),
            ("%REQ(:path?X-ENVOY-ORIGINAL-PATH):20%", &[Data::RawPath, Data::OriginalPath]),
            ("%REQUEST_HEADER(:PATH)%", &[Data::RawPath]),
            ("%STREAM_INFO_REQ(:PATH)%", &[Data::RawPath]),
            ("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", &[Data::OriginalPath]),
            ("%REQ(CONTENT-TYPE?:PATH)%", &[Data::RawPath]),
            ("%PATH%", &[Data::OriginalPath]),
            ("%PATH(WQ:ORIG)%", &[Data::OriginalPath]),
            ("%PATH(NQ)%", &[Data::OriginalPath]),
            ("%PATH(WQ:PATH)%", &[Data::RawPath]),
            ("%PATH(NQ:PATH)%", &[Data::PathSegments]),
            ("%REQ_WITHOUT_QUERY(:PATH)%", &[Data::PathSegments]),
            ("%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%", &[Data::OriginalPath]),
            ("%QUERY_PARAM(From)% %QUERY_PARAMS(DECODED)%", &[Data::Query, Data::Query]),
            ("%STREAM_ID%", &[Data::RequestId]),
            ("%METADATA(ROUTE:a:b)%", &[]),
            ("%METADATA(DYNAMIC:a:b)% %DYNAMIC_METADATA(a)%", &[Data::Metadata, Data::Metadata]),
            ("%CEL(response.code)% %CEL(request.method == 'GET')%", &[]),
            ("%CEL(request.headers['cookie'])%", &[Data::Expression]),
            ("%TYPED_CEL(request.path + '')%", &[Data::Expression]),
            ("%CEL(request['path'])%", &[Data::Expression]),
            (
                r#"%COALESCE({"operators": ["HOSTNAME", {"command": "REQ", "param": ":path"}]})%"#,
                &[Data::RawPath],
            ),
            ("%COALESCE(x)% %FUTURE(x)%", &[Data::UnknownOperator, Data::UnknownOperator]),
            ("%ENVIRONMENT(POD_NAME)%", &[]),
            ("%ENVIRONMENT(TWILIO_AUTH_TOKEN)%", &[Data::Secret]),
            ("%RESP(LOCATION)%", &[Data::Location]),
            ("%TRAILER(grpc-message)% %TRAILER(grpc-status)%", &[Data::UnlistedResponse]),
        ] {
            assert_eq!(judged(text), expected, "{text}");
        }
    }

    #[test]
    fn a_header_that_is_vouched_for_is_harmless_unless_it_is_known_not_to_be() {
        let allowed = ["x-tenant".to_owned(), "cookie".to_owned()];
        let judged = |text: &str| judge(&format::parse(text).operators[0], &allowed);
        assert_eq!(judged("%REQ(X-Tenant)%"), [Data::Harmless]);
        assert_eq!(judged("%RESP(x-tenant)%"), [Data::Harmless]);
        assert_eq!(judged("%REQ(X-Other)%"), [Data::UnlistedHeader]);
        assert_eq!(judged("%REQ(Cookie)%"), [Data::Credential]);
    }

    #[test]
    fn no_operator_is_in_both_lists() {
        for (name, _) in READING {
            assert!(!HARMLESS.split_whitespace().any(|known| known == *name), "{name}");
        }
    }
}
