//! Whose signature counts: accounts, their binding to what is signed, and the rotation of their tokens.

use serde_json::json;

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, message};
use crate::support::sign::{FORM_TYPE, SIGNATURE, Twilio, encode_form, signature};
use crate::support::upstream::Upstream;
use crate::support::{Result, module};

use super::refusals::{OTHER_ACCOUNT, OTHER_TOKEN};
use super::{counters, fingerprint, message_of};

const STRANGER: &str = "AC11111111111111111111111111111111";

#[tokio::test]
async fn the_account_whose_token_signed_is_the_one_that_is_signed() -> Result<()> {
    let mut plugin = plugin(
        "none",
        json!([
            {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
            {"name": "own", "match": {"path": "/own"}, "verify": "twilio", "accounts": [OTHER_ACCOUNT]},
        ]),
    );
    let other = json!({"sid": OTHER_ACCOUNT, "auth_tokens": [{"value": OTHER_TOKEN, "label": "other"}]});
    plugin["accounts"].as_array_mut().ok_or("no list")?.push(other);
    let guarded = Guarded::start(&plugin).await?;
    let (one, two) = (Twilio::new(TOKEN), Twilio::new(OTHER_TOKEN));

    for (twilio, sid, label) in [(&one, ACCOUNT, "current"), (&two, OTHER_ACCOUNT, "other")] {
        for request in [twilio.form("/sms", &message_of(sid)), twilio.get(&format!("/sms?AccountSid={sid}"))]
        {
            guarded.expect(label, &request, Verified).await?;
            let exchange = guarded.send(Protocol::Http2, &request).await?;
            let expected = format!("scheme=twilio; account={sid}; key={label}; route=sms; replay=unchecked");
            assert_eq!(exchange.received_header("x-twilio-guard"), Some(&*expected));
        }
    }
    // The right token with the wrong account, both ways.
    for (twilio, sid) in [(&one, OTHER_ACCOUNT), (&two, ACCOUNT)] {
        let request = twilio.form("/sms", &message_of(sid));
        guarded.expect("crossed", &request, Refused(401, "mismatch")).await?;
        let request = twilio.get(&format!("/sms?AccountSid={sid}"));
        guarded.expect("crossed", &request, Refused(401, "mismatch")).await?;
    }
    let unnamed = [("MessageSid", MESSAGE[0].1)];
    let both = format!("/sms?AccountSid={OTHER_ACCOUNT}");
    let lower = ACCOUNT.to_ascii_lowercase();
    for (name, request, code) in [
        ("unknown", one.form("/sms", &message_of(STRANGER)), "unknown_account"),
        ("other case", one.form("/sms", &message_of(&lower)), "unknown_account"),
        ("unknown in a query", one.get(&format!("/sms?AccountSid={STRANGER}")), "unknown_account"),
        ("missing", one.form("/sms", &unnamed), "account_missing"),
        ("missing in a query", one.get("/sms?a=b"), "account_missing"),
        ("missing with JSON", one.json("/sms", "{}"), "account_missing"),
        ("missing at an upgrade", one.websocket("/sms"), "account_missing"),
        ("query against body", one.form(&both, &MESSAGE), "account_mismatch"),
        ("query against body, other token", two.form(&both, &MESSAGE), "account_mismatch"),
        (
            "twice in the body",
            one.form("/sms", &[("AccountSid", ACCOUNT), ("AccountSid", OTHER_ACCOUNT)]),
            "account_mismatch",
        ),
        ("not of the bound account", one.form("/own", &MESSAGE), "account_mismatch"),
        ("JSON of another account", one.json("/own", "{}"), "mismatch"),
    ] {
        guarded.expect(name, &request, Refused(401, code)).await?;
    }
    // A route bound to one account needs no AccountSid.
    guarded.expect("JSON", &two.json("/own", "{}"), Verified).await?;
    guarded.expect("an upgrade", &two.websocket("/own"), Verified).await?;
    // Said twice alike, it is said once.
    let same = one.form(&format!("/sms?AccountSid={ACCOUNT}"), &MESSAGE);
    guarded.expect("query and body alike", &same, Verified).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn a_single_account_is_held_to_its_sid() -> Result<()> {
    let guarded = Guarded::start(&plugin("none", routes())).await?;
    let twilio = Twilio::new(TOKEN);
    guarded.expect("own", &message(), Verified).await?;
    guarded.expect("unnamed", &twilio.get("/events"), Verified).await?;
    let foreign = twilio.form("/sms", &message_of(STRANGER));
    guarded.expect("foreign", &foreign, Refused(401, "account_mismatch")).await?;
    let foreign = twilio.get(&format!("/events?%41ccountSid={STRANGER}"));
    guarded.expect("foreign, encoded", &foreign, Refused(401, "account_mismatch")).await?;
    assert_vm_alive(&guarded.envoy).await
}

/// Every token of a rotation is accepted, and three places say which one it was.
#[tokio::test]
async fn each_token_of_a_rotation_is_accepted_and_named() -> Result<()> {
    let tokens = [("current", TOKEN), ("next", OTHER_TOKEN), ("spare", "any text is a token")];
    let mut plugin = plugin("none", routes());
    plugin["accounts"][0]["auth_tokens"] =
        tokens.iter().map(|(label, value)| json!({"label": label, "value": value})).collect();
    let upstream = Upstream::start().await?;
    let config = EnvoyConfig::new(upstream.address())
        .filter(WasmFilter::new(module::path()?, &plugin))
        .ingress(|ingress| {
            ingress.edit(|manager| {
                let format = "/access_log/0/typed_config/log_format/text_format_source/inline_string";
                let format = manager.pointer_mut(format).expect("a format");
                let more = "scheme=%FILTER_STATE(wasm.twilio_guard.scheme:PLAIN)% \
                            account=%FILTER_STATE(wasm.twilio_guard.account:PLAIN)% ";
                *format = format!("{more}{}", format.as_str().expect("text")).into();
            })
        });
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };

    let mut expected = Vec::new();
    for (times, (label, token)) in tokens.into_iter().enumerate() {
        let fingerprint = fingerprint(token);
        let twilio = Twilio::new(token);
        let requests =
            [twilio.form("/sms", &MESSAGE), twilio.json("/events", "{}"), twilio.websocket("/media")];
        for request in requests.iter().take(times + 1) {
            for protocol in Protocol::BOTH {
                let exchange = guarded.send(protocol, request).await?;
                exchange.assert(label, Verified);
                let header = exchange.received_header("x-twilio-guard").ok_or("no verified header")?;
                assert!(header.contains(&format!("; key={label}; ")), "{header}");
                assert_eq!(exchange.line.field("key"), format!("{label}#{fingerprint}"));
                assert_eq!(exchange.line.field("scheme"), "twilio");
                assert_eq!(exchange.line.field("account"), ACCOUNT);
            }
        }
        let name = format!("twilio_guard_signatures.key={label}.fingerprint={fingerprint}");
        expected.push((name, u64::try_from(2 * (times + 1))?));
    }
    let forged = Twilio::new("none of them").form("/sms", &MESSAGE);
    let exchange = guarded.send(Protocol::Http1, &forged).await?;
    exchange.assert("forged", Refused(401, "mismatch"));
    assert_eq!((exchange.line.field("key"), exchange.line.field("account")), ("-", "-"));

    let counted: Vec<_> = counters(&guarded.envoy)
        .await?
        .into_iter()
        .filter(|(name, _)| name.starts_with("twilio_guard_signatures"))
        .collect();
    assert_eq!(counted, expected);
    let tried = guarded.envoy.module_lines()[0]["keys_tried"].clone();
    assert_eq!(tried.as_array().map(Vec::len), Some(3), "{tried}");
    assert_vm_alive(&guarded.envoy).await
}

/// A signature over another encoding of the same parameters is the same signature: what is signed is what they mean.
#[tokio::test]
async fn the_account_is_read_from_the_decoded_form() -> Result<()> {
    let guarded = Guarded::start(&plugin("none", routes())).await?;
    let parameters = message_of(STRANGER);
    let body = encode_form(&parameters).replace("AccountSid", "Account%53id");
    let request = Request::post("/sms", FORM_TYPE, body)
        .header(SIGNATURE, signature(TOKEN, "https://hooks.example.org/sms", &parameters));
    guarded.expect("encoded", &request, Refused(401, "account_mismatch")).await?;
    assert_vm_alive(&guarded.envoy).await
}
