//! `envoy/envoy-gateway/`: the strict and the portable policy, behind the Gateway of the same folder.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::documents::{Document, Folder, Values, text};
use crate::envoy_gateway::chain::{BEFORE_WASM, sorted};
use crate::envoy_gateway::{AUTHORIZATION, Input, MODULES, Names, configure, listener};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, discovery_response, find_listeners_in_file, listeners_file};
use crate::support::envoy::{Envoy, Update};
use crate::support::http::{Request, Response};
use crate::support::tls::{Authority, Identity, TlsClient};
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{Result, eventually, module};
use crate::webhooks::{PHONE, Sender, TEXT, assert_strict_by};

mod application;
mod installation;

/// The host has to outlive the client's configuration.
const HOST: &str = "webhooks.clinic.example";

const FOLDER: &str = "envoy/envoy-gateway";

/// The examples with these files, and a user's own values.
fn resources(files: &[&str]) -> Result<Folder> {
    let values = Values::own()?;
    assert_eq!(values.host, HOST);
    let files: Vec<_> = ["secret.yaml", "gateway.yaml"].iter().chain(files).copied().collect();
    Folder::open(FOLDER, &files, &values)
}

/// What stands around the proxies: the controller, the application, whoever trusts the certificate.
struct Surroundings {
    cluster: Cluster,
    application: Upstream,
    modules: Upstream,
    authority: Authority,
    certificate: Identity,
    module: Vec<u8>,
    sender: Sender,
    files: TempDir,
}

impl Surroundings {
    async fn new(application: Upstream) -> Result<Self> {
        let values = Values::own()?;
        let mut cluster = Cluster::new(&[]);
        cluster.apply(&resources(&[])?.0)?;
        let modules = Upstream::start().await?;
        let module = std::fs::read(module::path()?)?;
        modules.script("/module.wasm", Behaviour::Answer(200, Vec::new(), module.clone().into()));
        let authority = Authority::new("public")?;
        Ok(Self {
            cluster,
            application,
            modules,
            certificate: authority.issue(HOST)?,
            authority,
            module,
            sender: Sender::new(&values),
            files: tempfile::tempdir()?,
        })
    }

    fn input<'a>(&'a self, resources: &'a Folder, names: Names) -> Input<'a> {
        Input {
            resources,
            cluster: &self.cluster,
            names,
            upstream: self.application.address(),
            module: &self.module,
            certificate: (&self.certificate, self.files.path()),
        }
    }

    fn configure(&self, resources: &Folder, names: Names) -> Result<EnvoyConfig> {
        Ok(configure(&self.input(resources, names))?.cluster(MODULES, self.modules.address()))
    }

    async fn send(&self, address: SocketAddr, protocol: Protocol, request: &Request) -> Result<Response> {
        let client = TlsClient::new(HOST, &self.authority);
        client.connect(address, protocol).await?.send(request).await
    }
}

/// A proxy of the Gateway, and what stands around it.
struct Edge {
    envoy: Envoy,
    around: Surroundings,
}

impl Edge {
    async fn start(resources: &Folder, names: Names) -> Result<Self> {
        let around = Surroundings::new(Upstream::start().await?).await?;
        let envoy = Envoy::start(&around.configure(resources, names)?).await?;
        Ok(Self { envoy, around })
    }

    async fn send(&self, request: &Request) -> Result<Response> {
        self.around.send(self.envoy.address(), Protocol::Http1, request).await
    }

    async fn assert_strict(&self) -> Result<()> {
        let send = async |request: &Request| self.send(request).await;
        assert_strict_by(send, &self.around.application, &self.around.sender).await
    }
}

