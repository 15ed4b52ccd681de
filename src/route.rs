//! Which rule governs a request (DESIGN section 3).
//!
//! Routes match on the canonical path: the path of the target, percent-decoded once. Three readings of a request
//! could lead an application somewhere else than this match, and each is refused wherever the rule found is
//! weaker than one that such a reading would reach:
//!
//! 1. **An ambiguous path** ([`CanonicalPath`]): the proxy and the application may resolve it differently, to any
//!    path at all. It is accepted only by a rule than which none is stricter, of those that a request for this host can meet.
//!    CONNECT and upgrades other than WebSocket, whose tunnels can carry any request for any host, count as ambiguous.
//! 2. **A lenient reading** ([`LoosePath`]): a path that many applications would take for one of a stricter route is refused,
//!    unless the rule found was configured for exactly that path.
//! 3. **Another method**: a request whose host and path a stricter route takes is not let through because its
//!    method sent it past that route, unless the rule found was configured for exactly that path and method.
//!
//! Whether such a refusal is enforced is for the stricter rule to say: it is the one that is protected.
//!
//! The host is a plain condition of the match. A host that cannot be read matches no route, so it is refused where a stricter
//! route would have asked for one. A well-formed foreign host is not: routing by host is the proxy's own business. Where no rule
//! protects anything of a host, no reading of its paths is refused: the plain one would pass as well.

use std::sync::Arc;

use crate::config::{Matcher, Mode, PathPattern, Plan, Rule};
use crate::path::{CanonicalPath, LoosePath, LoosePattern};
use crate::reject::Reject;
use crate::request::{RequestHead, comparable_host};

/// The rule of a request, and what stands between them.
#[derive(Debug)]
pub struct Selection<'p> {
    /// The rule found.
    pub rule: &'p Arc<Rule>,
    /// Set where the rule must not let the request through, for the sake of a stricter one.
    pub gate: Option<Gate<'p>>,
}

/// A refusal that protects a stricter rule than the one found.
#[derive(Debug)]
pub struct Gate<'p> {
    /// The reason.
    pub reject: Reject,
    /// Whether the refusal is enforced: whether a rule that it protects is.
    pub mode: Mode,
    /// The protected rule, where it is a certain one.
    pub protects: Option<&'p Arc<Rule>>,
}

/// Finds the rule of a request.
#[must_use]
pub fn select<'p>(plan: &'p Plan, head: &RequestHead<'_>) -> Selection<'p> {
    let host = comparable_host(head.authority);
    let host = host.as_deref();
    let path = CanonicalPath::of(head.path());
    let found = plan.routes().iter().find(|(matcher, _)| {
        matcher.matches_resource(host, &path.text) && matcher.matches_method(head.method)
    });
    let (matcher, rule) = match found {
        Some((matcher, rule)) => (Some(matcher), rule),
        None => (None, plan.default_rule()),
    };
    let gate = gate(plan, rule, matcher, host, &path, head);
    Selection { rule, gate }
}

fn gate<'p>(
    plan: &'p Plan,
    rule: &Rule,
    matcher: Option<&Matcher>,
    host: Option<&[u8]>,
    path: &CanonicalPath<'_>,
    head: &RequestHead<'_>,
) -> Option<Gate<'p>> {
    let is_tunnel = is_tunnel(head);
    // What a tunnel carries, may be for any host.
    let stricter = stricter(plan, rule, host.filter(|_| !is_tunnel));
    let protect_any = |reject, is_reached: &dyn Fn(Option<&Matcher>) -> bool| {
        let reached = || stricter.iter().filter(|(other, _)| is_reached(*other)).map(|(_, rule)| *rule);
        let enforced = reached().find(|rule| rule.mode == Mode::Enforce);
        let rule = enforced.or_else(|| reached().next())?;
        Some(Gate { reject, mode: rule.mode, protects: Some(rule) })
    };
    if path.ambiguous || is_tunnel {
        let gate = protect_any(Reject::AmbiguousPath, &|_| true)?;
        return Some(Gate { protects: None, ..gate });
    }
    let protect = |reject, is_reached: &dyn Fn(&Matcher) -> bool| {
        protect_any(reject, &|other| other.is_some_and(is_reached))
    };
    let names_path = matches!(matcher, Some(Matcher { path: Some(PathPattern::Exact(_)), .. }));
    let names_method = names_path && matcher.is_some_and(|matcher| matcher.methods.is_some());
    let is_taken = |other: &Matcher| other.matches_path(&path.text);
    let by_method = protect(Reject::MethodNotAllowed, &|other| {
        !names_method && is_taken(other) && !other.matches_method(head.method)
    });
    let by_host = || {
        protect(Reject::HostNotAccepted, &|other| host.is_none() && other.hosts.is_some() && is_taken(other))
    };
    let by_path = || {
        if names_path || stricter.is_empty() {
            return None;
        }
        let readings = LoosePath::of(head.path()).readings();
        let is_read = |own: &LoosePattern| readings.iter().any(|reading| own.matches(reading));
        protect(Reject::AmbiguousPath, &|other| !is_taken(other) && other.loose.as_ref().is_some_and(is_read))
    };
    or_enforced(or_enforced(by_method, by_host), by_path)
}

/// The rules stricter than this one that some request for this host can meet; the default has no matcher. Where the host cannot be
/// read, it could be any.
fn stricter<'p>(
    plan: &'p Plan,
    rule: &Rule,
    host: Option<&[u8]>,
) -> Vec<(Option<&'p Matcher>, &'p Arc<Rule>)> {
    let takes_rest = |(matcher, _): &(Matcher, _)| matcher.takes_everything_for(host);
    let last = plan.routes().iter().position(takes_rest).unwrap_or(usize::MAX);
    let reached = rule.stricter_rules().iter().take_while(|index| **index <= last);
    let of_host = reached.filter_map(|index| match plan.routes().get(*index) {
        Some((matcher, rule)) => {
            (host.is_none() || matcher.matches_host(host)).then_some((Some(matcher), rule))
        }
        None => Some((None, plan.default_rule())),
    });
    of_host.collect()
}

/// The first gate that is enforced; where none is, the first. One that is only observed must not hide another.
fn or_enforced<'p>(first: Option<Gate<'p>>, other: impl FnOnce() -> Option<Gate<'p>>) -> Option<Gate<'p>> {
    let is_enforced = |gate: &Gate<'_>| gate.mode == Mode::Enforce;
    if first.as_ref().is_some_and(is_enforced) {
        return first;
    }
    let other = other();
    if other.as_ref().is_some_and(is_enforced) { other } else { first.or(other) }
}

/// Whether what follows the head could be any request.
fn is_tunnel(head: &RequestHead<'_>) -> bool {
    head.method == b"CONNECT" || (head.is_upgrade() && !head.asks_for_websocket())
}
