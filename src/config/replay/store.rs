//! Where captures are remembered.

use serde::Deserialize;

use std::time::Duration;

use super::raw::{RawRedis, RawReplay};
use crate::config::keys::is_label;
use crate::config::raw::RawSecret;
use crate::config::secret_ref::read_secret;
use crate::config::units::{DurationText, Size};
use crate::config::{ConfigError, Environment};
use crate::replay::{Login, RedisStore};

const DEFAULT_CAPACITY: usize = 131_072;
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(100);
/// Its length and that of what holds it stay below 128, so that all of a call's `GrpcService` is ASCII.
const LONGEST_CLUSTER: usize = 120;
const LONGEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The stores that all rules of a plugin share.
#[derive(Debug)]
pub struct ReplayStore {
    /// Live entries of the store of this process.
    pub capacity: usize,
    /// The store that replicas share, which is asked what the own one does not know.
    pub shared: Option<SharedStore>,
    /// Filters with equal namespaces (and VM id) share what they remember.
    pub namespace: String,
    /// What a store that is younger than a window lets pass.
    pub cold_start: ColdStart,
}

/// What a store that is younger than a window lets pass. It cannot know what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// Everything that it does not know.
    Allow,
    /// Only what a signed time shows to be younger than the store.
    Strict,
}

/// A Redis, reached through a cluster of the proxy.
#[derive(Debug)]
pub struct SharedStore {
    /// The cluster that the calls go to.
    pub cluster: String,
    /// How long an answer may take.
    pub timeout: Duration,
    /// What becomes of a request where there is none.
    pub on_error: OnError,
    /// The commands.
    pub redis: RedisStore,
}

/// What becomes of a request that the shared store cannot tell anything about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is refused (503).
    Deny,
    /// The store of this process decides alone.
    Local,
    /// It passes, also where the store of this process fails.
    Allow,
}

impl OnError {
    /// Its word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Local => "local",
            Self::Allow => "allow",
        }
    }
}

pub(in crate::config) fn compile_store(
    raw: Option<&RawReplay>,
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<ReplayStore, ConfigError> {
    let store = raw.and_then(|raw| raw.store.as_ref());
    if store.is_some_and(|store| store.local.is_none() && store.redis.is_none()) {
        return Err(ConfigError::new(
            "replay.store",
            "no store is named",
            "add local or redis, or remove it",
        ));
    }
    let capacity = store.and_then(|store| store.local.as_ref()).and_then(|local| local.capacity);
    let capacity = match capacity {
        None => DEFAULT_CAPACITY,
        Some(Size(own)) if (1024..=2_097_152).contains(&own) => own,
        Some(_) => {
            return Err(ConfigError::new(
                "replay.store.local.capacity",
                "out of range",
                "give a number from 1024 to 2097152; an entry takes about 45 bytes",
            ));
        }
    };
    let namespace = raw.and_then(|raw| raw.namespace.as_deref()).unwrap_or("default");
    if !is_label(namespace, 32) {
        return Err(ConfigError::new(
            "replay.namespace",
            "not a namespace",
            "use 1 to 32 of a-z, 0-9, - and _",
        ));
    }
    let cold_start = raw.and_then(|raw| raw.cold_start).unwrap_or(ColdStart::Allow);
    let shared = store
        .and_then(|store| store.redis.as_ref())
        .map(|redis| compile_redis(redis, namespace, allow_inline, environment))
        .transpose()?;
    Ok(ReplayStore { capacity, shared, namespace: namespace.to_owned(), cold_start })
}

fn compile_redis(
    raw: &RawRedis,
    namespace: &str,
    allow_inline: bool,
    environment: &dyn Environment,
) -> Result<SharedStore, ConfigError> {
    let fault = |key: &str, problem, remedy| {
        Err(ConfigError::new(format!("replay.store.redis.{key}"), problem, remedy))
    };
    if !is_name(&raw.cluster, LONGEST_CLUSTER) {
        return fault("cluster", "not the name of a cluster", "name the cluster that leads to Redis");
    }
    let DurationText(timeout) = raw.timeout.unwrap_or(DurationText(DEFAULT_TIMEOUT));
    if !(Duration::from_millis(1)..=LONGEST_TIMEOUT).contains(&timeout) {
        return fault("timeout", "out of range", "give 1ms to 5s");
    }
    let key_prefix = raw.key_prefix.as_deref().unwrap_or("twilio-guard");
    if !is_name(without_braces(key_prefix), 64) {
        let remedy =
            "use 1 to 64 of a-z, A-Z, 0-9 and - _ . : / |, all of it in braces for one slot of Redis Cluster";
        return fault("key_prefix", "not a prefix", remedy);
    }
    let secret = |raw: Option<&RawSecret>, key: &str| match raw {
        None => Ok(None),
        Some(raw) => read_secret(raw, &format!("replay.store.redis.{key}"), allow_inline, environment),
    };
    let username = secret(raw.username.as_ref(), "username")?;
    let password = secret(raw.password.as_ref(), "password")?;
    if username.is_some() && password.is_none() {
        return fault("password", "a username without a password", "add the password of the ACL user");
    }
    let login = Login { username, password, database: raw.database.unwrap_or_default().into() };
    Ok(SharedStore {
        cluster: raw.cluster.clone(),
        timeout,
        on_error: raw.on_error.unwrap_or(OnError::Deny),
        redis: RedisStore::new(login, key_prefix, namespace),
    })
}

/// Redis Cluster takes what stands in braces for the whole key (a hash tag): keys that share it share a slot.
fn without_braces(prefix: &str) -> &str {
    prefix.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(prefix)
}

/// Names of clusters hold separators: Istio's are like `outbound|6379||redis.ns.svc.cluster.local`.
fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/|".contains(&b))
}
