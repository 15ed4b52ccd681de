//! A proxy whose routes fail in many ways, chosen by a header: the signed request stays the same, to the byte.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::replaying;
use crate::guarded::{Exchange, Guarded};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, UPSTREAM, WasmFilter, address};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, TOKEN};
use crate::support::sign::Twilio;
use crate::support::upstream::{Recorded, Upstream};
use crate::support::{Result, module};

/// The header that says how a request is to fail. Nothing signs it.
pub(super) const SCENE: &str = "x-scene";

/// A message of its own for each number.
pub(super) fn message(target: &str, number: usize) -> Request {
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
pub(super) fn sid(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:032x}")
}

/// The same request under another scene.
pub(super) fn under(request: &Request, scene: &str) -> Request {
    request.clone().with(SCENE, scene)
}

/// The word of the verified header on which pass of its capture a request is.
pub(super) fn mark(recorded: &Recorded) -> &str {
    let value = recorded.headers.get("x-twilio-guard").and_then(|value| value.to_str().ok());
    value.and_then(|value| value.rsplit_once("replay=")).map_or("", |(_, mark)| mark)
}

/// Message routes that differ in how copies are counted.
pub(super) fn settings() -> Value {
    let route = |name: &str, dedupe: Value| {
        json!({
            "name": name, "match": {"path_prefix": format!("/{name}")}, "verify": "twilio",
            "profile": "messaging", "replay": {"dedupe": dedupe},
        })
    };
    replaying(json!([
        route("sms", json!({})),
        route("ack", json!({"on_replay": "acknowledge"})),
        route("flag", json!({"on_replay": "flag", "max_attempts": 2})),
        route("two", json!({"max_deliveries": 2})),
        route("tries", json!({"max_attempts": 3})),
        route("lease", json!({"lease": "1s", "max_attempts": 2})),
        route("short", json!({"lease": "1s", "window": "1s"})),
        {
            "name": "media", "match": {"path_prefix": "/media"}, "verify": "twilio", "profile": "media-stream",
            "replay": {"dedupe": {"eligible": "always"}},
        },
    ]))
}

/// The proxy, its application, and a port that refuses connections.
pub(super) struct Scene {
    pub(super) guarded: Guarded,
    pub(super) closed: SocketAddr,
}

impl Scene {
    /// Starts one.
    pub(super) async fn start() -> Result<Self> {
        let upstream = Upstream::start().await?;
        // Nobody listens there any more.
        let closed = Upstream::start().await?.address();
        let (open, filter) = (upstream.address(), WasmFilter::new(module::path()?, &settings()));
        let config = EnvoyConfig::new(open)
            .cluster("refused", closed)
            .cluster("empty", closed)
            .cluster("full", open)
            .cluster("half", open)
            .filter(filter)
            .ingress(|listener| listener.edit(add_scenes))
            .edit(move |bootstrap| change_clusters(bootstrap, closed));
        Ok(Self { guarded: Guarded { upstream, envoy: Envoy::start(&config).await? }, closed })
    }

    /// Sends a copy over a connection of its own.
    pub(super) async fn send(&self, request: &Request) -> Result<Exchange> {
        self.guarded.send(Protocol::Http1, request).await
    }

    /// Sends a copy, which has to be refused.
    pub(super) async fn refused(&self, what: &str, request: &Request, status: u16, code: &str) -> Result<()> {
        let exchange = self.send(request).await?;
        let details = exchange.line.details();
        assert_eq!((exchange.response.status, details), (status, &*format!("twilio_guard_{code}")), "{what}");
        assert!(exchange.received.is_empty(), "{what}");
        Ok(())
    }

    /// Sends a copy, which has to arrive as this pass of its capture.
    pub(super) async fn passes(&self, what: &str, request: &Request, expected: &str) -> Result<Exchange> {
        let exchange = self.send(request).await?;
        let marks: Vec<_> = exchange.received.iter().map(mark).collect();
        assert_eq!(marks, [expected], "{what}: {}", exchange.line.0);
        Ok(exchange)
    }
}

/// Routes by the header of the scene, before the usual one.
fn add_scenes(manager: &mut Value) {
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
        ("timeout", json!({"route": {"cluster": UPSTREAM, "timeout": "0.3s"}})),
        ("refused", cluster("refused")),
        ("empty", cluster("empty")),
        ("full", cluster("full")),
        (
            "answered",
            json!({"direct_response": {"status": 200, "body": {"inline_string": "not the application"}}}),
        ),
        ("unrouted", cluster("no such cluster")),
        ("retry", retries(UPSTREAM, "5xx,reset")),
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

fn change_clusters(bootstrap: &mut Value, closed: SocketAddr) {
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
    for cluster in clusters {
        match cluster["name"].as_str() {
            Some("empty") => cluster["load_assignment"]["endpoints"] = json!([]),
            Some("full") => {
                cluster["circuit_breakers"] =
                    json!({"thresholds": [{"max_requests": 0, "max_pending_requests": 0}]});
            }
            Some("half") => {
                let endpoints = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"];
                let endpoints = endpoints.as_array_mut().expect("endpoints");
                endpoints.push(json!({"endpoint": {"address": address(closed)}}));
            }
            _ => {}
        }
    }
}
