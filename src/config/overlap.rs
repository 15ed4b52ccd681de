//! How rules relate: which route hides another, and which rule demands more than which.

use super::{ConfigError, Hold, Matcher, Mode, Protection, Rule};

/// Refuses a route that an earlier one hides completely.
pub(super) fn refuse_hidden_routes(routes: &[(Matcher, Rule)]) -> Result<(), ConfigError> {
    for (index, (matcher, _)) in routes.iter().enumerate() {
        let hiding = routes.iter().take(index).position(|(earlier, _)| earlier.covers(matcher));
        if let Some(earlier) = hiding {
            return Err(ConfigError::new(
                format!("routes[{index}].match"),
                format!("it can never match: routes[{earlier}] takes every such request first"),
                "move it before that route, or remove it",
            ));
        }
    }
    Ok(())
}

/// Records, for each rule, which others are stricter. A default that a catch-all route leaves nothing to is not counted.
pub(super) fn rank(routes: &mut [(Matcher, Rule)], default: &mut Rule) {
    let is_default_reached = !routes.iter().any(|(matcher, _)| matcher.takes_everything_for(None));
    let rules: Vec<&Rule> = routes.iter().map(|(_, rule)| rule).chain([&*default]).collect();
    let reached = rules.len().saturating_sub(usize::from(!is_default_reached));
    let stricter = |rule: &&Rule| -> Vec<usize> {
        let others = rules.iter().take(reached).enumerate();
        others.filter(|(_, other)| !is_at_least_as_strict(rule, other)).map(|(index, _)| index).collect()
    };
    let ranks: Vec<_> = rules.iter().map(stricter).collect();
    for (rule, stricter) in routes.iter_mut().map(|(_, rule)| rule).chain([default]).zip(ranks) {
        rule.stricter = stricter;
    }
}

/// Whether everything that `rule` lets through, `other` would let through as well.
///
/// Rules whose signed URLs differ are not comparable: neither is at least as strict as the other.
fn is_at_least_as_strict(rule: &Rule, other: &Rule) -> bool {
    match (&rule.protection, &other.protection) {
        (_, Protection::None) => true,
        (Protection::None, _) => false,
        _ if rule.mode == Mode::Observe && other.mode == Mode::Enforce => false,
        (Protection::Deny, _) => true,
        (_, Protection::Deny) => false,
        _ if rule.hold == Hold::Body && other.hold == Hold::Headers => false,
        // What the one scheme signs, the other does not.
        (Protection::Twilio(_), Protection::Sendgrid(_))
        | (Protection::Sendgrid(_), Protection::Twilio(_)) => false,
        (Protection::Sendgrid(own), Protection::Sendgrid(others)) => {
            own.hosts.is_within(&others.hosts)
                && own.methods.iter().all(|method| others.methods.contains(method))
        }
        (Protection::Twilio(own), Protection::Twilio(others)) => {
            own.public_url == others.public_url
                && own.hosts.is_within(&others.hosts)
                && own.methods.iter().all(|method| others.methods.contains(method))
                && own
                    .accounts
                    .iter()
                    .all(|account| others.accounts.iter().any(|other| other.sid == account.sid))
                && own.shared_keys.iter().all(|key| others.shared_keys.iter().any(|other| other.id == key.id))
                && others.require_params.iter().all(|param| own.require_params.contains(param))
        }
    }
}
