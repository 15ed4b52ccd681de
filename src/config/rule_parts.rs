//! Parts of a rule that a route gives, takes from a profile, or must not give.

use super::matcher::compile_methods;
use super::profile::{self, Profile};
use super::raw::{RawRoute, Verify};
use super::{ConfigError, Hold, Limits, Matcher, Protection, PublicUrl, Rule};

/// The methods of a rule that names none. SendGrid only posts.
pub(super) fn default_methods(verify: Verify) -> Vec<String> {
    let methods: &[&str] = if verify == Verify::Sendgrid { &["POST"] } else { &["POST", "GET"] };
    methods.iter().map(|method| (*method).to_owned()).collect()
}

/// The profile of a route, which has to be one for its scheme.
pub(super) fn find_profile(raw: &RawRoute, path: &str) -> Result<Option<&'static Profile>, ConfigError> {
    let Some(name) = raw.profile.as_deref() else { return Ok(None) };
    let path = format!("{path}.profile");
    match profile::find(name) {
        Some(profile) if profile.verify == raw.verify => Ok(Some(profile)),
        Some(_) => Err(ConfigError::new(
            path,
            "the profile is for another scheme",
            "change it or verify: one names the other",
        )),
        None => Err(ConfigError::new(path, "unknown profile", format!("use one of {}", profile::names()))),
    }
}

/// The methods a rule lets through: its own, else the profile's, else those it matches, else the scheme's.
pub(super) fn methods(
    raw: &RawRoute,
    matcher: &Matcher,
    profile: Option<&Profile>,
    path: &str,
) -> Result<Vec<String>, ConfigError> {
    let methods = match (&raw.methods, profile, &matcher.methods) {
        (Some(own), _, _) => compile_methods(own, &format!("{path}.methods"))?,
        (None, Some(profile), matched) => {
            let allowed = profile.methods.iter().map(|method| (*method).to_owned());
            allowed.filter(|method| matched.as_ref().is_none_or(|matched| matched.contains(method))).collect()
        }
        (None, None, Some(matched)) => matched.clone(),
        (None, None, None) => default_methods(raw.verify),
    };
    if !methods.iter().any(|method| matcher.matches_method(method.as_bytes())) {
        return Err(ConfigError::new(
            format!("{path}.match.methods"),
            "no request that matches here has a method that is let through",
            "list a method of the route or its profile",
        ));
    }
    Ok(methods)
}

/// A key that does nothing under the route's scheme would be a false promise.
pub(super) fn refuse_keys_without_effect(raw: &RawRoute, path: &str) -> Result<(), ConfigError> {
    let of_verification = [
        ("profile", raw.profile.is_some()),
        ("methods", raw.methods.is_some()),
        ("accept_hosts", raw.accept_hosts.is_some()),
        ("hold", raw.hold.is_some()),
        ("limits", raw.limits.is_some()),
        ("replay", raw.replay.is_some()),
    ];
    let of_twilio = [
        ("require_params", raw.require_params.is_some()),
        ("public_url", raw.public_url.is_some()),
        ("accounts", raw.accounts.is_some()),
    ];
    let first = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, given)| *given).map(|(key, _)| *key);
    let (key, problem, remedy) = match raw.verify {
        Verify::Twilio => return Ok(()),
        Verify::Sendgrid => {
            (first(&of_twilio), "SendGrid signs neither URL nor parameters nor account", "remove it")
        }
        Verify::None | Verify::Deny => (
            first(&of_verification).or(first(&of_twilio)),
            "it has no effect on a route that verifies nothing",
            "remove it, or set verify to twilio or sendgrid",
        ),
    };
    match key {
        Some(key) => Err(ConfigError::new(format!("{path}.{key}"), problem, remedy)),
        None => Ok(()),
    }
}

/// Refuses a rule under which a request could run out of candidates before every key was tried.
pub(super) fn check_candidates(rule: &Rule, path: &str) -> Result<(), ConfigError> {
    let Protection::Twilio(twilio) = &rule.protection else { return Ok(()) };
    let urls = match &twilio.public_url {
        PublicUrl::Fixed(bases) => bases.for_request(false).len(),
        PublicUrl::FromRequest | PublicUrl::FromForwarded(_) => 2,
    };
    // Twice: parameters whose order differs between UTF-8 and UTF-16 are tried in both orders.
    let needed = twilio.accounts.iter().map(|account| account.keys.len()).max().unwrap_or(0) * urls * 2;
    let fault = |key: &str, problem: String| {
        Err(ConfigError::new(
            format!("{path}.{key}"),
            problem,
            "raise it, or remove tokens that no longer sign",
        ))
    };
    let Limits { max_candidates, max_hashed_bytes, max_form, max_body, .. } = rule.limits;
    if needed > max_candidates {
        return fault("max_candidates", format!("an account needs up to {needed} signatures for a request"));
    }
    let bytes = needed.saturating_mul(max_form.min(max_body));
    if bytes > max_hashed_bytes {
        return fault("max_hashed_bytes", format!("an account needs up to {bytes} for the largest form"));
    }
    Ok(())
}

/// Refuses to change the path of a head that goes upstream before the verdict.
pub(super) fn refuse_late_strip(rule: &Rule, path: &str) -> Result<(), ConfigError> {
    if rule.replay.minted.strip && rule.hold == Hold::Body && rule.protection.twilio().is_some() {
        return Err(ConfigError::new(
            path,
            "the path cannot be changed once the head went upstream",
            "remove it, or use hold: headers",
        ));
    }
    Ok(())
}
