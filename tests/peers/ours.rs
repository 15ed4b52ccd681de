//! Our verdict: the guard over a plan, natively.

use crate::case::{Case, Scheme};
use serde_json::{Value, json};
use std::collections::HashMap;
use twilio_guard::config::Plan;
use twilio_guard::guard::{Step, Transaction};
use twilio_guard::native::NativeEnvironment;
use twilio_guard::request::RequestHead;

/// The guard, with every plan that was asked for so far.
#[derive(Default)]
pub struct Guard {
    plans: HashMap<String, Option<Plan>>,
}

impl Guard {
    /// `accepts`, or the code of the refusal. A configuration that does not load accepts nothing.
    pub fn judge(&mut self, case: &Case) -> String {
        let text = configuration(case).to_string();
        let plan = self
            .plans
            .entry(text)
            .or_insert_with_key(|text| Plan::parse(text.as_bytes(), &NativeEnvironment(|_: &str| None)).ok());
        let Some(plan) = plan else { return "configuration".to_owned() };
        let length = case.body.len().to_string();
        let pseudo = [
            (":method", case.method.as_bytes()),
            (":authority", case.authority.as_bytes()),
            (":path", case.target.as_slice()),
        ];
        let headers = case.headers.iter().map(|(name, value)| (*name, value.as_slice()));
        let length = (!case.body.is_empty()).then_some(("content-length", length.as_bytes()));
        let pairs = pseudo.into_iter().chain(headers).chain(length);
        let pairs = pairs.map(|(name, value)| (name.as_bytes(), value));
        let head = RequestHead::read(pairs, case.body.is_empty(), |_| false);
        let (mut transaction, mut step) = Transaction::begin(plan, &head);
        if matches!(step, Step::Hold) {
            step = transaction.body(case.body.len(), true, |_| Some(case.body.clone()));
        }
        match step {
            Step::Admit(_) => "accepts".to_owned(),
            Step::Refuse(refused) => refused.reject.code().to_owned(),
            other => panic!("{other:?} is no verdict on {case:?}"),
        }
    }
}

fn configuration(case: &Case) -> Value {
    let mut config = json!({
        "public_url": case.public_url,
        "allow_inline_secrets": true,
        "default": "twilio",
        // Two tokens under a URL with user information need more than the default.
        "limits": {"max_hashed_bytes": "2MiB"},
    });
    if case.scheme == Scheme::Sendgrid {
        config["sendgrid_keys"] = json!([{"value": case.keys.public_key}]);
        config["default"] = json!("sendgrid");
        return config;
    }
    let tokens: Vec<Value> = case.keys.tokens.iter().map(|token| json!({"value": token})).collect();
    if !tokens.is_empty() {
        config["accounts"] = json!([{"auth_tokens": tokens}]);
    }
    if let Some(sid) = &case.keys.account {
        config["accounts"][0]["sid"] = json!(sid);
    }
    if !case.keys.shared.is_empty() {
        let shared = case.keys.shared.iter().map(|key| {
            let algorithm = key.algorithm.to_ascii_lowercase().replace('_', "-");
            json!({"id": key.id, "secret": {"value": key.secret}, "algorithm": algorithm})
        });
        config["shared_keys"] = shared.collect();
    }
    config
}
