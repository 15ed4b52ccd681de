//! The shared conformance vectors of Twilio's own scheme, SharedKey and SendGrid, judged by the guard from head to verdict.
//!
//! Every vector that is not optional must get its documented verdict. Where an optional one gets the other verdict, the
//! exceptions file names it with the reason; an entry that is no longer true fails as well.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a broken vector file must fail loudly

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use twilio_guard::config::Plan;
use twilio_guard::guard::{Step, Transaction};
use twilio_guard::native::NativeEnvironment;
use twilio_guard::request::RequestHead;

#[derive(Deserialize)]
struct File {
    count: usize,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    url: String,
    headers: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    body: String,
    body_base64: Option<String>,
    #[serde(default)]
    auth_tokens: Vec<String>,
    public_key: Option<String>,
    #[serde(default)]
    shared_keys: BTreeMap<String, VectorKey>,
    valid: bool,
    optional: bool,
}

#[derive(Deserialize)]
struct VectorKey {
    secret: String,
    algorithm: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Vector {
    fn body(&self) -> Vec<u8> {
        use base64::Engine as _;
        match &self.body_base64 {
            Some(text) => base64::engine::general_purpose::STANDARD.decode(text).expect("vectors are base64"),
            None => self.body.clone().into_bytes(),
        }
    }

    /// Scheme, authority and the target as it stands on the wire.
    fn url_parts(&self) -> (&str, &str, String) {
        let (scheme, rest) = self.url.split_once("://").expect("vectors have absolute URLs");
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        (scheme, authority, target)
    }

    fn plan(&self) -> Option<Plan> {
        let (scheme, authority, _) = self.url_parts();
        let tokens: Vec<Value> = self.auth_tokens.iter().map(|token| json!({"value": token})).collect();
        let mut config = json!({
            "public_url": format!("{scheme}://{authority}"),
            "allow_inline_secrets": true,
            "default": "twilio",
            "limits": {"max_form": "1MiB", "max_params": 5000, "max_hashed_bytes": "64MiB"},
        });
        if !tokens.is_empty() {
            config["accounts"] = json!([{"auth_tokens": tokens}]);
        }
        if !self.shared_keys.is_empty() {
            let key = |(id, key): (&String, &VectorKey)| {
                let algorithm = key.algorithm.to_ascii_lowercase().replace('_', "-");
                json!({"id": id, "secret": {"value": key.secret}, "algorithm": algorithm})
            };
            config["shared_keys"] = self.shared_keys.iter().map(key).collect();
        }
        if !matches!(self.method.as_str(), "GET" | "POST") {
            config["routes"] = json!([
                {"name": "all", "match": {"path_prefix": "/"}, "verify": "twilio", "methods": [self.method]}
            ]);
        }
        if let Some(key) = &self.public_key {
            config["sendgrid_keys"] = json!([{"value": key}]);
            config["default"] = json!("sendgrid");
        }
        Plan::parse(config.to_string().as_bytes(), &NativeEnvironment(|_: &str| None)).ok()
    }

    fn is_accepted(&self) -> bool {
        // A configuration without a usable token is refused at load: nothing is accepted under it.
        let Some(plan) = self.plan() else { return false };
        let (scheme, authority, target) = self.url_parts();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let body = self.body();
        let length = body.len().to_string();
        let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b":method".to_vec(), self.method.clone().into_bytes()),
            (b":authority".to_vec(), host.into()),
            (b":path".to_vec(), target.into_bytes()),
        ];
        // A vector's URL is the text that the verifier hashes. With `https` and an upgrade it is the mistake of not seeing
        // the upgrade, which the filter cannot make: it always signs an upgrade as `wss`. Run it as what is seen then.
        let unseen = |name: &str| scheme.starts_with("http") && matches!(name, "upgrade" | "connection");
        for (name, values) in self.headers.iter().filter(|(name, _)| !unseen(&name.to_ascii_lowercase())) {
            let values = match values {
                OneOrMany::One(value) => vec![value.clone()],
                OneOrMany::Many(values) => values.clone(),
            };
            pairs.extend(values.into_iter().map(|value| (name.to_ascii_lowercase().into(), value.into())));
        }
        if !body.is_empty() {
            pairs.push((b"content-length".to_vec(), length.into()));
        }
        let pairs = pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let head = RequestHead::read(pairs, body.is_empty(), |_| false);
        let (mut transaction, mut step) = Transaction::begin(&plan, &head);
        if matches!(step, Step::Hold) {
            step = transaction.body(body.len(), true, |_| Some(body));
        }
        match step {
            Step::Admit(_) => true,
            Step::Refuse(_) => false,
            other => panic!("{}: {other:?} is no verdict", self.name),
        }
    }
}

fn check(file: &str, exceptions: &str, count: usize) {
    let file: File = serde_json::from_str(file).expect("the vector file");
    assert_eq!((file.count, file.vectors.len()), (count, count), "the file is complete");
    let exceptions: BTreeMap<String, String> = serde_json::from_str(exceptions).expect("the exceptions file");

    let mut wrong = Vec::new();
    let mut differing_optional = BTreeSet::new();
    for vector in &file.vectors {
        if vector.is_accepted() != vector.valid {
            if vector.optional {
                differing_optional.insert(vector.name.clone());
            } else {
                let expected = if vector.valid { "accepted" } else { "refused" };
                wrong.push(format!("{} should be {expected}", vector.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    let excepted: BTreeSet<String> = exceptions.into_keys().collect();
    assert_eq!(
        differing_optional, excepted,
        "the exceptions file names exactly the optional vectors that differ"
    );
}

#[test]
fn every_twilio_and_shared_key_vector_gets_its_verdict() {
    let vectors = include_str!("vectors/twilio-signatures.json");
    check(vectors, include_str!("vectors/twilio-exceptions.json"), 259);
    assert_eq!(vectors.matches("\"category\": \"sharedkey\"").count(), 11);
}

#[test]
fn every_sendgrid_vector_gets_its_verdict() {
    check(include_str!("vectors/sendgrid-signatures.json"), "{}", 59);
}
