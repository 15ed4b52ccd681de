//! The compiled configuration: immutable, checked, and shared by every request that began under it.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Account, ConfigError, Eligible, Environment, Hold, HostPolicy, KeyName, Limits, Matcher, MintKey, Mode,
    PublicUrl, RedactionPolicy, Replay, ReplayStore, RequiredParam, SendgridRule, SharedKey, Statuses,
    TimeSource,
};

/// A configuration that passed every check.
#[derive(Debug)]
pub struct Plan {
    pub(super) routes: Vec<(Matcher, Arc<Rule>)>,
    pub(super) default: Arc<Rule>,
    pub(super) verified_header: String,
    pub(super) explain: bool,
    pub(super) needs_peer: bool,
    pub(super) accounts: Vec<Arc<Account>>,
    pub(super) replay_store: ReplayStore,
    pub(super) time_headers: Vec<String>,
}

impl Plan {
    /// Reads a configuration text.
    ///
    /// # Errors
    /// The first fault found, with its path and remedy. Nothing is ever half accepted.
    pub fn parse(text: &[u8], environment: &dyn Environment) -> Result<Self, ConfigError> {
        super::compile::plan(text, environment)
    }

    /// The routes in order of precedence.
    #[must_use]
    pub fn routes(&self) -> &[(Matcher, Arc<Rule>)] {
        &self.routes
    }

    /// The rule of a request that no route takes.
    #[must_use]
    pub const fn default_rule(&self) -> &Arc<Rule> {
        &self.default
    }

    /// Every rule, the default last.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.routes.iter().map(|(_, rule)| rule).chain([&self.default])
    }

    /// The name of the header that tells the upstream what was verified, in lower case.
    #[must_use]
    pub fn verified_header(&self) -> &str {
        &self.verified_header
    }

    /// Every configured account, also one that no rule accepts.
    #[must_use]
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    /// Where captures are remembered.
    #[must_use]
    pub const fn replay_store(&self) -> &ReplayStore {
        &self.replay_store
    }

    /// The longest time for which any rule remembers captures; `None` where none does.
    #[must_use]
    pub fn longest_window(&self) -> Option<Duration> {
        self.rules().filter(|rule| rule.remembers()).map(|rule| rule.replay.dedupe.window).max()
    }

    /// Whether a rule looks for a time in this header, whose name is in lower case.
    #[must_use]
    pub fn is_time_header(&self, name: &[u8]) -> bool {
        self.time_headers.iter().any(|own| own.as_bytes() == name)
    }

    /// Whether refusals are explained to the operator.
    #[must_use]
    pub const fn explains(&self) -> bool {
        self.explain
    }

    /// Whether a rule needs the address of the peer, which costs a call to the host.
    #[must_use]
    pub const fn needs_peer(&self) -> bool {
        self.needs_peer
    }

    /// The shortest `body_timeout` of all rules: how finely the host's clock must tick.
    #[must_use]
    pub fn shortest_body_timeout(&self) -> Duration {
        self.rules().map(|rule| rule.limits.body_timeout).min().unwrap_or(Duration::from_secs(1))
    }
}

/// Everything that decides about a request once its rule is known. Overrides are already resolved.
#[derive(Debug)]
pub struct Rule {
    /// The route's name, or `default`.
    pub name: String,
    /// What is demanded of a request.
    pub protection: Protection,
    /// Whether a refusal stops the request.
    pub mode: Mode,
    /// What is kept from the upstream until the verdict.
    pub hold: Hold,
    /// Limits of size, count and time.
    pub limits: Limits,
    /// The HTTP status of each class of refusal.
    pub statuses: Statuses,
    /// What access logs and traces may show of a request.
    pub redaction: RedactionPolicy,
    /// How old a request may be, and how often its capture may pass.
    pub replay: Replay,
    /// Keys by which the application mints callback URLs.
    pub mint_keys: Arc<[MintKey]>,
    pub(super) stricter: Vec<usize>,
}

impl Rule {
    /// Whether captures of requests under this rule are remembered.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.replay.dedupe.eligible != Eligible::None && self.protection.methods().is_some()
    }

    /// The rules that demand more than this one in some respect, by their index in [`Plan::rules`]. A rule without any may take targets that
    /// can be read in two ways.
    #[must_use]
    pub fn stricter_rules(&self) -> &[usize] {
        &self.stricter
    }
}

/// What a rule demands.
#[derive(Debug)]
pub enum Protection {
    /// Nothing: the request passes unverified.
    None,
    /// A valid Twilio signature.
    Twilio(Arc<TwilioRule>),
    /// A valid SendGrid signature.
    Sendgrid(Arc<SendgridRule>),
    /// The request is refused, whatever it carries.
    Deny,
}

impl Protection {
    /// Whether the address of the peer decides under this rule.
    pub(super) fn needs_peer(&self) -> bool {
        self.twilio().is_some_and(|twilio| matches!(twilio.public_url, PublicUrl::FromForwarded(_)))
    }

    /// The rule for Twilio's own scheme, where that is what is demanded.
    #[must_use]
    pub fn twilio(&self) -> Option<&TwilioRule> {
        if let Self::Twilio(twilio) = self { Some(twilio) } else { None }
    }

    /// The methods that a verifying rule lets through.
    #[must_use]
    pub fn methods(&self) -> Option<&[String]> {
        match self {
            Self::Twilio(twilio) => Some(&twilio.methods),
            Self::Sendgrid(sendgrid) => Some(&sendgrid.methods),
            Self::None | Self::Deny => None,
        }
    }

    /// What the rule demands, in the word of the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Twilio(_) => "twilio",
            Self::Sendgrid(_) => "sendgrid",
            Self::Deny => "deny",
        }
    }

    /// The names of the keys that may sign.
    #[must_use]
    pub fn key_names(&self) -> Vec<&KeyName> {
        match self {
            Self::Twilio(twilio) => {
                let tokens = twilio.accounts.iter().flat_map(|account| &account.keys);
                tokens
                    .chain(twilio.shared_keys.iter().map(|shared| &shared.key))
                    .map(|key| &**key.name())
                    .collect()
            }
            Self::Sendgrid(sendgrid) => sendgrid.keys.keys().iter().map(|key| &*key.name).collect(),
            Self::None | Self::Deny => Vec::new(),
        }
    }
}

/// What a Twilio signature has to match.
#[derive(Debug)]
pub struct TwilioRule {
    /// The methods that are let through; methods are not signed.
    pub methods: Vec<String>,
    /// The hosts that a request may name.
    pub hosts: HostPolicy,
    /// The signed URL's beginning.
    pub public_url: PublicUrl,
    /// The accounts whose tokens may sign. Empty only where there are shared keys.
    pub accounts: Vec<Arc<Account>>,
    /// The shared keys that may sign.
    pub shared_keys: Vec<Arc<SharedKey>>,
    /// Signed parameters that must be there and well-formed.
    pub require_params: Vec<RequiredParam>,
    /// Signed parameters that are times.
    pub time_params: Vec<TimeSource>,
}
