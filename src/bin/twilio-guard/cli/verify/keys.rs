//! What a request is judged by: a configuration, or one made for the keys that the arguments or a vector give.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use twilio_guard::config::{ConfigError, Plan};
use twilio_guard::native::NativeEnvironment;

use super::super::args::{MacAlgorithm, VerifyArgs};
use super::super::configuration;
use super::super::input;
use super::super::message::{Message, Url};
use super::super::outcome::Failure;

/// The keys that a vector carries. Not `Debug`: most are secrets.
#[derive(Default, Deserialize)]
pub(super) struct OwnKeys {
    #[serde(default)]
    auth_tokens: Vec<String>,
    public_key: Option<String>,
    #[serde(default)]
    shared_keys: BTreeMap<String, SharedKey>,
}

#[derive(Deserialize)]
struct SharedKey {
    secret: String,
    algorithm: String,
}

impl OwnKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.auth_tokens.is_empty() && self.public_key.is_none() && self.shared_keys.is_empty()
    }
}

/// Which hosts a request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// That of the public URL.
    OfPublicUrl,
    /// Any: the request may have been recorded behind a proxy that changed it.
    Any,
}

/// The plan to judge by.
pub(super) fn plan(args: &VerifyArgs, message: &Message, own: Option<&OwnKeys>) -> Result<Plan, Failure> {
    if let Some(path) = &args.config {
        return configuration::plan(path, args.place.as_deref());
    }
    let public_url = match &args.public_url {
        Some(url) => url.clone(),
        None => message.url.origin(),
    };
    let has_flags =
        args.key.token_env.is_some() || args.key.token_file.is_some() || args.sendgrid_key.is_some();
    let made = match own {
        Some(own) if !has_flags => for_keys(own, &public_url, message, Hosts::Any),
        _ => from_flags(args, &public_url, message)?,
    };
    made.map_err(|error| Failure::new(error.problem(), error.remedy()))
}

/// The plan for the keys of a vector: every request is verified, at the URL's own host.
pub(super) fn for_keys(
    keys: &OwnKeys,
    public_url: &str,
    message: &Message,
    hosts: Hosts,
) -> Result<Plan, ConfigError> {
    let mut config = base(public_url, message, if keys.public_key.is_some() { "sendgrid" } else { "twilio" });
    if let Some(object) = config.as_object_mut() {
        if hosts == Hosts::Any {
            object.insert("accept_hosts".to_owned(), json!("any"));
        }
        if !keys.auth_tokens.is_empty() {
            let tokens: Vec<Value> = keys.auth_tokens.iter().map(|token| json!({"value": token})).collect();
            object.insert("accounts".to_owned(), json!([{"auth_tokens": tokens}]));
        }
        if !keys.shared_keys.is_empty() {
            let key = |(id, key): (&String, &SharedKey)| {
                let algorithm = key.algorithm.to_ascii_lowercase().replace('_', "-");
                json!({"id": id, "secret": {"value": key.secret}, "algorithm": algorithm})
            };
            object.insert("shared_keys".to_owned(), keys.shared_keys.iter().map(key).collect());
        }
        if let Some(key) = &keys.public_key {
            object.insert("sendgrid_keys".to_owned(), json!([{"value": key}]));
        }
    }
    Plan::parse(config.to_string().as_bytes(), &NativeEnvironment(|_: &str| None))
}

/// The plan for the one key that the arguments name.
fn from_flags(
    args: &VerifyArgs,
    public_url: &str,
    message: &Message,
) -> Result<Result<Plan, ConfigError>, Failure> {
    let mut keys = OwnKeys::default();
    if let Some(path) = &args.sendgrid_key {
        keys.public_key = Some(input::secret_file(path, "--sendgrid-key")?.reveal().to_owned());
    } else {
        let secret = input::secret(&args.key)?.reveal().to_owned();
        match &args.key.shared_key {
            None => keys.auth_tokens.push(secret),
            Some(id) => {
                let algorithm = match args.key.algorithm {
                    MacAlgorithm::HmacSha1 => "HMAC_SHA1",
                    MacAlgorithm::HmacSha256 => "HMAC_SHA256",
                };
                keys.shared_keys.insert(id.clone(), SharedKey { secret, algorithm: algorithm.to_owned() });
            }
        }
    }
    Ok(for_keys(&keys, public_url, message, Hosts::Any))
}

fn base(public_url: &str, message: &Message, verify: &str) -> Value {
    let mut config = json!({
        "public_url": public_url,
        "allow_inline_secrets": true,
        "default": verify,
        "limits": {"max_body": "16MiB", "max_form": "1MiB", "max_params": 5000, "max_hashed_bytes": "32MiB"},
    });
    // The method is not signed; which methods a route takes is the configuration's business.
    if !matches!(message.method.as_str(), "GET" | "POST")
        && let Some(object) = config.as_object_mut()
    {
        let route = json!({"name": "all", "match": {"path_prefix": "/"}, "verify": verify, "methods": [message.method]});
        object.insert("routes".to_owned(), json!([route]));
    }
    config
}

/// The public URL that a vector means, user information included: one of them signs it.
pub(super) fn vector_url(url: &Url) -> String {
    match &url.userinfo {
        Some(userinfo) => format!("{}://{userinfo}@{}", url.scheme, url.authority),
        None => url.origin(),
    }
}
