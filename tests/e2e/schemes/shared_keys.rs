//! SharedKeys: a request names its key, and that key alone may have signed it, with the algorithm of the configuration.

use serde_json::{Value, json};

use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::operations::fingerprint;
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, message};
use crate::support::sign::{
    FORM_TYPE, SETTINGS, SIGNATURE, Twilio, body_sha256, encode_form, signature, signature_sha256,
};

const KEY: &str = "made-up-shared-key-of-these-tests";
const OLD_KEY: &str = "made-up-shared-key-that-is-rotated-out";
const SHA256: &str = "key=sk256,algorithm=HMAC_SHA256";
const SHA1: &str = "key=sk1,algorithm=HMAC_SHA1";

fn with_keys() -> Value {
    let mut plugin = plugin("none", routes());
    plugin["shared_keys"] = json!([
        {"id": "sk256", "secret": {"value": KEY, "label": "new"}, "algorithm": "hmac-sha256"},
        {"id": "sk1", "secret": {"value": OLD_KEY, "label": "old"}, "algorithm": "hmac-sha1"},
    ]);
    plugin
}

/// A request whose signature over the URL and these parameters is that of a shared key; the header is not signed.
fn signed(request: Request, parameters: &[(&str, &str)], settings: &str, is_sha256: bool) -> Request {
    let scheme = if request.websocket { "wss" } else { "https" };
    let url = format!("{scheme}://hooks.example.org{}", request.target);
    let signature =
        if is_sha256 { signature_sha256(KEY, url, parameters) } else { signature(OLD_KEY, url, parameters) };
    request.header(SIGNATURE, signature).header(SETTINGS, settings)
}

fn form() -> Request {
    Request::post("/sms", FORM_TYPE, encode_form(&MESSAGE))
}

/// The usual message with a signature of `sk256`.
fn sms_sha256(settings: &str) -> Request {
    signed(form(), &MESSAGE, settings, true)
}

/// The usual message with a signature of `sk1`.
fn sms_sha1(settings: &str) -> Request {
    signed(form(), &MESSAGE, settings, false)
}

#[tokio::test]
async fn every_kind_of_request_is_verified_with_the_key_that_it_names() -> Result<()> {
    let guarded = Guarded::start(&with_keys()).await?;
    let events = format!("/events?bodySHA256={}", body_sha256(b"{}"));
    for (settings, is_sha256, label, secret) in [(SHA256, true, "new", KEY), (SHA1, false, "old", OLD_KEY)] {
        let json = Request::post(&events, "application/json", "{}");
        for (name, request) in [
            ("a form", signed(form(), &MESSAGE, settings, is_sha256)),
            ("JSON", signed(json, &[], settings, is_sha256)),
            ("a GET", signed(Request::get("/events?a=b"), &[], settings, is_sha256)),
            ("a websocket", signed(Request::websocket("/media"), &[], settings, is_sha256)),
        ] {
            for protocol in Protocol::BOTH {
                let exchange = guarded.send(protocol, &request).await?;
                exchange.assert(name, Verified);
                let route = exchange.line.field("route").to_owned();
                let header = format!(
                    "scheme=sharedkey; account={ACCOUNT}; key={label}; route={route}; replay=unchecked"
                );
                assert_eq!(exchange.received_header("x-twilio-guard"), Some(&*header), "{name}");
                assert_eq!(exchange.line.field("key"), format!("{label}#{}", fingerprint(secret)));
            }
        }
    }
    // An auth token still signs what names no key, and the order of the items means nothing.
    guarded.expect("a token", &message(), Verified).await?;
    guarded.expect("reversed", &sms_sha256(" algorithm=HMAC_SHA256 , key=sk256"), Verified).await?;
    guarded.expect("the default algorithm", &sms_sha1("key=sk1"), Verified).await?;
    assert_vm_alive(&guarded.envoy).await
}

