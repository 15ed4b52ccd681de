//! SendGrid's conformance vectors through a real Envoy: the verdict is the documented one, and that of the native verifier.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::guard::{Step, Transaction};
use twilio_guard::native::NativeEnvironment;
use twilio_guard::request::RequestHead;

use crate::guarded::{Guarded, assert_vm_alive};
use crate::operations::start_up::complaints;
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

/// The native plan of a configuration that Envoy runs.
pub(super) fn native_plan(plugin: &Value) -> Plan {
    Plan::parse(plugin.to_string().as_bytes(), &NativeEnvironment(|_: &str| None)).expect("it is in order")
}

/// What the native verifier says of a request: `verified`, or the reason.
pub(super) fn native_verdict(plan: &Plan, request: &Request) -> &'static str {
    let length = request.body.len().to_string();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", request.method.as_bytes()),
        (b":authority", request.authority.as_bytes()),
        (b":path", request.target.as_bytes()),
        (b"content-length", length.as_bytes()),
    ];
    pairs.extend(request.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())));
    let mut head = RequestHead::read(pairs, request.body.is_empty(), |_| false);
    head.host_delivers_bodies = true;
    let (mut transaction, mut step) = Transaction::begin(plan, &head);
    if matches!(step, Step::Hold) {
        step = transaction.body(request.body.len(), true, |_| Some(request.body.to_vec()));
    }
    match step {
        Step::Admit(_) => "verified",
        Step::Refuse(refused) => refused.reject.code(),
        other => panic!("{other:?} is no verdict"),
    }
}

/// A vector's request; `None` where a header cannot be sent over HTTP.
fn request(vector: &Value) -> Option<Request> {
    let url = vector["url"].as_str()?.strip_prefix("https://")?;
    let (host, target) = url.split_at(url.find('/')?);
    let mut request = Request::new(vector["method"].as_str()?, target).authority(host);
    for (name, values) in vector["headers"].as_object()? {
        for value in values.as_array().unwrap_or(&vec![values.clone()]) {
            let value = value.as_str()?;
            // HTTP removes blanks around a value.
            if HeaderValue::from_str(value).is_err() || value.trim() != value {
                return None;
            }
            request = request.header(&name.to_lowercase(), value);
        }
    }
    Some(match vector["body_base64"].as_str() {
        Some(text) => request.body(STANDARD.decode(text).expect("vectors are base64")),
        None => request.body(vector["body"].as_str().unwrap_or_default().to_owned()),
    })
}

fn configuration(key: &str) -> Value {
    json!({
        "public_url": "https://hooks.example.com",
        "default": "none",
        "sendgrid_keys": [{"value": key}],
        "routes": [{"name": "events", "match": {"path": "/sendgrid/events"}, "verify": "sendgrid"}],
    })
}

#[tokio::test]
async fn every_sendgrid_vector_gets_its_verdict_in_envoy_as_natively() -> Result<()> {
    let file: Value = serde_json::from_str(include_str!("../../vectors/sendgrid-signatures.json"))?;
    let vectors = file["vectors"].as_array().ok_or("no vectors")?;
    let mut by_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for vector in vectors {
        by_key.entry(vector["public_key"].as_str().ok_or("no key")?).or_default().push(vector);
    }
    let (mut sent, mut unsendable, mut unusable_keys) = (0, BTreeSet::new(), 0);
    for (key, vectors) in by_key {
        let plugin = configuration(key);
        let upstream = Upstream::start().await?;
        let config = EnvoyConfig::new(upstream.address()).filter(WasmFilter::new(module::path()?, &plugin));
        let envoy = match Envoy::start(&config).await {
            Ok(envoy) => envoy,
            Err(error) => {
                // No request is served under a key that cannot be used: nothing of such a vector is accepted.
                let [line] = complaints(&error.log)[..] else { panic!("not one line: {error}") };
                assert!(line.contains("sendgrid_keys[0]: not a P-256 public key"), "{line}");
                for vector in vectors {
                    assert!(vector["valid"] == json!(false) || vector["optional"] == json!(true), "{vector}");
                    unusable_keys += 1;
                }
                continue;
            }
        };
        let (guarded, plan) = (Guarded { upstream, envoy }, native_plan(&plugin));
        for vector in vectors {
            let name = vector["name"].as_str().ok_or("no name")?;
            let Some(request) = request(vector) else {
                unsendable.insert(name);
                continue;
            };
            sent += 1;
            let expected = native_verdict(&plan, &request);
            for protocol in Protocol::BOTH {
                let exchange = guarded.send(protocol, &request).await?;
                // They were signed long ago: what is verified is stale by now.
                let reason = exchange.line.field("reason").replace("stale", "verified");
                assert_eq!(reason, expected, "{name}, {protocol:?}");
                assert!(exchange.received.is_empty(), "{name}");
            }
            if vector["optional"] == json!(false) {
                assert_eq!(vector["valid"], json!(expected == "verified"), "{name}: {expected}");
            }
        }
        assert_vm_alive(&guarded.envoy).await?;
    }
    assert_eq!(
        (sent + unsendable.len() + unusable_keys, unusable_keys),
        (vectors.len(), 4),
        "{unsendable:?}"
    );
    assert!(unsendable.len() <= 2, "{unsendable:?}");
    Ok(())
}
