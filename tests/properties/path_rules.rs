//! The rules of path, host and method by example: each case in its smallest form, with plain and hostile spellings.

use proptest::prelude::*;
use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::reject::Reject;

use super::core_support::cases;
use super::core_support::{HOST, Outcome, Request, SID_A, TOKEN_A, URL, plan};
use super::path_model::readings;

fn routes(default: &str, routes: &Value) -> Plan {
    plan(&json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A"}]}],
        "default": default,
        "routes": routes,
    }))
}

/// What becomes of an unsigned POST without body.
fn post(plan: &Plan, target: &str) -> Outcome {
    Request::new("POST", target).send(plan)
}

fn assert_stopped(plan: &Plan, targets: &[&str]) {
    let passed: Vec<_> = targets
        .iter()
        .map(|target| (target, post(plan, target)))
        .filter(|(_, outcome)| !matches!(outcome, Outcome::Refused(_)))
        .collect();
    assert!(passed.is_empty(), "let through unsigned: {passed:?}");
}

/// `/sms` is verified, everything else is open.
fn one_closed_route() -> Plan {
    routes("none", &json!([{"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"}]))
}

/// Spellings of `/sms` that some application takes for `/sms`.
const SPELLINGS: &[&str] = &[
    "/sms",
    "/SMS",
    "/sMs",
    "/sms/",
    "/%73ms",
    "/%53MS",
    "//sms",
    "/./sms",
    "/sms/.",
    "/x/../sms",
    "/x/..%2fsms",
    "/x/%2e%2e/sms",
    "/x/%2E%2E%2Fsms",
    "/%2e/sms",
    "/.%2fsms",
    "/x%2f..%2fsms",
    "/x/..;/sms",
    "/x/..;a=b/sms",
    "/sms;a=b",
    "/sms%3ba=b",
    "/;/sms",
    "/\\sms",
    "\\sms",
    "/x\\..\\sms",
    "/%5csms",
    "/%5Csms",
    "/x/..%5csms",
    "/%2573ms",
    "/x/..%252fsms",
    "/x/%252e%252e/sms",
    "/%252573ms",
    "/sms%00",
    "/sms%00.png",
    "/sms%23",
    "/sms%2523",
    "/sms#",
    "/sms%0a",
    "sms",
    "%2fsms",
    "/sms%2f",
    "/sms%2f%2f",
    "/sms//",
    "/sms/%2e",
    "/sms%",
    "/x/../../sms",
    "/../sms",
];

#[test]
fn no_spelling_of_a_verified_path_is_open() {
    assert_stopped(&one_closed_route(), SPELLINGS);
}

#[test]
fn an_encoded_question_mark_does_not_end_a_path_for_the_guard_alone() {
    // Decoded once more, or decoded and taken apart again, it is `/sms` with a query; `%23` is refused for the same reason.
    assert_stopped(&one_closed_route(), &["/sms%3f", "/sms%3Fa=b", "/sms%3f/open"]);
}

#[test]
fn no_spelling_of_a_denied_path_is_open() {
    assert_stopped(
        &routes("none", &json!([{"name": "sms", "match": {"path": "/sms"}, "verify": "deny"}])),
        SPELLINGS,
    );
}

#[test]
fn no_spelling_leads_out_of_an_open_prefix() {
    let plan =
        routes("twilio", &json!([{"name": "public", "match": {"path_prefix": "/public"}, "verify": "none"}]));
    assert_eq!(post(&plan, "/public/a%20b.css?x=../sms"), Outcome::Unprotected);
    let spellings = [
        "/../sms",
        "/..%2fsms",
        "/%2e%2e/sms",
        "/..;/sms",
        "/..\\sms",
        "/..%5csms",
        "/..%252fsms",
        "/x/../../sms",
        "/%",
    ];
    let targets = spellings.map(|spelling| format!("/public{spelling}"));
    assert_stopped(&plan, &targets.each_ref().map(String::as_str));
}

#[test]
fn a_template_is_found_in_every_spelling() {
    let template = json!({"path_template": "/calls/{sid}/status"});
    let plan = routes("none", &json!([{"name": "status", "match": template, "verify": "twilio"}]));
    assert_stopped(
        &plan,
        &[
            "/calls/CA1/status",
            "/Calls/CA1/Status",
            "/calls/CA1/status/",
            "/calls//CA1/status",
            "/calls/CA1%2fstatus",
            "/calls/x/../CA1/status",
        ],
    );
}

#[test]
fn a_template_that_ends_with_a_slash_is_found_in_every_spelling() {
    let plan = routes(
        "none",
        &json!([{"name": "call", "match": {"path_template": "/calls/{sid}/"}, "verify": "twilio"}]),
    );
    assert_stopped(&plan, &["/calls/CA1/", "/calls/CA1", "/Calls/CA1/", "/CALLS/CA1"]);
}

