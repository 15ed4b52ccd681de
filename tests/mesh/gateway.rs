//! `envoy/envoy-gateway/`: the strict and the portable policy, behind the Gateway of the same folder.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::documents::{Folder, Values};
use crate::envoy_gateway::{MODULES, configure};
use crate::support::client::Protocol;
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::tls::{Authority, TlsClient};
use crate::support::upstream::{Behaviour, Upstream};
use crate::support::{Result, eventually, module};
use crate::webhooks::{PHONE, Sender, TEXT, assert_strict_by};

/// Envoy Gateway's proxy with a policy file, and what stands around it.
struct Edge {
    envoy: Envoy,
    application: Upstream,
    sender: Sender,
    authority: Authority,
    _files: TempDir,
    _modules: Upstream,
}

/// The host has to outlive the client's configuration.
const HOST: &str = "webhooks.clinic.example";

impl Edge {
    async fn start(policy: &str, edit: impl FnMut(&mut Value)) -> Result<Self> {
        let values = Values::own()?;
        assert_eq!(values.host, HOST);
        let resources =
            Folder::open("envoy/envoy-gateway", &["secret.yaml", "gateway.yaml", policy], &values)?
                .edit(edit);
        let mut cluster = Cluster::new(&[]);
        cluster.apply(&resources.0)?;
        let (application, modules) = (Upstream::start().await?, Upstream::start().await?);
        let module = std::fs::read(module::path()?)?;
        modules.script("/module.wasm", Behaviour::Answer(200, Vec::new(), module.clone().into()));
        let (authority, files) = (Authority::new("public")?, tempfile::tempdir()?);
        let certificate = authority.issue(HOST)?;
        let config =
            configure(&resources, &cluster, application.address(), &module, (&certificate, files.path()))?;
        let envoy = Envoy::start(&config.cluster(MODULES, modules.address())).await?;
        let sender = Sender::new(&values);
        Ok(Self { envoy, application, sender, authority, _files: files, _modules: modules })
    }

    async fn send(&self, request: &Request) -> Result<Response> {
        let client = TlsClient::new(HOST, &self.authority);
        client.connect(self.envoy.address(), Protocol::Http1).await?.send(request).await
    }
}

#[tokio::test]
async fn the_strict_policy_lets_genuine_webhooks_pass_and_nothing_of_others() -> Result<()> {
    let edge = Edge::start("strict.yaml", |_| {}).await?;
    assert_strict_by(async |request: &Request| edge.send(request).await, &edge.application, &edge.sender)
        .await?;
    // Above Envoy Gateway's default buffer of 32 KiB.
    assert!(edge.send(&edge.sender.long_sms()).await?.accepted());

    let log = eventually("the access log", async || {
        let text = edge.envoy.stdout();
        (text.lines().count() >= 10).then_some(text)
    })
    .await?;
    assert!(log.contains(r#""path":"/calls/[REDACTED]/status""#), "{log}");
    for secret in [PHONE, "%2B15005550006", TEXT, "appointment", "jane-roe"] {
        assert!(!log.contains(secret) && !edge.envoy.log().contains(secret), "{secret}");
    }
    Ok(())
}

/// Where the listener has another name, the patch does not apply.
#[tokio::test]
async fn without_the_patch_requests_with_a_body_are_refused() -> Result<()> {
    let edge = Edge::start("strict.yaml", |value| {
        if value["kind"] == "EnvoyPatchPolicy" {
            value["spec"]["jsonPatches"][0]["name"] = "tcp-8443".into();
        }
        if value["kind"] == "EnvoyExtensionPolicy" {
            value["spec"]["wasm"][0]["config"]["limits"] = json!({"body_timeout": "300ms"});
        }
    })
    .await?;
    let response = edge.send(&edge.sender.sms()).await?;
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(edge.application.byte_count(), 0);
    assert!(edge.send(&edge.sender.call()).await?.accepted(), "what has no body is judged at the head");
    edge.envoy.wait_for_log("allow_on_headers_stop_iteration_missing").await
}

#[tokio::test]
async fn the_portable_policy_lets_heads_pass_before_the_verdict_and_no_forged_body() -> Result<()> {
    let edge = Edge::start("portable.yaml", |_| {}).await?;
    for request in edge.sender.genuine() {
        assert!(edge.send(&request).await?.accepted(), "{}", request.target);
    }
    for request in edge.application.requests() {
        assert!(!request.headers.contains_key("x-twilio-guard"));
    }
    for (request, status) in [(edge.sender.tampered(), 401), (edge.sender.tampered_call(), 401)] {
        assert_eq!(edge.send(&request).await?.status, status);
    }
    let seen = String::from_utf8_lossy(&edge.application.bytes()).into_owned();
    assert!(!seen.contains("4+pm") && !seen.contains("CallStatus=busy"));
    Ok(())
}
