//! Signed parameters that a rule requires, and the fold that keeps a signature.

use std::sync::LazyLock;

use serde_json::json;

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin};
use crate::support::Result;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN};
use crate::support::sign::{FORM_TYPE, SIGNATURE, Twilio, encode_form, now, rfc2822};

/// The time of the call: when the tests began.
static TIME: LazyLock<String> = LazyLock::new(|| rfc2822(now()));

static CALL: LazyLock<[(&str, &str); 5]> = LazyLock::new(|| {
    [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA00000000000000000000000000000001"),
        ("CallStatus", "completed"),
        ("SequenceNumber", "2"),
        ("Timestamp", &TIME),
    ]
});

/// The call with one value changed.
fn changed(name: &str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    CALL.iter().map(|&(own, old)| (own, if own == name { value } else { old })).collect()
}

#[tokio::test]
async fn what_a_profile_requires_must_be_there_once_and_well_formed() -> Result<()> {
    let routes = json!([
        {"name": "call", "match": {"path": "/call"}, "verify": "twilio", "profile": "call-status"},
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
        {"name": "own", "match": {"path": "/own"}, "verify": "twilio", "profile": "call-status",
         "replay": {"freshness": {"require": false}}, "require_params": ["Digits", {"name": "Code", "shape": "word"}]},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let twilio = Twilio::new(TOKEN);
    guarded.expect("complete", &twilio.form("/call", &*CALL), Verified).await?;
    guarded.expect("complete, GET", &twilio.get(&format!("/call?{}", encode_form(&*CALL))), Verified).await?;
    for absent in 0..CALL.len() {
        let mut rest = CALL.to_vec();
        let (name, _) = rest.remove(absent);
        guarded.expect(name, &twilio.form("/call", &rest), Refused(401, "missing_param")).await?;
    }
    for (name, value) in [
        ("CallSid", "CA1"),
        ("CallSid", "ca00000000000000000000000000000001"),
        ("CallStatus", "Completed "),
        ("SequenceNumber", "two"),
        ("SequenceNumber", ""),
        ("SequenceNumber", "-2"),
        ("Timestamp", "yesterday"),
    ] {
        let request = twilio.form("/call", &changed(name, value));
        guarded.expect(value, &request, Refused(401, "malformed_param")).await?;
    }
    let mut twice = CALL.to_vec();
    twice.push(("SequenceNumber", "3"));
    guarded.expect("twice", &twilio.form("/call", &twice), Refused(401, "missing_param")).await?;
    // A parameter in the query does not stand in for one in the form.
    let split = twilio.form("/call?SequenceNumber=2", &[&CALL[..3], &CALL[4..]].concat());
    guarded.expect("in the query", &split, Refused(401, "missing_param")).await?;
    guarded.expect("incomplete GET", &twilio.get("/call?a=b"), Refused(401, "missing_param")).await?;
    guarded.expect("other case", &twilio.form("/sms", &MESSAGE[1..]), Refused(401, "missing_param")).await?;
    // An explicit list replaces the profile's.
    let own = twilio.form("/own", &[("Digits", "12#"), ("Code", "in-progress")]);
    guarded.expect("own list", &own, Verified).await?;
    let own = twilio.form("/own", &[("Digits", "12#"), ("Code", "In progress")]);
    guarded.expect("own list", &own, Refused(401, "malformed_param")).await?;
    // A forged request does not learn that a parameter is missing.
    let forged = twilio.form("/call", &CALL[..2]).with(SIGNATURE, "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    guarded.expect("forged", &forged, Refused(401, "mismatch")).await?;
    assert_vm_alive(&guarded.envoy).await
}

/// The scheme signs names and values without separators, so these bodies have one signature.
#[tokio::test]
async fn a_folded_parameter_keeps_its_signature_and_is_refused_by_the_profile() -> Result<()> {
    let routes = json!([
        {"name": "call", "match": {"path": "/call"}, "verify": "twilio", "profile": "call-status"},
        {"name": "generic", "match": {"path": "/generic"}, "verify": "twilio"},
    ]);
    let guarded = Guarded::start(&plugin("none", routes)).await?;
    let number = format!("2Timestamp{}", *TIME);
    let folded = [&CALL[..3], &[("SequenceNumber", &number)]].concat();
    let moved = [&CALL[..2], &[("CallStatuscompleted", ""), CALL[3], CALL[4]]].concat();
    for (name, body) in [("folded", &folded), ("moved", &moved)] {
        for target in ["/call", "/generic"] {
            let genuine = Twilio::new(TOKEN).form(target, &*CALL);
            let (_, signature) = genuine.headers.last().ok_or("no signature")?;
            let request = Request::post(target, FORM_TYPE, encode_form(body)).header(SIGNATURE, signature);
            // The control: without the profile the capture passes, as the scheme alone cannot tell.
            let expected = match (target, name) {
                ("/generic", _) => Verified,
                (_, "folded") => Refused(401, "malformed_param"),
                _ => Refused(401, "missing_param"),
            };
            guarded.expect(&format!("{name} {target}"), &request, expected).await?;
        }
    }
    assert_vm_alive(&guarded.envoy).await
}
