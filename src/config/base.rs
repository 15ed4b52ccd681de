//! The top level of the configuration, and the rules made from it and each route.

use std::sync::Arc;

use super::limits::{compile_limits, compile_statuses};
use super::profile::{Profile, ReplayPreset};
use super::raw::{RawConfig, RawRoute, Verify};
use super::replay::{Levels, RawRouteReplay, compile_replay};
use super::rule_parts::{
    check_candidates, default_methods, find_profile, methods, refuse_keys_without_effect, refuse_late_strip,
};
use super::{
    Account, ConfigError, Environment, Hold, HostPolicy, Limits, Matcher, MintKey, Mode, Protection,
    PublicUrl, RedactionPolicy, Replay, RequiredParam, Rule, SendgridKeys, SendgridRule, SharedKey, Statuses,
    TwilioRule,
};
use super::{accounts, hosts, keys, matcher, mint_keys, params, sendgrid, shared_keys};

/// What the top level of the configuration gives to every rule.
pub(super) struct Base<'a> {
    raw: &'a RawConfig,
    environment: &'a dyn Environment,
    public_url: PublicUrl,
    public_host: Option<Vec<u8>>,
    accept_hosts: Option<HostPolicy>,
    sendgrid_keys: Option<SendgridKeys>,
    accounts: Vec<Arc<Account>>,
    shared_keys: Vec<Arc<SharedKey>>,
    mode: Mode,
    hold: Hold,
    limits: Limits,
    statuses: Statuses,
    redaction: RedactionPolicy,
    mint_keys: Arc<[MintKey]>,
    allow_inline: bool,
}

