//! Observe mode: nobody is denied, nothing is vouched for, and everything is reported.

use crate::guarded::{Exchange, Guarded, assert_vm_alive};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, message};
use crate::support::sign::Twilio;

use super::refusals::{self, Refusal};
use super::{counters, requests};

async fn observing() -> Result<Guarded> {
    let mut configuration = refusals::configuration();
    configuration["mode"] = "observe".into();
    configuration["limits"]["max_body"] = "64KiB".into();
    Guarded::start(&configuration).await
}

/// That a request arrived as it was sent, with no word of the filter's in it, and was reported once.
fn assert_passed(what: &str, exchange: &Exchange, sent: &Request) {
    let [received] = &exchange.received[..] else { panic!("{what}: {:?}", exchange.received) };
    assert_eq!(exchange.response.status, 200, "{what}");
    assert_eq!((&received.method, &received.target), (&sent.method, &sent.target), "{what}");
    assert!(received.complete && received.body == sent.body, "{what}: the body is another");
    assert_eq!(exchange.received_header("x-twilio-guard"), None, "{what}");
    assert_eq!(exchange.line.details(), "via_upstream", "{what}");
}

#[tokio::test]
async fn every_refused_kind_passes_unchanged_and_is_reported() -> Result<()> {
    for protocol in Protocol::BOTH {
        let guarded = observing().await?;
        for (done, Refusal { code, route, keys_tried, request, .. }) in
            refusals::all().into_iter().enumerate()
        {
            let request = request.header("x-twilio-guard", "spoofed").header("X_Twilio_Guard", "spoofed");
            let exchange = guarded.send(protocol, &request).await?;
            assert_passed(code, &exchange, &request);
            assert!(!exchange.received[0].headers.contains_key("x_twilio_guard"), "{code}");
            let line = &exchange.line;
            assert_eq!((line.field("verdict"), line.field("reason")), ("observed_reject", code));
            assert_eq!((line.field("route"), line.field("key")), (route, "-"), "{code}");

            let lines = guarded.envoy.module_lines();
            assert_eq!(lines.len(), done + 1, "{code}: one line");
            let line = &lines[done];
            assert_eq!((&line["event"], &line["code"]), (&"observed_reject".into(), &code.into()));
            assert_eq!((&line["route"], line.get("status")), (&route.into(), None), "{code}");
            assert_eq!(line.get("account"), keys_tried.then_some(&ACCOUNT.into()), "{code}");
        }
        let counters = counters(&guarded.envoy).await?;
        for Refusal { code, route, .. } in refusals::all() {
            assert_eq!(counters.get(&requests("observed_reject", code, route)), Some(&1), "{code}");
        }
        assert_eq!(counters.len(), refusals::all().len(), "{counters:?}");
        assert_vm_alive(&guarded.envoy).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_large_arrives_whole() -> Result<()> {
    let guarded = observing().await?;
    // Beyond the filter's caps, and, where the head alone tells it, beyond what Envoy would buffer. (Of undeclared
    // length it may come in pieces so large that Envoy's own limit, 1 MiB, is passed before the filter lets go.)
    let twilio = Twilio::new(TOKEN);
    let (large, huge) = ("b".repeat(900_000), "b".repeat(3 << 20));
    for (name, request) in [
        ("a form, declared", twilio.form("/sms", &[("Body", &huge)])),
        ("a form, undeclared", twilio.form("/sms", &[("Body", &large)]).undeclared_length()),
        ("JSON, declared", twilio.json("/events", &huge)),
        ("JSON, undeclared", twilio.json("/events", &large).undeclared_length()),
    ] {
        for protocol in Protocol::BOTH {
            let exchange = guarded.send(protocol, &request).await?;
            assert_passed(name, &exchange, &request);
            assert_eq!(exchange.line.field("reason"), "body_too_large", "{name}");
        }
    }
    let undeclared = message().body("Body=forged").undeclared_length().trailer("x-end", "yes");
    let exchange = guarded.send(Protocol::Http2, &undeclared).await?;
    assert_passed("trailers", &exchange, &undeclared);
    assert_eq!(exchange.received[0].trailers["x-end"], "yes");
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_genuine_request_is_reported_as_verified_and_not_vouched_for() -> Result<()> {
    let guarded = observing().await?;
    let twilio = Twilio::new(TOKEN);
    for request in [twilio.form("/sms", &MESSAGE), twilio.json("/events", "{}"), twilio.get("/events?a=b")] {
        for protocol in Protocol::BOTH {
            let exchange =
                guarded.send(protocol, &request.clone().header("x-twilio-guard", "spoofed")).await?;
            assert_eq!((exchange.line.field("verdict"), exchange.line.field("reason")), ("verified", "-"));
            assert!(exchange.line.field("key").starts_with("current#"));
            assert_passed("genuine", &exchange, &request);
        }
    }
    assert!(guarded.envoy.module_lines().is_empty());
    assert_vm_alive(&guarded.envoy).await
}
