//! From raw structures to the checked plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::base::Base;
use super::raw::RawConfig;
use super::replay::compile_store;
use super::{ConfigError, Environment, Hold, Matcher, PathTemplate, Plan, Rule};
use super::{overlap, text};
use crate::headers::is_override;

const DEFAULT_VERIFIED_HEADER: &str = "x-twilio-guard";

/// Reads, checks and compiles a configuration text.
pub(super) fn plan(text: &[u8], environment: &dyn Environment) -> Result<Plan, ConfigError> {
    let raw = text::read(text)?;
    let verified_header = verified_header(&raw)?;
    let base = Base::compile(&raw, environment)?;
    let mut routes: Vec<(Matcher, Rule)> = Vec::with_capacity(raw.routes.len());
    for (index, route) in raw.routes.iter().enumerate() {
        let path = format!("routes[{index}]");
        if routes.iter().any(|(_, other)| other.name == route.name) {
            return Err(ConfigError::new(
                format!("{path}.name"),
                "the name is used twice",
                "give each route its own",
            ));
        }
        let compiled = base.route(route, &path)?;
        if compiled.1.hold == Hold::Body && raw.verified_header.is_some() {
            return Err(hold_without_header(&format!("{path}.hold")));
        }
        routes.push(compiled);
    }
    overlap::refuse_hidden_routes(&routes)?;
    let mut default = base.default_rule(raw.default)?;
    if default.hold == Hold::Body && raw.verified_header.is_some() {
        return Err(hold_without_header("hold"));
    }
    overlap::rank(&mut routes, &mut default);
    let templates: Arc<[PathTemplate]> =
        routes.iter().filter_map(|(matcher, _)| matcher.template()).collect();
    for rule in routes.iter_mut().map(|(_, rule)| rule).chain([&mut default]) {
        rule.redaction.set_templates(&templates);
    }
    // Asked of every request, so answered once.
    let rules = || routes.iter().map(|(_, rule)| rule).chain([&default]);
    let needs_peer = rules().any(|rule| rule.protection.needs_peer());
    let headers = rules().flat_map(|rule| &rule.replay.freshness.headers);
    let time_headers: BTreeSet<String> = headers.map(|header| header.name.clone()).collect();
    let routes = routes.into_iter().map(|(matcher, rule)| (matcher, Arc::new(rule))).collect();
    Ok(Plan {
        routes,
        default: Arc::new(default),
        verified_header,
        explain: raw.explain,
        needs_peer,
        time_headers: time_headers.into_iter().collect(),
        replay_store: compile_store(raw.replay.as_ref(), raw.allow_inline_secrets, environment)?,
        accounts: base.into_accounts(),
    })
}

fn verified_header(raw: &RawConfig) -> Result<String, ConfigError> {
    let Some(name) = &raw.verified_header else { return Ok(DEFAULT_VERIFIED_HEADER.to_owned()) };
    let fits = name.starts_with("x-")
        && (3..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let reserved = ["x-envoy-", "x-forwarded-", "x-twilio-s", "x-twilio-w", "x-twilio-e", "x-b3-", "x-amzn-"];
    let known = ["x-request-id", "x-real-ip", "x-client-ip", "x-client-trace-id", "x-correlation-id"];
    let is_taken = reserved.iter().any(|prefix| name.starts_with(prefix))
        || known.contains(&name.as_str())
        || is_override(name.as_bytes());
    if !fits || is_taken {
        return Err(ConfigError::new(
            "verified_header",
            "not a usable header name",
            "use lower-case letters, digits and -, beginning with x-, and no header that others know",
        ));
    }
    Ok(name.clone())
}

fn hold_without_header(path: &str) -> ConfigError {
    ConfigError::new(
        path,
        "the verified header cannot be added once the head went upstream",
        "remove verified_header, or use hold: headers",
    )
}
