//! Routes that are wrong in themselves.

use serde_json::json;

use super::core_support::{SID_A, SID_B, parse};
use super::{assert_edit_refused, edit, edited};

#[test]
fn names_are_distinct_and_of_a_harmless_alphabet() {
    let long = "x".repeat(65);
    for name in ["", "SMS", "with space", "a.b", "a/b", "default", "a\nb", "naïve", long.as_str()] {
        assert_edit_refused("routes[0].name", &json!({"/routes/0/name": name}));
    }
    let again = json!({"name": "sms", "match": {"path": "/other"}, "verify": "none"});
    assert_edit_refused("routes[1].name", &json!({"/routes/-": again}));
}

#[test]
fn paths_that_no_request_has_are_refused() {
    for kind in ["path", "path_prefix", "path_template"] {
        let path = format!("routes[0].match.{kind}");
        for bad in [
            "",
            "sms",
            "*",
            " /sms",
            "https://hooks.example.org/sms",
            "/sms?a=b",
            "/sms#top",
            "/a%20b",
            "/a%2Fb",
            "/100%",
            "/a//b",
            "//a",
            "/./a",
            "/a/..",
            "/a/../b",
            "/a;b",
            "/a\\b",
            "/a\tb",
            "/a\u{0}",
            "/a\u{7f}",
            "/a//",
        ] {
            assert_edit_refused(&path, &json!({"/routes/0/match": {kind: bad}}));
        }
    }
    for bad in ["/{sid}", "/a/{", "/a}"] {
        assert_edit_refused("routes[0].match.path", &json!({"/routes/0/match": {"path": bad}}));
        assert_edit_refused("routes[0].match.path_prefix", &json!({"/routes/0/match": {"path_prefix": bad}}));
    }
    for bad in ["/a/{}", "/a/x{y}", "/{y}z", "/{{y}}", "/{a/b}", "/a/{", "/}"] {
        assert_edit_refused(
            "routes[0].match.path_template",
            &json!({"/routes/0/match": {"path_template": bad}}),
        );
    }
}

#[test]
fn paths_that_requests_have_are_taken() {
    for matching in [
        json!({"path": "/"}),
        json!({"path": "/a b/c"}),
        json!({"path": "/café"}),
        json!({"path": "/a/"}),
        json!({"path_prefix": "/"}),
        json!({"path_template": "/calls/{sid}/"}),
        json!({"path_template": "/{x}"}),
        json!({"hosts": ["hooks.example.org"]}),
    ] {
        parse(&edited(&json!({"/routes/0/match": matching})))
            .unwrap_or_else(|error| panic!("{matching}: {error}"));
    }
}

#[test]
fn a_match_is_of_one_kind_and_not_empty() {
    for matching in [
        json!({}),
        json!({"path": "/a", "path_prefix": "/a"}),
        json!({"path": "/a", "path_template": "/a"}),
        json!({"path_prefix": "/a", "path_template": "/{x}"}),
        json!({"path": "/a", "path_prefix": "/a", "path_template": "/a"}),
    ] {
        assert_edit_refused("routes[0].match", &json!({"/routes/0/match": matching}));
    }
}

#[test]
fn hosts_are_host_names() {
    for bad in [
        "",
        ".",
        "hooks.example.org:443",
        "https://hooks.example.org",
        "a/b",
        "*.example.org",
        "a b",
        "[::1",
        "a,b",
        "a@b",
        "é.example",
    ] {
        let hosts = json!(["hooks.example.org", bad]);
        assert_edit_refused("accept_hosts[1]", &json!({"/accept_hosts": hosts}));
        assert_edit_refused("routes[0].accept_hosts[1]", &json!({"/routes/0/accept_hosts": hosts}));
        assert_edit_refused("routes[0].match.hosts[1]", &json!({"/routes/0/match/hosts": hosts}));
    }
    for (path, pointer) in [
        ("accept_hosts", "/accept_hosts"),
        ("routes[0].accept_hosts", "/routes/0/accept_hosts"),
        ("routes[0].match.hosts", "/routes/0/match/hosts"),
    ] {
        assert_edit_refused(path, &json!({pointer: []}));
    }
    for good in ["Hooks.Example.ORG.", "[2001:db8::1]", "192.0.2.1", "localhost", "a_b.example"] {
        parse(&edited(&json!({"/accept_hosts": [good]}))).unwrap_or_else(|error| panic!("{good}: {error}"));
    }
}