#[tokio::test]
async fn the_strict_policy_lets_genuine_webhooks_pass_and_nothing_of_others() -> Result<()> {
    let edge = Edge::start(&resources(&["strict.yaml"])?, Names::Version1).await?;
    edge.assert_strict().await?;

    let log = eventually("the access log", async || {
        let text = edge.envoy.stdout();
        (text.lines().count() >= 9).then_some(text)
    })
    .await?;
    assert!(log.contains(r#""path":"/calls/[REDACTED]/status""#), "{log}");
    for secret in [PHONE, "%2B15005550006", TEXT, "appointment", "jane-roe"] {
        assert!(!log.contains(secret) && !edge.envoy.log().contains(secret), "{secret}");
    }
    Ok(())
}

/// The other name of the listener, which strict.yaml has in a comment.
#[tokio::test]
async fn the_patch_applies_to_the_other_scheme_of_names_as_its_comment_says() -> Result<()> {
    let text = text(&format!("{FOLDER}/strict.yaml"))?;
    let (_, name) = text.split_once("<protocol>-<port>: ").ok_or("no comment")?;
    let name = name.lines().next().ok_or("no name")?;
    let resources = resources(&["strict.yaml"])?.replace("clinic/hooks/https", name)?;
    Edge::start(&resources, Names::Version2).await?.assert_strict().await
}

/// Where the listener has another name, the patch does not apply.
#[tokio::test]
async fn without_the_patch_requests_with_a_body_are_refused() -> Result<()> {
    let resources = resources(&["strict.yaml"])?.edit(|value| {
        if value["kind"] == "EnvoyExtensionPolicy" {
            value["spec"]["wasm"][0]["config"]["limits"] = json!({"body_timeout": "300ms"});
        }
    });
    let edge = Edge::start(&resources, Names::Version2).await?;
    let sender = &edge.around.sender;
    let response = edge.send(&sender.sms()).await?;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(edge.around.application.byte_count(), 0);
    assert!(edge.send(&sender.call()).await?.accepted(), "what has no body is judged at the head");
    edge.envoy.wait_for_log("allow_on_headers_stop_iteration_missing").await
}

#[tokio::test]
async fn the_portable_policy_lets_heads_pass_before_the_verdict_and_no_forged_body() -> Result<()> {
    let edge = Edge::start(&resources(&["portable.yaml"])?, Names::Version1).await?;
    let (sender, application) = (&edge.around.sender, &edge.around.application);
    for request in sender.genuine() {
        assert!(edge.send(&request).await?.accepted(), "{}", request.target);
    }
    for request in application.requests() {
        assert!(!request.headers.contains_key("x-twilio-guard"));
    }
    for (request, status) in [(sender.tampered(), 401), (sender.tampered_call(), 401)] {
        assert_eq!(edge.send(&request).await?.status, status);
    }
    let seen = String::from_utf8_lossy(&application.bytes()).into_owned();
    assert!(!seen.contains("4+pm") && !seen.contains("CallStatus=busy"));
    Ok(())
}

/// The policy is the Gateway's: another route of the same host is governed as well. A policy of a route itself takes its place
/// there.
#[tokio::test]
async fn another_route_does_not_go_past_the_policy_but_one_with_a_policy_of_its_own_does() -> Result<()> {
    let mut resources = resources(&["strict.yaml"])?;
    let mut route = resources.one("HTTPRoute")?.clone();
    route["metadata"]["name"] = "other".into();
    route["spec"]["rules"] = json!([{
        "matches": [{"path": {"type": "Exact", "value": "/sms"}}],
        "backendRefs": [{"name": "hooks", "port": 80}],
        "timeouts": {"request": "15s"},
    }]);
    resources.0.push(Document { file: "other".to_owned(), value: route });
    let edge = Edge::start(&resources, Names::Version1).await?;
    edge.assert_strict().await?;

    let policy = json!({"kind": "EnvoyExtensionPolicy", "metadata": {"namespace": "clinic", "name": "other"},
        "spec": {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "other"}]}});
    resources.0.push(Document { file: "other".to_owned(), value: policy });
    let edge = Edge::start(&resources, Names::Version1).await?;
    let sender = &edge.around.sender;
    assert!(edge.send(&sender.tampered()).await?.accepted(), "the other policy does not verify");
    assert_eq!(edge.send(&sender.tampered_call()).await?.status, 401);
    Ok(())
}

/// By default a `SecurityPolicy` comes first; with the order of gateway.yaml its service hears of no forged request.
#[tokio::test]
async fn nobody_else_is_asked_about_a_request_before_it_is_verified() -> Result<()> {
    let policy = json!({"kind": "SecurityPolicy", "metadata": {"namespace": "clinic", "name": "hooks"}, "spec": {
        "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "hooks"}],
        "extAuth": {"http": {"backendRefs": [{"name": "authorization", "port": 80}]}},
    }});
    for is_ordered in [true, false] {
        let mut resources = resources(&["strict.yaml"])?;
        resources.0.push(Document { file: "other".to_owned(), value: policy.clone() });
        if !is_ordered {
            resources = resources.edit(|value| {
                if value["kind"] == "EnvoyProxy" {
                    value["spec"]["filterOrder"] = Value::Null;
                }
            });
        }
        let around = Surroundings::new(Upstream::start().await?).await?;
        let authorization = Upstream::start().await?;
        let config = around.configure(&resources, Names::Version1)?;
        let envoy = Envoy::start(&config.cluster(AUTHORIZATION, authorization.address())).await?;
        let edge = Edge { envoy, around };
        for (request, status) in edge.around.sender.forged() {
            assert_eq!(edge.send(&request).await?.status, status, "{}", request.target);
        }
        assert_eq!(authorization.byte_count() == 0, is_ordered);
        let before = authorization.count();
        assert!(edge.send(&edge.around.sender.sms()).await?.accepted());
        assert_eq!(authorization.count(), before + 1);
    }
    Ok(())
}

/// Whichever of these filters the policies of a Gateway add.
#[test]
fn the_filter_comes_before_each_filter_that_acts_on_requests() -> Result<()> {
    let resources = resources(&[])?;
    let order = resources.one("EnvoyProxy")?["spec"]["filterOrder"].as_array().ok_or("no order")?;
    let filter = |kind: &str| json!({"name": format!("envoy.filters.http.{kind}/policy/0")});
    let own = [filter("wasm"), filter("router")];
    let alone = BEFORE_WASM.map(|kind| vec![filter(kind)]);
    for others in alone.into_iter().chain([BEFORE_WASM.map(filter).to_vec()]) {
        let chain: Vec<_> = others.iter().chain(&own).cloned().collect();
        assert_eq!(sorted(chain.clone(), &[])?[0], others[0], "the default");
        let ours = sorted(chain, order)?;
        assert_eq!(ours[0], own[0], "{ours:?}");
        assert_eq!(ours[1..=others.len()], others, "the rest stays in its order");
    }
    Ok(())
}
