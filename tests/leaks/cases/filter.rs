//! What the filter makes of requests.

use super::requests as r;
use super::{By, Case, H1, H2, bytes, case};

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [passed(), refused(), refused_for_size_or_pace(), set_up_otherwise()].into_iter().flatten().collect()
}

fn passed() -> Vec<Case> {
    vec![
        case("signed GET", r::get, "/sms", H1, 200),
        case("signed GET, HTTP/2", r::get, "/sms", H2, 200),
        case("signed form", r::form, "/sms", H1, 200),
        case("signed form, HTTP/2", r::form, "/sms", H2, 200),
        case("signed JSON", r::json, "/events", H1, 200),
        case("WebSocket", r::websocket, "/media", H1, 101),
        case("WebSocket, HTTP/2", r::websocket, "/media", H2, 200).details("http2.remote_reset"),
        case("template variable", r::template, "/calls/{}/status", H1, 200),
        case("trailers", r::trailers, "/sms", H2, 200),
        // The filter lets it pass; the application does not understand it.
        case("raw bytes, HTTP/2", r::raw_bytes, "/sms", By::RawFields, 400).details("via_upstream"),
        case("no route of the filter", r::unsigned, "/elsewhere", H1, 200),
        case("path segments", r::segments, "/", H1, 200),
        case("verify: none", r::unsigned, "/open/x", H1, 200),
        case("long target", r::long_target, "/elsewhere", H1, 200),
        case("gRPC", r::grpc, "/patients/", H2, 200),
        case("method OPTIONS", r::options, "/elsewhere", H1, 200),
    ]
}

fn refused() -> Vec<Case> {
    vec![
        case("tampered GET", r::tampered_get, "/sms", H1, 401),
        case("tampered GET, HTTP/2", r::tampered_get, "/sms", H2, 401),
        case("tampered form", r::tampered_form, "/sms", H1, 401),
        case("tampered JSON", r::tampered_json, "/events", H1, 401)
            .details("twilio_guard_body_hash_mismatch"),
        case("tampered WebSocket", r::tampered_websocket, "/media", H1, 401),
        case("repeated headers", r::repeated_headers, "/sms", H1, 401),
        case("raw bytes refused, HTTP/2", r::tampered_raw_bytes, "/sms", By::RawFields, 401),
        case("no signature", r::unsigned, "/sms", H1, 401).details("twilio_guard_missing_signature"),
        case("another host", r::another_host, "/sms", H1, 403).details("twilio_guard_host_not_accepted"),
        case("verify: deny", r::unsigned, "/shut/x", H1, 403).details("twilio_guard_denied"),
        case("ambiguous path", r::ambiguous, "/", H1, 403).details("twilio_guard_ambiguous_path"),
        case("matrix parameter", r::matrix, "/sms", H1, 403).details("twilio_guard_ambiguous_path"),
        case("method", r::put, "/sms", H1, 405).details("twilio_guard_method_not_allowed"),
    ]
}

fn refused_for_size_or_pace() -> Vec<Case> {
    let in_chunks = By::Bytes(bytes::in_chunks);
    vec![
        case("over the filter's cap (413)", r::oversize_form, "/sms", H1, 413)
            .details("twilio_guard_body_too_large"),
        case("over the filter's cap of targets (413)", r::oversize_target, "/sms", H1, 413)
            .details("twilio_guard_target_too_large"),
        case("over Envoy's cap (413)", r::long_form, "/sms", in_chunks, 413)
            .details("request_payload_too_large")
            .at("small"),
        case("body too slow (408)", r::form, "/sms", By::WaitsInBody, 408)
            .details("twilio_guard_body_timeout")
            .at("impatient"),
    ]
}

fn set_up_otherwise() -> Vec<Case> {
    vec![
        case("observe mode", r::tampered_get, "/sms", H1, 200).at("observe"),
        case("observe mode, form", r::tampered_form, "/sms", H1, 200).at("observe"),
        case("default: deny", r::unsigned, "/elsewhere", H1, 403)
            .details("twilio_guard_denied")
            .at("default_deny"),
        case("hold: body", r::form, "/sms", H1, 200).at("hold_body"),
        case("hold: body, tampered", r::tampered_form, "/sms", H1, 401).at("hold_body"),
        case("CONNECT", r::connect, "", By::Bytes(bytes::connect), 403)
            .details("twilio_guard_ambiguous_path")
            .at("connect"),
        case("CONNECT, HTTP/2", r::connect, "", By::RawFields, 403)
            .details("twilio_guard_ambiguous_path")
            .at("connect"),
    ]
}
