//! Ways in which a route to the application fails, chosen by a header: the signed request stays the same, to the byte.

use super::config::{address, cluster};
use super::http::Request;
use super::scenarios::{ACCOUNT, TOKEN};
use super::sign::Twilio;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The header that says how a request is to fail. Nothing signs it.
pub const SCENE: &str = "x-scene";

/// A message of its own for each number.
pub fn message(target: &str, number: usize) -> Request {
    let sid = sid("SM", number);
    let params = [
        ("AccountSid", ACCOUNT),
        ("Body", "Is it still at 3 pm?"),
        ("From", "+15005550006"),
        ("MessageSid", &sid),
        ("To", "+15005550009"),
    ];
    Twilio::new(TOKEN).form(target, &params)
}

/// A SID of its own for each number.
pub fn sid(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:032x}")
}

/// The same request under another scene.
pub fn under(request: &Request, scene: &str) -> Request {
    request.clone().with(SCENE, scene)
}

/// A rule for messages whose copies are counted so.
pub fn route(name: &str, dedupe: Value) -> Value {
    json!({
        "name": name, "match": {"path_prefix": format!("/{name}")}, "verify": "twilio",
        "profile": "messaging", "replay": {"dedupe": dedupe},
    })
}

/// Adds routes by the header of the scene before the usual one, which leads to the cluster `application`.
pub fn add_routes(manager: &mut Value, application: &str) {
    let cluster = |name: &str| json!({"route": {"cluster": name, "timeout": "30s"}});
    let retries = |name: &str, on: &str| {
        let mut route = cluster(name);
        route["route"]["retry_policy"] = json!({
            "retry_on": on, "num_retries": 2, "host_selection_retry_max_attempts": 5,
            "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.02s"},
            "retry_host_predicate": [{
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.\
                              PreviousHostsPredicate",
                },
            }],
        });
        route
    };
    let mut one_retry = retries("half", "reset,connect-failure");
    one_retry["route"]["retry_policy"]["num_retries"] = 1.into();
    let scenes = [
        ("timeout", json!({"route": {"cluster": application, "timeout": "0.3s"}})),
        ("refused", cluster("refused")),
        ("empty", cluster("empty")),
        ("full", cluster("full")),
        (
            "answered",
            json!({"direct_response": {"status": 200, "body": {"inline_string": "not the application"}}}),
        ),
        ("unrouted", cluster("no such cluster")),
        ("retry", retries(application, "5xx,reset")),
        ("half", one_retry),
        ("once", cluster("half")),
        ("retry-refused", retries("refused", "connect-failure")),
    ];
    let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").and_then(Value::as_array_mut);
    let routes = routes.expect("the listener has routes");
    for (scene, mut route) in scenes {
        let header = json!({"name": SCENE, "string_match": {"exact": scene}});
        route["match"] = json!({"prefix": "/", "headers": [header]});
        routes.insert(0, route);
    }
    manager["route_config"]["validate_clusters"] = false.into();
    // A filter behind ours that answers itself.
    let fault = json!({
        "name": "envoy.filters.http.fault",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "abort": {"http_status": 503, "percentage": {"numerator": 100}},
            "headers": [{"name": SCENE, "string_match": {"exact": "aborted"}}],
        },
    });
    manager["http_filters"].as_array_mut().expect("filters").insert(1, fault);
}

/// Adds the clusters of the scenes: with the application at `open`, and a port at `closed` that refuses connections.
pub fn add_clusters(bootstrap: &mut Value, open: SocketAddr, closed: SocketAddr) {
    let [refused, mut empty] = ["refused", "empty"].map(|name| cluster(name, closed));
    let [mut full, mut half] = ["full", "half"].map(|name| cluster(name, open));
    empty["load_assignment"]["endpoints"] = json!([]);
    full["circuit_breakers"] = json!({"thresholds": [{"max_requests": 0, "max_pending_requests": 0}]});
    let endpoints = half["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array_mut();
    endpoints.expect("endpoints").push(json!({"endpoint": {"address": address(closed)}}));
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    clusters.extend([refused, empty, full, half]);
}
