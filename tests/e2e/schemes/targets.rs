//! Targets at the limit of their length, and one byte more.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Unprotected, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN};
use crate::support::sign::Twilio;

const TOO_LARGE: crate::guarded::Outcome = Refused(413, "target_too_large");

/// A target of exactly this length, path and query together.
fn target(path: &str, length: usize) -> String {
    format!("{path}?q={}", "a".repeat(length - path.len() - "?q=".len()))
}

#[tokio::test]
async fn a_target_may_have_max_target_bytes_and_no_more() -> Result<()> {
    let routes = json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "short", "match": {"path": "/short"}, "verify": "twilio", "limits": {"max_target": 1024}},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    for (path, limit) in [("/sms", 32_768), ("/short", 1024)] {
        for (length, expected) in [(limit, Verified), (limit + 1, TOO_LARGE)] {
            let target = target(path, length);
            for request in [twilio.form(&target, &MESSAGE), twilio.get(&target)] {
                guarded.expect(&format!("{} {length}", request.method), &request, expected).await?;
            }
            let (unhashed, _) = target.split_at(length - "&bodySHA256=".len() - 64);
            let json = twilio.json(unhashed, "{}");
            assert_eq!(json.target.len(), length);
            guarded.expect(&format!("JSON {length}"), &json, expected).await?;
        }
    }
    // It is not signed correctly either: the length is found out first.
    guarded.expect("unsigned", &Request::get(&target("/short", 1025)), TOO_LARGE).await?;
    // What nobody keeps has no limit but Envoy's own.
    guarded.expect("unprotected", &Request::get(&target("/other", 40_000)), Unprotected).await?;
    assert_vm_alive(&guarded.envoy).await
}
