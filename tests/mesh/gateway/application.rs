//! The way to the application: large bodies, TLS, and who else reaches it.

use super::*;
use crate::documents::selects;
use crate::envoy_gateway::pods;

/// The filter takes forms of 64 KiB and other bodies of 1,000,000 bytes by default. Envoy Gateway's defaults are 32 KiB for a
/// connection, and 64 KiB for a stream of HTTP/2.
#[tokio::test]
async fn large_webhooks_pass_over_both_protocols() -> Result<()> {
    let edge = Edge::start(&resources(&["strict.yaml"])?, Names::Version1).await?;
    let around = &edge.around;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for large in [around.sender.long_sms(), around.sender.json(1_000_000)] {
            let response = around.send(edge.envoy.address(), protocol, &large).await?;
            assert!(response.accepted(), "{protocol:?}: {} {}", response.status, response.text());
        }
    }
    let default = resources(&["strict.yaml"])?.edit(|value| {
        if value["kind"] == "ClientTrafficPolicy" {
            value["spec"]["http2"] = Value::Null;
        }
    });
    let edge = Edge::start(&default, Names::Version1).await?;
    let around = &edge.around;
    assert!(edge.send(&around.sender.json(100_000)).await?.accepted());
    let response = around.send(edge.envoy.address(), Protocol::Http2, &around.sender.json(100_000)).await?;
    assert_eq!(response.status, 413, "the default window of a stream does not do");
    Ok(())
}

/// The proxy with backend-tls.yaml, before an application with a certificate for this name.
async fn before_tls(application: &Authority, trusted: &Authority, name: &str) -> Result<Edge> {
    let mut resources = resources(&["strict.yaml", "backend-tls.yaml"])?;
    // kubectl create configmap hooks-ca --from-file=ca.crt
    let map = json!({"kind": "ConfigMap", "metadata": {"namespace": "clinic", "name": "hooks-ca"},
        "data": {"ca.crt": trusted.pem()}});
    resources.0.push(Document { file: "created".to_owned(), value: map });
    let around = Surroundings::new(Upstream::start_tls(&application.issue(name)?).await?).await?;
    let envoy = Envoy::start(&around.configure(&resources, Names::Version1)?).await?;
    Ok(Edge { envoy, around })
}

#[tokio::test]
async fn the_way_to_the_application_is_encrypted_and_leads_to_no_other() -> Result<()> {
    let (own, other) = (Authority::new("clinic")?, Authority::new("other")?);
    before_tls(&own, &own, "hooks.clinic.svc").await?.assert_strict().await?;
    for edge in [
        before_tls(&other, &own, "hooks.clinic.svc").await?,
        before_tls(&own, &own, "elsewhere.clinic.svc").await?,
    ] {
        assert_eq!(edge.send(&edge.around.sender.sms()).await?.status, 503);
        assert_eq!(edge.around.application.byte_count(), 0);
        eventually("the reason in the access log", async || {
            edge.envoy.stdout().contains("TLS_error").then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Whether a `NetworkPolicy` of one rule with one peer admits a pod.
fn admits(policy: &Value, namespace: &str, labels: &Value) -> Result<bool> {
    let peer = &policy["spec"]["ingress"][0]["from"][0];
    assert_eq!(policy["spec"]["ingress"].as_array().map(Vec::len), Some(1));
    assert_eq!(policy["spec"]["ingress"][0]["from"].as_array().map(Vec::len), Some(1));
    let namespace = json!({"kubernetes.io/metadata.name": namespace});
    Ok(selects(&peer["namespaceSelector"]["matchLabels"], &namespace)?
        && selects(&peer["podSelector"]["matchLabels"], labels)?)
}

#[test]
fn only_the_proxies_of_the_gateway_reach_the_application() -> Result<()> {
    let resources = resources(&["networkpolicy.yaml"])?;
    let (policy, gateway) = (resources.one("NetworkPolicy")?, resources.one("Gateway")?);
    assert_eq!(policy["metadata"]["namespace"], gateway["metadata"]["namespace"]);
    assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
    let (labels, namespace) = pods(gateway)?;
    assert!(admits(policy, namespace, &labels)?);
    let mut other = gateway.clone();
    other["metadata"]["name"] = "other".into();
    assert!(!admits(policy, namespace, &pods(&other)?.0)?, "the proxies of another Gateway");
    assert!(!admits(policy, namespace, &json!({}))?, "another pod beside the proxies");
    assert!(!admits(policy, "clinic", &labels)?, "a pod that gave itself the labels");
    Ok(())
}
