//! Refusals of the top level: URL, limits, statuses, the verified header.

use serde_json::json;

use super::core_support::parse;
use super::{assert_edit_refused, edited};

#[test]
fn a_public_url_is_scheme_host_port_and_prefix() {
    let bad = [
        "",
        "hooks.example.org",
        "/sms",
        "https:/hooks.example.org",
        "https://",
        "https:///sms",
        "https://:443",
        "https://.",
        "ftp://hooks.example.org",
        "://hooks.example.org",
        "ht tp://hooks.example.org",
        "https://hooks.example.org?x=1",
        "https://hooks.example.org/?",
        "https://hooks.example.org#rc=2",
        "https://hooks example.org",
        " https://hooks.example.org",
        "https://hooks.example.org ",
        "https://hooks.example.org\n",
        "https://hooks.example.org:",
        "https://hooks.example.org:x",
        "https://hooks.example.org:44:3",
        "https://[::1",
        "https://[::1]x",
        "https://höoks.example.org",
        "https://hooks.example.org/é",
        "https://user:pass@hooks.example.org",
        "https://user@hooks.example.org",
        "https://@hooks.example.org",
    ];
    for url in bad {
        assert_edit_refused("public_url", &json!({"/public_url": url}));
        assert_edit_refused("routes[0].public_url", &json!({"/routes/0/public_url": url}));
    }
    for url in [
        "https://h.example",
        "http://h.example:8080/hooks/",
        "HTTPS://H.Example",
        "wss://h.example",
        "https://[2001:db8::1]:8443",
    ] {
        parse(&edited(&json!({"/public_url": url}))).unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    parse(&edited(&json!({"/public_url": "https://user:pass@h.example", "/allow_inline_secrets": true})))
        .expect("an inline secret that is allowed");
}

#[test]
fn a_public_url_names_a_host_that_a_request_can_name() {
    for url in [
        "https://hooks.example.org\\x",
        "https://hooks.example.org,other.example",
        "https://a@b@",
        "https://*.example.org",
    ] {
        assert_edit_refused("public_url", &json!({"/public_url": url, "/allow_inline_secrets": true}));
    }
}

#[test]
fn a_public_url_from_the_request_needs_explicit_hosts() {
    let request = json!({"from": "request"});
    let forwarded = json!({"from": "forwarded", "trusted_peers": ["10.0.0.0/8"]});
    for url in [&request, &forwarded] {
        assert_edit_refused("routes[0].accept_hosts", &json!({"/public_url": url}));
        assert_edit_refused(
            "accept_hosts",
            &json!({"/public_url": url, "/routes": [], "/default": "twilio"}),
        );
        parse(&edited(&json!({"/public_url": url, "/accept_hosts": ["hooks.example.org"]})))
            .expect("hosts are listed");
        parse(&edited(&json!({"/public_url": url, "/routes/0/accept_hosts": "any"})))
            .expect("hosts are listed");
    }
}

#[test]
fn forwarded_headers_count_from_named_peers_only() {
    for (path, url) in [
        ("public_url.trusted_peers", json!({"from": "forwarded"})),
        ("public_url.trusted_peers", json!({"from": "forwarded", "trusted_peers": []})),
        ("public_url.trusted_peers", json!({"from": "request", "trusted_peers": ["10.0.0.0/8"]})),
        ("public_url.trusted_peers[0]", json!({"from": "forwarded", "trusted_peers": ["10.0.0.1"]})),
        ("public_url.trusted_peers[1]", json!({"from": "forwarded", "trusted_peers": ["10.0.0.0/8", "any"]})),
        ("public_url.trusted_peers[0]", json!({"from": "forwarded", "trusted_peers": ["10.0.0.0/33"]})),
        ("public_url.trusted_peers[0]", json!({"from": "forwarded", "trusted_peers": [""]})),
        ("public_url", json!({"from": "anywhere"})),
        ("public_url", json!({"trusted_peers": ["10.0.0.0/8"]})),
        ("public_url", json!({})),
    ] {
        assert_edit_refused(path, &json!({"/public_url": url, "/accept_hosts": "any"}));
        let own = json!({"/routes/0/public_url": url, "/routes/0/accept_hosts": "any"});
        assert_edit_refused(&format!("routes[0].{path}"), &own);
    }
}

#[test]
fn limits_are_in_range() {
    let mebibyte: u64 = 1024 * 1024;
    let cases = [
        ("max_body", vec![json!(0), json!(64 * mebibyte + 1), json!("65MiB"), json!(u64::MAX)]),
        ("max_form", vec![json!(0), json!("0"), json!("0KiB"), json!(64 * mebibyte + 1)]),
        ("max_params", vec![json!(0), json!(100_001)]),
        ("max_candidates", vec![json!(0), json!(1001)]),
        ("max_hashed_bytes", vec![json!(0), json!(1024 * mebibyte + 1)]),
        ("body_timeout", vec![json!("0s"), json!("99ms"), json!("601s"), json!("11m"), json!("1h")]),
    ];
    for (key, values) in &cases {
        for value in values {
            assert_edit_refused(&format!("limits.{key}"), &json!({"/limits": {*key: value}}));
            assert_edit_refused(
                &format!("routes[0].limits.{key}"),
                &json!({"/routes/0/limits": {*key: value}}),
            );
        }
    }
    for (key, words) in [
        ("max_body", ["", "1 KiB", "1kb", "1GiB", "-1", "1.5MiB", "18446744073709551616", "KiB"]),
        ("body_timeout", ["", "15", "15 s", "-1s", "1.5s", "1d", "s", "99999999999999999999h"]),
    ] {
        for word in words {
            assert_edit_refused(&format!("limits.{key}"), &json!({"/limits": {key: word}}));
        }
    }
    for good in [
        json!({"max_body": "64MiB", "max_form": 1, "max_params": 100_000, "max_candidates": 1000}),
        json!({"max_hashed_bytes": "1024MiB", "body_timeout": "100ms"}),
        json!({"body_timeout": "10m"}),
        json!({}),
    ] {
        parse(&edited(&json!({"/limits": good}))).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn statuses_are_those_of_errors() {
    let keys = [
        "missing_signature",
        "invalid_signature",
        "denied",
        "stale",
        "timeout",
        "replayed",
        "too_large",
        "method",
        "undecidable",
    ];
    for key in keys {
        for status in [0, 99, 100, 200, 204, 302, 399, 600, 999, 65_535, 65_536] {
            assert_edit_refused(&format!("statuses.{key}"), &json!({"/statuses": {key: status}}));
            assert_edit_refused(
                &format!("routes[0].statuses.{key}"),
                &json!({"/routes/0/statuses": {key: status}}),
            );
        }
        parse(&edited(&json!({"/statuses": {key: 400}, "/routes/0/statuses": {key: 599}}))).expect("errors");
    }
}

#[test]
fn a_rule_tries_every_candidate_of_an_account() {
    let tokens = json!([{"env": "TOKEN_A"}, {"env": "TOKEN_B"}]);
    // Two tokens, two port spellings, two orders.
    let seven = json!({"/accounts/0/auth_tokens": tokens, "/limits": {"max_candidates": 7}});
    assert_edit_refused("routes[0].limits.max_candidates", &seven);
    let default = json!({
        "/accounts/0/auth_tokens": tokens, "/limits": {"max_candidates": 7}, "/default": "twilio", "/routes": [],
    });
    assert_edit_refused("limits.max_candidates", &default);
    let own = json!({"/accounts/0/auth_tokens": tokens, "/routes/0/limits": {"max_candidates": 7}});
    assert_edit_refused("routes[0].limits.max_candidates", &own);
    let eight = json!({"/accounts/0/auth_tokens": tokens, "/limits": {"max_candidates": 8}});
    parse(&edited(&eight)).expect("eight are enough");
    let with_user = json!({
        "/accounts/0/auth_tokens": tokens, "/limits": {"max_candidates": 15}, "/allow_inline_secrets": true,
        "/public_url": "https://u:p@hooks.example.org",
    });
    assert_edit_refused("routes[0].limits.max_candidates", &with_user);
}

#[test]
fn the_verified_header_has_a_name_of_its_own() {
    for name in [
        "",
        "x",
        "x-",
        "verified",
        "X-Verified",
        "x_verified",
        "x-verified:",
        "x verified",
        "x-é",
        "x-envoy-verified",
        "x-envoy-original-path",
        "x-forwarded-for",
        "x-twilio-signature",
        "authorization",
        "host",
        ":path",
    ] {
        assert_edit_refused("verified_header", &json!({"/verified_header": name}));
    }
    assert_edit_refused("verified_header", &json!({"/verified_header": format!("x-{}", "a".repeat(63))}));
    for name in ["x-verified", "x-2", "x-twilio-guard"] {
        let plan =
            parse(&edited(&json!({"/verified_header": name}))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(plan.verified_header(), name);
    }
}

#[test]
fn the_verified_header_is_not_one_that_twilio_or_the_guard_reads() {
    for name in
        ["x-twilio-webhooks-signature-settings", "x-request-id", "x-original-url", "x-http-method-override"]
    {
        assert_edit_refused("verified_header", &json!({"/verified_header": name}));
    }
}

#[test]
fn the_fallback_hold_cannot_promise_the_verified_header() {
    let header = json!("x-verified");
    let own = json!({"/verified_header": header, "/routes/0/hold": "body"});
    assert_edit_refused("routes[0].hold", &own);
    let bare = json!({"/verified_header": header, "/hold": "body", "/routes": [], "/default": "twilio"});
    assert_edit_refused("hold", &bare);
    parse(&edited(&json!({"/hold": "body"}))).expect("without the header it is a fallback");
    let inherited = json!({"/verified_header": header, "/hold": "body"});
    assert_edit_refused("routes[0].hold", &inherited);
}