#[test]
fn a_path_that_is_configured_as_it_stands_keeps_its_rule() {
    let plan = routes(
        "none",
        &json!([
            {"name": "open", "match": {"path": "/SMS"}, "verify": "none"},
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        ]),
    );
    assert_eq!(post(&plan, "/SMS"), Outcome::Unprotected);
    assert_eq!(post(&plan, "/%53MS"), Outcome::Unprotected);
    assert_eq!(post(&plan, "/Sms"), Outcome::Refused(Reject::AmbiguousPath));
}

#[test]
fn a_rule_that_only_observes_opens_no_other() {
    // A trial route lets its own requests through. It must not let those through that are another route's.
    for verify in ["twilio", "none", "deny"] {
        let plan = routes(
            "deny",
            &json!([
                {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
                {"name": "trial", "match": {"path_prefix": "/trial"}, "verify": verify, "mode": "observe"},
            ]),
        );
        assert!(!matches!(post(&plan, "/trial/x"), Outcome::Refused(_)));
        assert_stopped(
            &plan,
            &["/trial/..%2fsms", "/trial/../sms", "/trial/..;/sms", "/trial/%252e%252e/sms"],
        );
    }
}

#[test]
fn a_gate_that_is_only_observed_hides_none_that_is_enforced() {
    // The trial route would have answered 405, and only observes; the route behind it enforces.
    let plan = routes(
        "none",
        &json!([
            {"name": "trial", "match": {"path_prefix": "/x", "methods": ["PUT"]}, "verify": "deny", "mode": "observe"},
            {"name": "sms", "match": {"path": "/x/sms"}, "verify": "twilio"},
        ]),
    );
    assert_stopped(&plan, &["/x/SMS", "/x/sms/", "/x/sms.json"]);
}

#[test]
fn observing_by_default_opens_no_route_that_enforces() {
    let plan = plan(&json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A"}]}],
        "default": "none",
        "mode": "observe",
        "routes": [{"name": "sms", "match": {"path": "/sms", "methods": ["POST"]}, "verify": "twilio", "mode": "enforce"}],
    }));
    assert_eq!(post(&plan, "/elsewhere"), Outcome::Unprotected);
    assert_stopped(&plan, SPELLINGS);
    let put = Request::new("PUT", "/sms").send(&plan);
    assert!(matches!(put, Outcome::Refused(_)), "{put:?}");
}

#[test]
fn another_method_does_not_pass_a_verified_path() {
    let closed = json!({"name": "sms", "match": {"path": "/sms", "methods": ["POST"]}, "verify": "twilio"});
    let plan = routes("none", &json!([closed]));
    for method in ["GET", "PUT", "DELETE", "HEAD", "post", "OPTIONS", ""] {
        let outcome = Request::new(method, "/sms").send(&plan);
        assert_eq!(outcome, Outcome::Refused(Reject::MethodNotAllowed), "{method}");
        let outcome = Request::new(method, "/Sms/").send(&plan);
        assert!(matches!(outcome, Outcome::Refused(_)), "{method}: {outcome:?}");
    }
}

#[test]
fn a_tunnel_passes_only_the_strictest_rule() {
    let plan = one_closed_route();
    let mut request = Request::new("CONNECT", "");
    assert_eq!(request.send(&plan), Outcome::Refused(Reject::AmbiguousPath));
    request.target = b"/elsewhere".to_vec();
    assert_eq!(request.send(&plan), Outcome::Refused(Reject::AmbiguousPath));
}

#[test]
fn every_spelling_of_a_host_is_that_host() {
    let closed = json!({"name": "sms", "match": {"path": "/sms", "hosts": [HOST]}, "verify": "twilio"});
    let plan = routes("none", &json!([closed]));
    for authority in [
        "hooks.example.org",
        "HOOKS.EXAMPLE.ORG",
        "hooks.example.org.",
        "hooks.example.org:8443",
        "Hooks.example.org.:80",
    ] {
        let mut request = Request::new("POST", "/sms");
        request.authority = authority.into();
        assert!(matches!(request.send(&plan), Outcome::Refused(_)), "{authority}");
    }
    let mut request = Request::new("POST", "/sms");
    request.authority = b"other.example.org".to_vec();
    assert_eq!(request.send(&plan), Outcome::Unprotected, "another host is another route's");
}

/// Requests for a host that no route protects.
fn for_other_host(plan: &Plan, target: &str) -> Outcome {
    let mut request = Request::new("POST", target);
    request.authority = b"shop.example.org".to_vec();
    request.send(plan)
}

