//! What Envoy makes of requests, before and after the filter has seen them, or while it is dead.

use super::requests as r;
use super::{By, Case, H1, H2, bytes, case};
use crate::support::client::Protocol::{Http1, Http2};
use crate::support::raw;

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [routed(), lost(), left(), answered_early(), not_understood(), dead()].into_iter().flatten().collect()
}

fn routed() -> Vec<Case> {
    vec![
        case("prefix_rewrite", r::get, "/old/sms", H1, 200),
        case("prefix_rewrite, unverified", r::unsigned, "/old/x", H1, 200),
        case("regex_rewrite", r::unsigned, "/number/x", H1, 200),
        case("redirect route", r::unsigned, "/moved", H1, 301).details("direct_response"),
        case("direct_response", r::unsigned, "/direct", H1, 200).details("direct_response"),
        case("no route", r::get, "/sms", H1, 404).details("route_not_found").at("no_route"),
        case("no cluster", r::unsigned, "/nowhere", H1, 503).details("cluster_not_found"),
        case("internal redirect", r::internal_redirect, "/redirected", H1, 200)
            .at("internal_redirects")
            .lines(2),
    ]
}

fn lost() -> Vec<Case> {
    vec![
        case("no healthy upstream", r::unsigned, "/unhealthy", H1, 503).details("no_healthy_upstream"),
        case("rewrite, no healthy upstream", r::unsigned, "/lost/x", H1, 503).details("no_healthy_upstream"),
        case("connection refused", r::unsigned, "/unreachable", H1, 503)
            .details("remote_connection_failure|delayed_connect_error:_Connection_refused"),
        case("circuit breaker", r::unsigned, "/full", H1, 503).details("overflow"),
        case("upstream reset", r::unsigned, "/reset", H1, 503).details("connection_termination"),
        case("retry", r::unsigned, "/retry", H1, 200),
        case("timeout", r::unsigned, "/slow", H1, 504).details("response_timeout"),
        case("listener update", r::get, "/sms", By::DuringUpdate, 200).at("updated"),
    ]
}

fn left() -> Vec<Case> {
    vec![
        case("client leaves in the body", r::form, "/sms", By::LeavesInBody(Http1), 0)
            .details("downstream_remote_disconnect"),
        case("client leaves in the body, HTTP/2", r::form, "/sms", By::LeavesInBody(Http2), 0)
            .details("http2.remote_reset"),
        case("client leaves before the answer", r::get, "/sms", By::LeavesBeforeAnswer(Http1), 0)
            .details("downstream_remote_disconnect"),
        case("client leaves before the answer, HTTP/2", r::get, "/sms", By::LeavesBeforeAnswer(Http2), 0)
            .details("http2.remote_reset"),
        case("broken body (400)", r::form, "/sms", By::Bytes(bytes::broken_body), 400)
            .details("http1.codec_error"),
    ]
}

/// Answered before the filter's request callback, by Envoy or by a filter in front.
fn answered_early() -> Vec<Case> {
    vec![
        case("missing Host", r::get, "/sms", By::Bytes(bytes::without_host), 400)
            .details("missing_host_header"),
        case("fragment", r::fragment, "/sms", By::Bytes(raw::head), 400).details("path_normalization_failed"),
        case("escaped slash, redirected (307)", r::escaped_slash, "/sms", H1, 307)
            .details("path_normalization_failed")
            .at("escaped_slashes"),
        case("an earlier filter answers", r::denied_earlier, "/sms", H1, 403)
            .details("lua_response")
            .at("filter_not_first"),
        case("an earlier filter lets it pass", r::get, "/sms", H1, 200).at("filter_not_first"),
    ]
}

/// Refused by Envoy's codec, which hands on no header.
fn not_understood() -> Vec<Case> {
    vec![
        case("HTTP/1.0 (426)", r::get, "/sms", By::Bytes(bytes::http_1_0), 426)
            .details("low_version")
            .unread(),
        case("target without a slash, HTTP/2", r::no_slash, "patients/", By::RawFields, 0)
            .details("http2.violation.of.messaging.rule")
            .unread(),
        case("oversize header (431)", r::oversize_header, "/sms", By::Bytes(raw::head), 431)
            .details("http1.headers_too_large")
            .unread(),
        case("oversize header, HTTP/2", r::oversize_header, "/sms", H2, 0).details("http2.").unread(),
        case("raw bytes (400)", r::raw_bytes, "/sms", By::Bytes(bytes::raw_target), 400)
            .details("http1.codec_error")
            .unread(),
        case("two framings (400)", r::form, "/sms", By::Bytes(bytes::two_framings), 400)
            .details("http1.content_length_and_chunked_not_allowed")
            .unread(),
    ]
}

/// The order counts: the first request kills the VM.
fn dead() -> Vec<Case> {
    let dead = |case: Case| case.details("wasm_fail_stream");
    vec![
        dead(case("the VM traps at the headers", r::get, "/sms", H1, 503)).at("trap_in_headers"),
        dead(case("the VM is dead", r::get, "/sms", H1, 503)).at("trap_in_headers"),
        dead(case("the VM is dead, form", r::form, "/sms", H1, 503)).at("trap_in_headers"),
        Case {
            // The first time leaves a dead VM behind.
            listeners: ["trap_in_body", "trap_in_body_again"],
            ..dead(case("the VM traps at the body", r::form, "/sms", H1, 503))
        },
        dead(case("the VM traps and is reloaded", r::get, "/sms", H1, 503)).at("reloading"),
        dead(case("the VM waits to be reloaded", r::get, "/sms", H1, 503)).at("reloading"),
    ]
}