#[test]
fn hosts_that_match_are_hosts_that_are_accepted() {
    let other = json!(["hooks.example.org", "other.example.org"]);
    assert_edit_refused("routes[0].match.hosts[1]", &json!({"/routes/0/match/hosts": other}));
    let own = json!({"/routes/0/match/hosts": ["hooks.example.org"], "/routes/0/accept_hosts": ["other.example.org"]});
    assert_edit_refused("routes[0].match.hosts[0]", &own);
    let url = json!({"/routes/0/match/hosts": ["hooks.example.org"], "/routes/0/public_url": "https://other.example.org"});
    assert_edit_refused("routes[0].match.hosts[0]", &url);
    parse(&edited(&json!({"/routes/0/match/hosts": other, "/accept_hosts": other})))
        .expect("both are accepted");
    parse(&edited(&json!({"/routes/0/match/hosts": other, "/routes/0/accept_hosts": "any"})))
        .expect("any is accepted");
}

#[test]
fn methods_are_methods_and_do_not_exclude_each_other() {
    for (path, pointer) in
        [("routes[0].methods", "/routes/0/methods"), ("routes[0].match.methods", "/routes/0/match/methods")]
    {
        assert_edit_refused(path, &json!({pointer: []}));
        for bad in ["", "post", "Post", "PO ST", "*", "POST,GET"] {
            assert_edit_refused(&format!("{path}[1]"), &json!({pointer: ["POST", bad]}));
        }
    }
    let apart = json!({"/routes/0/match/methods": ["GET"], "/routes/0/methods": ["POST", "PUT"]});
    assert_edit_refused("routes[0].match.methods", &apart);
    for (profile, method) in [("media-stream", "POST"), ("messaging", "PUT")] {
        let apart = json!({"/routes/0/match/methods": [method], "/routes/0/profile": profile});
        assert_edit_refused("routes[0].match.methods", &apart);
    }
    parse(&edited(&json!({"/routes/0/methods": ["PUT"]}))).expect("a route may let through what it lists");
    parse(&edited(&json!({"/routes/0/match/methods": ["PUT"]}))).expect("and lets through what it matches");
}

#[test]
fn traffic_without_account_sid_is_bound_to_one_account() {
    let second = json!({"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B"}]});
    for profile in ["media-stream", "event-streams"] {
        let several = edited(&json!({"/accounts/-": second, "/routes/0/profile": profile}));
        super::assert_refused(&several, "routes[0].accounts");
        let both = edit(several.clone(), &json!({"/routes/0/accounts": [SID_A, SID_B]}));
        super::assert_refused(&both, "routes[0].accounts");
        let bound = edit(several, &json!({"/routes/0/accounts": [SID_A]}));
        parse(&bound).unwrap_or_else(|error| panic!("{profile}: {error}"));
    }
}

#[test]
fn keys_of_verification_are_refused_where_nothing_is_verified() {
    let keys = [
        ("profile", json!("messaging")),
        ("methods", json!(["POST"])),
        ("require_params", json!([])),
        ("public_url", json!("https://hooks.example.org")),
        ("accept_hosts", json!("any")),
        ("accounts", json!([SID_A])),
        ("hold", json!("headers")),
        ("limits", json!({})),
    ];
    for verify in ["none", "deny"] {
        for (key, value) in &keys {
            let edits = json!({"/routes/0/verify": verify, format!("/routes/0/{key}"): value});
            assert_edit_refused(&format!("routes[0].{key}"), &edits);
        }
        let weak = json!({"/routes/0/verify": verify, "/routes/0/mode": "observe", "/routes/0/statuses": {"denied": 404}});
        parse(&edited(&weak)).unwrap_or_else(|error| panic!("{verify}: {error}"));
    }
}

#[test]
fn required_parameters_are_named_and_distinct() {
    for (at, params) in [
        (0, json!([""])),
        (1, json!(["CallSid", "CallSid"])),
        (1, json!(["CallSid", {"name": "CallSid", "shape": "present"}])),
        (0, json!([{"name": "", "shape": "digits"}])),
    ] {
        assert_edit_refused(
            &format!("routes[0].require_params[{at}]"),
            &json!({"/routes/0/require_params": params}),
        );
    }
    parse(&edited(&json!({"/routes/0/require_params": []})))
        .expect("an empty list lifts what a profile requires");
}