/// The header is not signed, so whoever can change it must gain nothing by it.
#[tokio::test]
async fn the_settings_header_cannot_be_used_against_the_configuration() -> Result<()> {
    let guarded = Guarded::start(&with_keys()).await?;
    let url = "https://hooks.example.org/sms";
    let downgraded = form().header(SIGNATURE, signature(KEY, url, &MESSAGE));
    for (name, request, code) in [
        ("sha256 called sha1", sms_sha256("key=sk256,algorithm=HMAC_SHA1"), "algorithm_mismatch"),
        (
            "downgraded to sha1",
            downgraded.clone().header(SETTINGS, "key=sk256,algorithm=HMAC_SHA1"),
            "algorithm_mismatch",
        ),
        ("downgraded by default", downgraded.clone().header(SETTINGS, "key=sk256"), "algorithm_mismatch"),
        ("sha1 as sha256", downgraded.header(SETTINGS, SHA256), "malformed_signature"),
        ("sha1 called sha256", sms_sha1("key=sk1,algorithm=HMAC_SHA256"), "algorithm_mismatch"),
        ("an unknown algorithm", sms_sha256("key=sk256,algorithm=none"), "algorithm_mismatch"),
        ("no algorithm", sms_sha256("key=sk256,algorithm="), "algorithm_mismatch"),
        ("lower case", sms_sha256("key=sk256,algorithm=hmac_sha256"), "algorithm_mismatch"),
        ("an unknown key", sms_sha256("key=sk257,algorithm=HMAC_SHA256"), "unknown_key"),
        ("no key", sms_sha256("key=,algorithm=HMAC_SHA256"), "unknown_key"),
        ("another case", sms_sha1("key=SK1,algorithm=HMAC_SHA1"), "unknown_key"),
        ("the label", sms_sha256("key=new,algorithm=HMAC_SHA256"), "unknown_key"),
        ("an empty header", sms_sha256(""), "malformed_settings"),
        ("two headers", sms_sha256(SHA256).header(SETTINGS, SHA256), "malformed_settings"),
        ("two keys", sms_sha256("key=sk256,key=sk1,algorithm=HMAC_SHA256"), "malformed_settings"),
        ("something more", sms_sha256("key=sk256,algorithm=HMAC_SHA256,x=y"), "malformed_settings"),
        // Each scheme with the other's signature.
        ("a token under a shared key", message().header(SETTINGS, SHA1), "mismatch"),
        ("a token under a sha256 key", message().header(SETTINGS, SHA256), "malformed_signature"),
        ("sha1 without the header", sms_sha1(SHA1).without(SETTINGS), "mismatch"),
        ("sha256 without the header", sms_sha256(SHA256).without(SETTINGS), "malformed_signature"),
        ("a changed body", sms_sha256(SHA256).body("Body=changed"), "mismatch"),
        ("a key as token", Twilio::new(KEY).form("/sms", &MESSAGE), "mismatch"),
        ("a token as key", signed_with_token(url).header(SETTINGS, SHA256), "mismatch"),
    ] {
        guarded.expect(name, &request, Refused(401, code)).await?;
    }
    assert_eq!(guarded.upstream.connections(), 0);
    assert_vm_alive(&guarded.envoy).await
}

/// HMAC-SHA256 with the auth token, which no sender of Twilio's computes.
fn signed_with_token(url: &str) -> Request {
    form().header(SIGNATURE, signature_sha256(TOKEN, url, &MESSAGE))
}

#[tokio::test]
async fn a_shared_key_belongs_to_one_account() -> Result<()> {
    const OTHER: &str = "ACffffffffffffffffffffffffffffffff";
    let guarded = Guarded::start(&with_keys()).await?;
    let foreign = [("AccountSid", OTHER), ("Body", "text")];
    let request = Request::post("/sms", FORM_TYPE, encode_form(&foreign));
    let request = signed(request, &foreign, SHA256, true);
    guarded.expect("of another account", &request, Refused(401, "account_mismatch")).await?;
    let request = signed(Request::get(&format!("/sms?AccountSid={OTHER}")), &[], SHA256, true);
    guarded.expect("in the query", &request, Refused(401, "account_mismatch")).await?;
    assert_vm_alive(&guarded.envoy).await
}

#[tokio::test]
async fn without_accounts_a_request_has_to_name_a_key() -> Result<()> {
    let mut plugin = with_keys();
    plugin.as_object_mut().ok_or("no object")?.remove("accounts");
    let guarded = Guarded::start(&plugin).await?;
    let exchange = guarded.send(Protocol::Http2, &sms_sha256(SHA256)).await?;
    exchange.assert("named", Verified);
    let header = exchange.received_header("x-twilio-guard");
    assert_eq!(header, Some("scheme=sharedkey; key=new; route=sms; replay=unchecked"));
    guarded.expect("not named", &message(), Refused(401, "no_key")).await?;
    guarded.expect("stripped", &sms_sha1(SHA1).without(SETTINGS), Refused(401, "no_key")).await?;
    assert_vm_alive(&guarded.envoy).await
}
