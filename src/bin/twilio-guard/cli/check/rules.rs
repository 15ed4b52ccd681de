//! What is wrong with one configuration in its place.

use serde_json::Value;
use twilio_guard::config::{Environment, Hold, OnError, Plan, Protection, Rule};

use super::find::Gateway;
use super::finding::{Finding, Location, Severity};
use super::place::{Buffer, HeaderHold, Place};
use super::secrets;

/// Envoy's default of `per_connection_buffer_limit_bytes`.
const ENVOY_BUFFER: u64 = 1_048_576;

/// The listener buffer that Envoy Gateway sets by default (envoyproxy/gateway#2600).
const GATEWAY_BUFFER: u64 = 32_768;

/// Examines a configuration.
pub(super) fn examine(
    place: &Place,
    environment: Option<&dyn Environment>,
    gateway: Gateway,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let tree = place.config.tree().unwrap_or(Value::Null);
    let plan = match place.config.bytes() {
        None => {
            findings.push(Finding::error(
                "configuration_encoding",
                place.location.clone(),
                "a message that the filter cannot read",
                "give JSON text in a google.protobuf.StringValue, or a google.protobuf.Struct",
            ));
            None
        }
        Some(text) => match parse(&text, &tree, environment) {
            Ok(plan) => Some(plan),
            Err(error) => {
                let finding = Finding::error(
                    "configuration_invalid",
                    place.location.clone(),
                    error.problem(),
                    error.remedy(),
                );
                findings.push(finding.within(error.path()));
                None
            }
        },
    };
    if let Some(location) = &place.fails_open {
        findings.push(Finding::error(
            "fail_open",
            location.clone(),
            "if the filter fails, requests pass unverified",
            "use failure_policy: FAIL_RELOAD in Envoy, FAIL_CLOSE or FAIL_RELOAD in Istio, failOpen: false in Envoy Gateway",
        ));
    }
    findings.extend(secrets::inline(place, &tree));
    findings.extend(secrets::not_passed(place, &tree));
    if let Some(plan) = &plan {
        findings.extend(header_hold(place, plan, gateway));
        findings.extend(buffer(place, plan, gateway.buffer));
        findings.extend(lease(place, plan));
        findings.extend(shared_store(place, plan));
    }
    findings
}

/// Parses the configuration; without an environment every variable holds something usable.
fn parse(
    text: &[u8],
    tree: &Value,
    environment: Option<&dyn Environment>,
) -> Result<Plan, twilio_guard::config::ConfigError> {
    match environment {
        Some(environment) => Plan::parse(text, environment),
        None => Plan::parse(text, &secrets::Placeholders::for_config(tree)),
    }
}

fn verifying(plan: &Plan) -> impl Iterator<Item = &Rule> {
    plan.rules()
        .map(|rule| &**rule)
        .filter(|rule| matches!(rule.protection, Protection::Twilio(_) | Protection::Sendgrid(_)))
}

fn header_hold(place: &Place, plan: &Plan, gateway: Gateway) -> Option<Finding> {
    if !verifying(plan).any(|rule| rule.hold == Hold::Headers) {
        return None;
    }
    match &place.header_hold {
        HeaderHold::Available => None,
        HeaderHold::FlagMissing(location) => Some(Finding::error(
            "hold_flag_missing",
            location.clone(),
            "hold: headers needs a flag that is not set, so every request with a body is answered 503",
            "set allow_on_headers_stop_iteration: true here, or hold: body in the configuration",
        )),
        HeaderHold::Patched(_) if gateway.holds_headers => None,
        HeaderHold::Patched(remedy) | HeaderHold::Unavailable(remedy) => Some(Finding::error(
            "hold_unavailable",
            place.location.clone(),
            "this kind of resource cannot set allow_on_headers_stop_iteration, so with hold: headers every request with a body is answered 503",
            remedy,
        )),
    }
}

/// A pass that outlasts its lease counts as failed, and a copy then passes beside it.
fn lease(place: &Place, plan: &Plan) -> Option<Finding> {
    let (seconds, location) = place.slowest.as_ref()?;
    let remembering = plan.rules().filter(|rule| rule.remembers());
    let lease = remembering.map(|rule| rule.replay.dedupe.lease.as_secs()).min()?;
    let problem = format!("a request may take {seconds} s on this route, and a lease ends after {lease} s");
    (*seconds > lease).then(|| {
        Finding::warning(
            "lease_too_short",
            location.clone(),
            &problem,
            "raise replay.dedupe.lease above timeout times tries, or lower the timeout",
        )
    })
}

/// What a shared store is told to do while it cannot be asked, and how long asking it may take.
fn shared_store(place: &Place, plan: &Plan) -> Vec<Finding> {
    let Some(shared) = &plan.replay_store().shared else { return Vec::new() };
    let warn = |code, key: &str, problem, remedy| {
        Finding::warning(code, place.location.clone(), problem, remedy)
            .within(format!("replay.store.redis.{key}"))
    };
    let mut findings = Vec::new();
    if shared.on_error == OnError::Allow {
        findings.push(warn(
            "store_fails_open",
            "on_error",
            "while Redis does not answer and the own store fails, every copy of a capture passes",
            "use deny, or local",
        ));
    }
    let remembering = plan.rules().filter(|rule| rule.remembers());
    if remembering.map(|rule| rule.replay.dedupe.lease).min().is_some_and(|lease| lease < shared.timeout) {
        findings.push(warn(
            "lease_too_short",
            "timeout",
            "a request may wait for Redis longer than its lease, and a copy then passes beside it",
            "raise replay.dedupe.lease above the timeout, or lower the timeout",
        ));
    }
    findings
}

fn buffer(place: &Place, plan: &Plan, gateway_buffer: Option<u64>) -> Option<Finding> {
    let needed = verifying(plan).map(|rule| rule.limits.max_body).max()?;
    let needed = u64::try_from(needed).unwrap_or(u64::MAX);
    let finding = |severity: Severity, location: Location, limit: u64, remedy: String| {
        let problem = format!(
            "the listener holds {limit} bytes and max_body is {needed}: Envoy answers 413 before the filter"
        );
        Finding { severity, ..Finding::error("buffer_limit", location, &problem, &remedy) }
    };
    let lower = "or lower limits.max_body";
    match &place.buffer {
        Buffer::Listener(limit, location) => {
            let limit = limit.unwrap_or(ENVOY_BUFFER);
            let remedy = format!("set per_connection_buffer_limit_bytes to at least {needed}, {lower}");
            (limit < needed).then(|| finding(Severity::Error, location.clone(), limit, remedy))
        }
        Buffer::Gateway => {
            let limit = gateway_buffer.unwrap_or(GATEWAY_BUFFER);
            let remedy =
                format!("set connection.bufferLimit of a ClientTrafficPolicy to at least {needed}, {lower}");
            (limit < needed).then(|| finding(Severity::Warning, place.location.clone(), limit, remedy))
        }
        Buffer::Unknown if place.environment.is_some() && needed > ENVOY_BUFFER => {
            let remedy = format!(
                "raise the listener's per_connection_buffer_limit_bytes to at least {needed}, {lower}"
            );
            Some(finding(Severity::Warning, place.location.clone(), ENVOY_BUFFER, remedy))
        }
        Buffer::Unknown => None,
    }
}