impl<'a> Base<'a> {
    pub(super) fn compile(raw: &'a RawConfig, environment: &'a dyn Environment) -> Result<Self, ConfigError> {
        let allow_inline = raw.allow_inline_secrets;
        let (public_url, public_host) =
            hosts::compile_public_url(&raw.public_url, "public_url", allow_inline)?;
        let accept_hosts =
            raw.accept_hosts.as_ref().map(|hosts| hosts::compile_hosts(hosts, "accept_hosts")).transpose()?;
        let accounts =
            accounts::compile(raw.accounts.as_deref().unwrap_or_default(), allow_inline, environment)?;
        if raw.accounts.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::new("accounts", "no account is listed", "list one, or remove the key"));
        }
        let shared_keys = shared_keys::compile(
            raw.shared_keys.as_deref().unwrap_or_default(),
            &accounts,
            allow_inline,
            environment,
        )?;
        Ok(Self {
            raw,
            environment,
            public_url,
            public_host,
            accept_hosts,
            sendgrid_keys: sendgrid::compile(raw.sendgrid_keys.as_deref(), environment)?,
            accounts,
            shared_keys,
            mode: raw.mode.unwrap_or(Mode::Enforce),
            hold: raw.hold.unwrap_or(Hold::Headers),
            limits: compile_limits(raw.limits.as_ref(), Limits::default(), "limits")?,
            statuses: compile_statuses(raw.statuses.as_ref(), Statuses::default(), "statuses")?,
            redaction: RedactionPolicy::compile(
                raw.redaction.as_ref(),
                &RedactionPolicy::default(),
                "redaction",
                allow_inline,
                environment,
            )?,
            mint_keys: mint_keys::compile(
                raw.mint_keys.as_deref().unwrap_or_default(),
                allow_inline,
                environment,
            )?
            .into(),
            allow_inline,
        })
    }

    /// What a rule demands of time and number. `path` is where its `replay` block stands.
    fn replay(
        &self,
        route: Option<&RawRouteReplay>,
        profile: Option<&'static Profile>,
        verify: Verify,
        path: &str,
    ) -> Result<Replay, ConfigError> {
        let is_sendgrid = verify == Verify::Sendgrid;
        let default = if is_sendgrid { &ReplayPreset::SENDGRID } else { &ReplayPreset::COUNTED };
        let replay = compile_replay(Levels {
            route,
            profile: profile.map_or(default, |profile| &profile.replay),
            top: self.raw.replay.as_ref(),
            path,
            signs_time: is_sendgrid,
        })?;
        let minted = route.is_some_and(|route| route.minted.is_some());
        match (replay.minted.require, verify) {
            (true, Verify::Twilio) if self.mint_keys.is_empty() => Err(ConfigError::new(
                format!("{path}.minted.require"),
                "there is no key to mint with",
                "list one in mint_keys",
            )),
            (_, Verify::Sendgrid) if minted => {
                Err(ConfigError::new(format!("{path}.minted"), "SendGrid does not sign the URL", "remove it"))
            }
            _ => Ok(replay),
        }
    }

    /// SendGrid drops events that are answered 4xx, so what is only late is answered 503 unless the configuration says otherwise.
    fn statuses_for(&self, verify: Verify) -> Statuses {
        let is_given = self.raw.statuses.as_ref().is_some_and(|statuses| statuses.stale.is_some());
        let stale = if verify == Verify::Sendgrid && !is_given { 503 } else { self.statuses.stale };
        Statuses { stale, ..self.statuses }
    }

    /// Every configured account.
    pub(super) fn into_accounts(self) -> Vec<Arc<Account>> {
        self.accounts
    }

    pub(super) fn default_rule(&self, verify: Verify) -> Result<Rule, ConfigError> {
        let replay = self.replay(None, None, verify, "replay")?;
        let protection = match verify {
            Verify::None => Protection::None,
            Verify::Deny => Protection::Deny,
            Verify::Sendgrid => Protection::Sendgrid(Arc::new(SendgridRule {
                methods: default_methods(Verify::Sendgrid),
                hosts: self.accepted_hosts(None, None, "accept_hosts")?,
                keys: self.sendgrid_keys("default")?,
            })),
            Verify::Twilio => Protection::Twilio(Arc::new(TwilioRule {
                methods: default_methods(Verify::Twilio),
                hosts: self.accepted_hosts(None, None, "accept_hosts")?,
                public_url: self.public_url.clone(),
                accounts: self.bound_accounts(None, "default")?,
                shared_keys: self.shared_keys.clone(),
                require_params: Vec::new(),
                time_params: replay.freshness.params.clone(),
            })),
        };
        let rule = Rule {
            name: "default".to_owned(),
            protection,
            mode: self.mode,
            hold: self.hold,
            limits: self.limits,
            statuses: self.statuses_for(verify),
            redaction: self.redaction.clone(),
            replay,
            mint_keys: Arc::clone(&self.mint_keys),
            stricter: Vec::new(),
        };
        check_candidates(&rule, "limits")?;
        refuse_late_strip(&rule, "replay.minted.strip")?;
        Ok(rule)
    }

    pub(super) fn route(&self, raw: &RawRoute, path: &str) -> Result<(Matcher, Rule), ConfigError> {
        if !keys::is_label(&raw.name, 64) || raw.name == "default" {
            return Err(ConfigError::new(
                format!("{path}.name"),
                "not a route name",
                "use 1 to 64 of a-z, 0-9, - and _, and not \"default\"",
            ));
        }
        let matcher = matcher::compile(&raw.matching, &format!("{path}.match"))?;
        refuse_keys_without_effect(raw, path)?;
        let profile = find_profile(raw, path)?;
        let level = if raw.replay.is_some() { format!("{path}.replay") } else { "replay".to_owned() };
        let replay = self.replay(raw.replay.as_ref(), profile, raw.verify, &level)?;
        let protection = match raw.verify {
            Verify::Twilio => {
                let mut rule = self.twilio_rule(raw, &matcher, path)?;
                rule.time_params.clone_from(&replay.freshness.params);
                Protection::Twilio(Arc::new(rule))
            }
            Verify::Sendgrid => Protection::Sendgrid(Arc::new(self.sendgrid_rule(raw, &matcher, path)?)),
            Verify::None => Protection::None,
            Verify::Deny => Protection::Deny,
        };
        let rule = Rule {
            name: raw.name.clone(),
            protection,
            mode: raw.mode.unwrap_or(self.mode),
            hold: raw.hold.unwrap_or(self.hold),
            limits: compile_limits(raw.limits.as_ref(), self.limits, &format!("{path}.limits"))?,
            statuses: compile_statuses(
                raw.statuses.as_ref(),
                self.statuses_for(raw.verify),
                &format!("{path}.statuses"),
            )?,
            redaction: RedactionPolicy::compile(
                raw.redaction.as_ref(),
                &self.redaction,
                &format!("{path}.redaction"),
                self.allow_inline,
                self.environment,
            )?,
            replay,
            mint_keys: Arc::clone(&self.mint_keys),
            stricter: Vec::new(),
        };
        check_candidates(&rule, &format!("{path}.limits"))?;
        refuse_late_strip(&rule, &format!("{level}.minted.strip"))?;
        Ok((matcher, rule))
    }

    fn twilio_rule(&self, raw: &RawRoute, matcher: &Matcher, path: &str) -> Result<TwilioRule, ConfigError> {
        let profile = find_profile(raw, path)?;
        let methods = methods(raw, matcher, profile, path)?;
        let (public_url, public_host) = match &raw.public_url {
            None => (self.public_url.clone(), None),
            Some(url) => {
                let (url, host) =
                    hosts::compile_public_url(url, &format!("{path}.public_url"), self.allow_inline)?;
                (url, Some(host))
            }
        };
        let hosts = self.route_hosts(raw, matcher, public_host, path)?;
        let accounts = self.bound_accounts(raw.accounts.as_deref(), path)?;
        if profile.is_some_and(|profile| profile.carries_no_account) && accounts.len() > 1 {
            return Err(ConfigError::new(
                format!("{path}.accounts"),
                "this kind of traffic carries no AccountSid, so several accounts cannot be told apart",
                "bind the route to one account: accounts: [AC..]",
            ));
        }
        let require_params = match (&raw.require_params, profile) {
            (Some(own), _) => params::compile(own, &format!("{path}.require_params"))?,
            (None, Some(profile)) => profile.require_params(),
            (None, None) => Vec::<RequiredParam>::new(),
        };
        let shared_keys = self.bound_shared_keys(raw.accounts.as_deref());
        Ok(TwilioRule {
            methods,
            hosts,
            public_url,
            accounts,
            shared_keys,
            require_params,
            time_params: Vec::new(),
        })
    }

    fn sendgrid_rule(
        &self,
        raw: &RawRoute,
        matcher: &Matcher,
        path: &str,
    ) -> Result<SendgridRule, ConfigError> {
        let profile = find_profile(raw, path)?;
        Ok(SendgridRule {
            methods: methods(raw, matcher, profile, path)?,
            hosts: self.route_hosts(raw, matcher, None, path)?,
            keys: self.sendgrid_keys(path)?,
        })
    }

    fn sendgrid_keys(&self, path: &str) -> Result<SendgridKeys, ConfigError> {
        self.sendgrid_keys.clone().ok_or_else(|| {
            ConfigError::new(
                "sendgrid_keys",
                format!("{path} verifies SendGrid signatures and there is no key to verify them with"),
                "list at least one public key",
            )
        })
    }

    /// The hosts that a route accepts. Every host that it matches must be one of them.
    fn route_hosts(
        &self,
        raw: &RawRoute,
        matcher: &Matcher,
        public_host: Option<Option<Vec<u8>>>,
        path: &str,
    ) -> Result<HostPolicy, ConfigError> {
        let own_hosts = raw
            .accept_hosts
            .as_ref()
            .map(|hosts| hosts::compile_hosts(hosts, &format!("{path}.accept_hosts")))
            .transpose()?;
        let hosts = self.accepted_hosts(own_hosts, public_host, &format!("{path}.accept_hosts"))?;
        if let Some(index) = matcher.hosts.iter().flatten().position(|host| !hosts.accepts(host)) {
            return Err(ConfigError::new(
                format!("{path}.match.hosts[{index}]"),
                "requests for this host match here and are never accepted",
                "add the host to accept_hosts, or remove it here",
            ));
        }
        Ok(hosts)
    }

    /// The hosts of a rule: its own list, else (where it has a URL of its own) that URL's host, else the list
    /// of the top level, else the host of the top level's URL.
    fn accepted_hosts(
        &self,
        own: Option<HostPolicy>,
        own_url_host: Option<Option<Vec<u8>>>,
        path: &str,
    ) -> Result<HostPolicy, ConfigError> {
        let policy = match (own, own_url_host) {
            (Some(own), _) => Some(own),
            (None, Some(Some(host))) => Some(HostPolicy::List(vec![host])),
            (None, Some(None) | None) => self
                .accept_hosts
                .clone()
                .or_else(|| self.public_host.clone().map(|host| HostPolicy::List(vec![host]))),
        };
        policy.ok_or_else(|| {
            ConfigError::new(
                path,
                "a public URL that is taken from the request needs an explicit host list",
                "list the accepted hosts",
            )
        })
    }

    /// The accounts that a verifying rule accepts: those it names, else all.
    fn bound_accounts(&self, own: Option<&[String]>, path: &str) -> Result<Vec<Arc<Account>>, ConfigError> {
        if self.accounts.is_empty() && self.shared_keys.is_empty() {
            return Err(ConfigError::new(
                "accounts",
                format!("{path} verifies Twilio signatures and there is no key to verify them with"),
                "list at least one account with its auth_tokens, or a shared key",
            ));
        }
        let Some(own) = own else { return Ok(self.accounts.clone()) };
        let path = format!("{path}.accounts");
        if own.is_empty() {
            return Err(ConfigError::new(path, "no account is listed", "list one, or remove the key"));
        }
        let mut bound: Vec<Arc<Account>> = Vec::with_capacity(own.len());
        for (index, sid) in own.iter().enumerate() {
            let account = self.accounts.iter().find(|account| account.sid.as_deref() == Some(sid));
            match account {
                Some(account) if bound.iter().all(|other| other.sid != account.sid) => {
                    bound.push(Arc::clone(account));
                }
                Some(_) => {
                    return Err(ConfigError::new(
                        format!("{path}[{index}]"),
                        "the account is listed twice",
                        "keep one of them",
                    ));
                }
                None if self.shared_keys.iter().any(|key| key.account.as_deref() == Some(sid)) => {}
                None => {
                    return Err(ConfigError::new(
                        format!("{path}[{index}]"),
                        "not the sid of a configured account",
                        "add it to the accounts of the top level",
                    ));
                }
            }
        }
        Ok(bound)
    }

    /// The shared keys that a verifying rule accepts: those of the accounts it names, else all.
    fn bound_shared_keys(&self, own: Option<&[String]>) -> Vec<Arc<SharedKey>> {
        let is_bound = |key: &&Arc<SharedKey>| {
            own.is_none_or(|own| {
                key.account.as_deref().is_none_or(|account| own.iter().any(|own| own == account))
            })
        };
        self.shared_keys.iter().filter(is_bound).map(Arc::clone).collect()
    }
}