#[test]
fn another_host_that_nothing_protects_keeps_its_spellings() {
    // The plain path passes for that host as well, so to refuse another reading of it protects nothing.
    let closed = json!({"name": "sms", "match": {"path": "/sms", "hosts": [HOST]}, "verify": "twilio"});
    let rest = json!({"name": "rest", "match": {"path_prefix": "/", "hosts": [HOST]}, "verify": "deny"});
    let plan = routes("none", &json!([closed, rest]));
    for target in SPELLINGS.iter().chain(&["/a//b", "/a;b", "/a%2Fb", "/a%5cb"]) {
        assert_eq!(for_other_host(&plan, target), Outcome::Unprotected, "{target}");
    }
    assert_stopped(&plan, SPELLINGS);
    // What the tunnel carries names its own host.
    let mut request = Request::new("CONNECT", "");
    request.authority = b"shop.example.org".to_vec();
    assert_eq!(request.send(&plan), Outcome::Refused(Reject::AmbiguousPath));
}

#[test]
fn a_route_for_everything_of_a_host_keeps_its_spellings() {
    let closed = json!({"name": "sms", "match": {"path": "/sms", "hosts": [HOST]}, "verify": "twilio"});
    let shop = json!({"name": "shop", "match": {"hosts": ["shop.example.org"]}, "verify": "none"});
    let plan = routes("deny", &json!([closed, shop]));
    for target in SPELLINGS {
        assert_eq!(for_other_host(&plan, target), Outcome::Unprotected, "{target}");
    }
    assert_stopped(&plan, SPELLINGS);
}

#[test]
fn another_host_loses_no_protection_of_its_own() {
    // Neither a route of the other host, nor one of all hosts, nor the default, nor a route that takes some methods only.
    let open = json!({"name": "open", "match": {"path_prefix": "/", "hosts": ["shop.example.org"], "methods": ["POST"]}, "verify": "none"});
    let pages = json!({"name": "pages", "match": {"path_prefix": "/pages", "hosts": ["shop.example.org"]}, "verify": "none"});
    let own = json!({"name": "own", "match": {"path": "/sms", "hosts": ["shop.example.org"]}, "verify": "twilio", "accept_hosts": ["shop.example.org"]});
    let any = json!({"name": "any", "match": {"path": "/sms"}, "verify": "twilio"});
    for (default, list) in [
        ("none", json!([own])),
        ("none", json!([any])),
        ("deny", json!([pages])),
        ("deny", json!([open])),
        ("none", json!([open, any])),
    ] {
        let plan = routes(default, &list);
        for target in ["/pages/..%2fsms", "/x//sms", "/pages;a/sms"] {
            let outcome = for_other_host(&plan, target);
            assert!(matches!(outcome, Outcome::Refused(_)), "{default} {list} {target}: {outcome:?}");
        }
    }
}

#[test]
fn an_authority_that_is_no_host_reaches_no_weaker_rule() {
    // Envoy routes this by a domain such as `hooks.example.org:*` or `hooks.example.*` to the same application.
    let closed = json!({"name": "sms", "match": {"path": "/sms", "hosts": [HOST]}, "verify": "twilio"});
    let plan = routes("none", &json!([closed]));
    for authority in
        ["hooks.example.org:", "hooks.example.org:x", "hooks.example.org:80:80", "hooks.example.org:80x"]
    {
        let mut request = Request::new("POST", "/sms");
        request.authority = authority.into();
        let outcome = request.send(&plan);
        assert!(matches!(outcome, Outcome::Refused(_)), "{authority}: {outcome:?}");
    }
}

#[test]
fn the_strictest_rule_takes_any_spelling_that_is_signed() {
    let plan = routes("twilio", &json!([{"name": "public", "match": {"path": "/public"}, "verify": "none"}]));
    for target in SPELLINGS {
        let request = Request::new("POST", *target).sign_url(TOKEN_A.as_bytes());
        let outcome = request.send(&plan);
        assert!(matches!(outcome, Outcome::Verified { .. }), "{target}: {outcome:?}");
    }
}

#[test]
fn the_model_reads_every_spelling_as_the_path_behind_it() {
    for spelling in [
        "/x/../sms",
        "/x/..%2fsms",
        "/x/%252e%252e/sms",
        "/x/..;/sms",
        "\\sms",
        "//sms",
        "/sms;a",
        "/sms%3fa",
        "sms",
    ] {
        assert!(readings(spelling.as_bytes()).contains(b"/sms".as_slice()), "{spelling}");
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn any_path_at_all_is_read_and_judged(path in proptest::collection::vec(any::<u8>(), 0..24), authority in proptest::collection::vec(any::<u8>(), 0..12)) {
        let plan = one_closed_route();
        let mut request = Request::new("POST", path);
        request.authority = authority;
        let outcome = request.send(&plan);
        prop_assert!(matches!(outcome, Outcome::Unprotected | Outcome::Refused(_)));
    }
}
