//! What a header brings into a log (spec phi-redaction, section 7). A header that is not listed may carry anything.

use twilio_guard::headers::is_override;

use super::data::Data;

/// Request headers that are redacted, or that must not be printed.
const REQUEST: &[(&str, Data)] = &[
    (":path", Data::RawPath),
    ("x-envoy-original-path", Data::OriginalPath),
    ("x-forwarded-uri", Data::UrlHeader),
    ("x-forwarded-path", Data::UrlHeader),
    ("x-forwarded-prefix", Data::UrlHeader),
    ("referer", Data::Referer),
    ("user-agent", Data::UserAgent),
    ("x-request-id", Data::RequestId),
    ("authorization", Data::Credential),
    ("proxy-authorization", Data::Credential),
    ("cookie", Data::Credential),
    ("x-twilio-signature", Data::Signature),
    ("x-twilio-email-event-webhook-signature", Data::Signature),
    ("x-twilio-email-event-webhook-timestamp", Data::Signature),
];

/// Request headers that may be printed: framing, addresses, host names, and ids that are random by definition.
const HARMLESS_REQUEST: &[&str] = &[
    ":method",
    ":scheme",
    ":authority",
    ":protocol",
    "host",
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "grpc-timeout",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-host",
    "x-envoy-upstream-rq-timeout-ms",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "b3",
    "traceparent",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-cloud-trace-context",
    "x-datadog-trace-id",
    "i-twilio-idempotency-token",
    "x-home-region",
    "x-twilio-guard",
];

/// Response headers that must not be printed.
const RESPONSE: &[(&str, Data)] = &[
    ("location", Data::Location),
    ("content-location", Data::Location),
    ("refresh", Data::Location),
    ("link", Data::Location),
    ("set-cookie", Data::Credential),
    ("x-request-id", Data::RequestId),
];

/// Response headers that may be printed.
const HARMLESS_RESPONSE: &[&str] = &[
    ":status",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expires",
    "grpc-status",
    "retry-after",
    "server",
    "strict-transport-security",
    "transfer-encoding",
    "vary",
    "via",
    "www-authenticate",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-degraded",
    "x-envoy-immediate-health-check-fail",
    "x-envoy-overloaded",
    "x-envoy-ratelimited",
    "x-envoy-upstream-canary",
    "x-envoy-upstream-healthchecked-cluster",
    "x-envoy-upstream-service-time",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// What a request header carries; the name is in lower case.
pub(super) fn request(name: &str) -> Data {
    if is_override(name.as_bytes()) {
        return Data::Override;
    }
    listed(name, REQUEST, HARMLESS_REQUEST, Data::UnlistedHeader)
}

/// What a response header carries.
pub(super) fn response(name: &str) -> Data {
    listed(name, RESPONSE, HARMLESS_RESPONSE, Data::UnlistedResponse)
}

/// What a trailer carries: of gRPC only the status is a number, its message may quote anything.
pub(super) fn trailer(name: &str) -> Data {
    listed(name, &[], &["grpc-status"], Data::UnlistedResponse)
}

fn listed(name: &str, carrying: &[(&str, Data)], harmless: &[&str], other: Data) -> Data {
    if harmless.contains(&name) {
        return Data::Harmless;
    }
    carrying.iter().find(|(known, _)| *known == name).map_or(other, |(_, data)| *data)
}
