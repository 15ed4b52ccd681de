//! Routes that can never match because an earlier one takes every such request.

use serde_json::{Value, json};

use super::core_support::parse;
use super::{assert_refused, base, edit};

fn routes(matches: &[Value]) -> Value {
    let named = |(index, matching): (usize, &Value)| {
        let verify = ["twilio", "none", "deny"][index % 3];
        json!({"name": format!("r{index}"), "match": matching, "verify": verify})
    };
    let routes: Vec<_> = matches.iter().enumerate().map(named).collect();
    edit(base(), &json!({"/routes": routes, "/accept_hosts": "any"}))
}

#[test]
fn a_route_behind_one_that_takes_all_its_requests_is_refused() {
    for (earlier, hidden) in [
        (json!({"path": "/a"}), json!({"path": "/a"})),
        (json!({"path_prefix": "/a"}), json!({"path": "/a"})),
        (json!({"path_prefix": "/a"}), json!({"path": "/a/"})),
        (json!({"path_prefix": "/a/"}), json!({"path": "/a/b/c"})),
        (json!({"path_prefix": "/"}), json!({"path": "/"})),
        (json!({"path_prefix": "/"}), json!({"path_prefix": "/"})),
        (json!({"path_prefix": "/a"}), json!({"path_prefix": "/a/"})),
        (json!({"path_prefix": "/a"}), json!({"path_prefix": "/a/b"})),
        (json!({"path_prefix": "/"}), json!({"path_template": "/{x}"})),
        (json!({"path_prefix": "/a"}), json!({"path_template": "/a/{x}"})),
        (json!({"path_prefix": "/a/b"}), json!({"path_template": "/a/b/{x}/c"})),
        (json!({"path_template": "/a/{x}"}), json!({"path": "/a/b"})),
        (json!({"path_template": "/{x}/{y}"}), json!({"path_template": "/a/{x}"})),
        (json!({"path_template": "/a/{x}"}), json!({"path_template": "/a/{other}"})),
        (json!({"path_template": "/a"}), json!({"path": "/a"})),
        (json!({"path": "/a"}), json!({"path": "/a", "hosts": ["h.example"]})),
        (json!({"path": "/a"}), json!({"path": "/a", "methods": ["GET"]})),
        (
            json!({"path": "/a", "hosts": ["h.example", "i.example"]}),
            json!({"path": "/a", "hosts": ["I.example."]}),
        ),
        (json!({"path": "/a", "methods": ["GET", "POST"]}), json!({"path": "/a", "methods": ["POST"]})),
        (json!({"hosts": ["h.example"]}), json!({"hosts": ["h.example"], "path": "/a"})),
        (json!({"hosts": ["h.example"]}), json!({"hosts": ["h.example"]})),
        (json!({"path_prefix": "/", "methods": ["POST"]}), json!({"path": "/b", "methods": ["POST"]})),
    ] {
        assert_refused(&routes(&[earlier.clone(), hidden.clone()]), "routes[1].match");
        let between = json!({"path_prefix": "/elsewhere", "hosts": ["j.example"]});
        if parse(&routes(&[earlier.clone(), between.clone()])).is_err() {
            continue;
        }
        let error = assert_refused(&routes(&[earlier, between, hidden]), "routes[2].match");
        assert!(error.problem().contains("routes[0]"), "{error}");
    }
}

#[test]
fn a_template_without_variables_is_hidden_as_its_path_is() {
    assert_refused(&routes(&[json!({"path": "/a"}), json!({"path_template": "/a"})]), "routes[1].match");
}

#[test]
fn a_route_with_requests_of_its_own_is_kept() {
    for (earlier, kept) in [
        (json!({"path": "/a"}), json!({"path": "/a/"})),
        (json!({"path": "/a"}), json!({"path": "/A"})),
        (json!({"path": "/a"}), json!({"path_prefix": "/a"})),
        (json!({"path_prefix": "/a"}), json!({"path": "/ab"})),
        (json!({"path_prefix": "/a/b"}), json!({"path_prefix": "/a"})),
        (json!({"path_template": "/a/{x}"}), json!({"path_prefix": "/a"})),
        (json!({"path_template": "/a/{x}"}), json!({"path_template": "/{x}/{y}"})),
        (json!({"path_template": "/a/{x}"}), json!({"path_template": "/a/{x}/{y}"})),
        (json!({"path_template": "/a/{x}"}), json!({"path": "/a/"})),
        (json!({"path": "/a", "hosts": ["h.example"]}), json!({"path": "/a"})),
        (json!({"path": "/a", "methods": ["GET"]}), json!({"path": "/a"})),
        (
            json!({"path": "/a", "hosts": ["h.example"]}),
            json!({"path": "/a", "hosts": ["h.example", "i.example"]}),
        ),
        (json!({"path": "/a", "methods": ["GET"]}), json!({"path": "/a", "hosts": ["h.example"]})),
    ] {
        parse(&routes(&[earlier.clone(), kept.clone()]))
            .unwrap_or_else(|error| panic!("{earlier} {kept}: {error}"));
    }
}
