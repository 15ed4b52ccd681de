//! Envoy's statistics: one counter for each outcome, reason and route, exact.

use std::collections::BTreeMap;

use crate::guarded::Outcome::{Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::Twilio;

use super::refusals::{self, OTHER_ACCOUNT, OTHER_TOKEN, Refusal};
use super::{counters, fingerprint, message_of, requests};

#[tokio::test]
async fn every_outcome_and_reason_is_counted_by_route() -> Result<()> {
    let guarded = Guarded::start(&refusals::configuration()).await?;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |name: String| *expected.entry(name).or_default() += 1;
    for protocol in Protocol::BOTH {
        for Refusal { code, route, request, .. } in refusals::all() {
            guarded.send(protocol, &request).await?;
            count(requests("refused", code, route));
        }
        let one = Twilio::new(TOKEN);
        let two = Twilio::new(OTHER_TOKEN).form("/shared", &message_of(OTHER_ACCOUNT));
        for (route, token, request) in [
            ("sms", ("current", TOKEN), one.form("/sms", &MESSAGE)),
            ("events", ("current", TOKEN), one.json("/events", "{}")),
            ("shared", ("current", TOKEN), one.form("/shared", &MESSAGE)),
            ("shared", ("other", OTHER_TOKEN), two),
        ] {
            guarded.send(protocol, &request).await?.assert(route, Verified);
            count(requests("verified", "none", route));
            let (label, fingerprint) = (token.0, fingerprint(token.1));
            count(format!("twilio_guard_signatures.key={label}.fingerprint={fingerprint}"));
        }
        for target in ["/", "/other?a=b"] {
            guarded.send(protocol, &Request::get(target)).await?.assert(target, Unprotected);
            count(requests("unprotected", "none", "default"));
        }
    }
    let mut counted = counters(&guarded.envoy).await?;
    // So many refusals at once are more than the log takes; of that are its own tests.
    counted.remove("twilio_guard_log_lines_dropped");
    assert_eq!(counted, expected);
    assert_vm_alive(&guarded.envoy).await
}
