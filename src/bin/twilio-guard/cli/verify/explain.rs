//! What would have matched: the one place that asks the library.

use twilio_guard::config::{Plan, Protection, Rule};
use twilio_guard::request::RequestHead;
use twilio_guard::signature::Refused;
use twilio_guard::signature::explain::{Evidence, Hint};

/// The differences that make the signature of a refused request fit; empty where none of those that are tried does.
pub(super) fn hints(
    plan: &Plan,
    rule: &Rule,
    head: &RequestHead<'_>,
    body: &[u8],
    refused: &Refused,
) -> Vec<Hint> {
    let (Protection::Twilio(twilio), Some(mut evidence)) = (&rule.protection, Evidence::of(head)) else {
        return Vec::new();
    };
    evidence.set_body(body.to_vec());
    evidence.explain(plan, twilio, refused.reject)
}
