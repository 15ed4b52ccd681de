//! Callback URLs that end, from minting to the application.

use serde_json::json;

use super::replaying;
use crate::guarded::Outcome::{Refused, Verified};
use crate::guarded::{Guarded, assert_vm_alive};
use crate::operations::refusals::{MINT_SECRET, minted};
use crate::support::Result;
use crate::support::client::Protocol;
use crate::support::http::Request;
use crate::support::scenarios::{MESSAGE, TOKEN, event};
use crate::support::sign::{Twilio, now};

/// Routes that demand minted URLs; one strips, one does not.
async fn minting() -> Result<Guarded> {
    let route = |name: &str, strip: bool| {
        json!({
            "name": name, "match": {"path": format!("/{name}")}, "verify": "twilio",
            "replay": {"minted": {"require": true, "strip": strip}, "dedupe": {"eligible": "none"}},
        })
    };
    let mut plugin = replaying(json!([route("strip", true), route("keep", false)]));
    plugin["mint_keys"] = json!([{"id": "m1", "secret": {"value": MINT_SECRET}}]);
    Guarded::start(&plugin).await
}

/// Each way in which Twilio sends a callback: its URL is minted, and Twilio adds its own to it.
fn callbacks(path: &str, expires_at: u64) -> [(&'static str, Request, String); 4] {
    let twilio = Twilio::new(TOKEN);
    let body = event("delivered", 0);
    let bare = minted(path, expires_at);
    let own = minted(&format!("{path}?step=2"), expires_at);
    let get = twilio.get(&format!("{own}&CallSid=CA1&Digits=9"));
    let json = twilio.json(&bare, &body);
    let hash = json.target.rsplit_once("bodySHA256").map(|(_, hash)| format!("{path}?bodySHA256{hash}"));
    [
        ("form", twilio.form(&bare, &MESSAGE), path.to_owned()),
        ("GET", get, format!("{path}?step=2&CallSid=CA1&Digits=9")),
        ("JSON", json, hash.expect("a hash")),
        ("WebSocket", twilio.websocket(&own), format!("{path}?step=2")),
    ]
}

#[tokio::test]
async fn a_minted_url_passes_until_it_ends_and_the_application_need_not_see_it() -> Result<()> {
    let guarded = minting().await?;
    for path in ["/strip", "/keep"] {
        for (what, request, stripped) in callbacks(path, now() + 600) {
            for protocol in Protocol::BOTH {
                let exchange = guarded.send(protocol, &request).await?;
                assert!(exchange.response.accepted(), "{what} {path} {protocol:?}: {}", exchange.line.0);
                assert_eq!(exchange.line.field("verdict"), "verified", "{what}");
                let expected = if path == "/strip" { &stripped } else { &request.target };
                assert_eq!(&exchange.received[0].target, expected, "{what} {path} {protocol:?}");
            }
        }
        for (what, request, _) in callbacks(path, now() - 1) {
            guarded.expect(what, &request, Refused(408, "mint_expired")).await?;
        }
    }
    assert_vm_alive(&guarded.envoy).await
}

/// Twilio's signature is genuine each time: it signs whatever URL it was given.
#[tokio::test]
async fn a_url_that_was_changed_moved_or_never_minted_is_refused() -> Result<()> {
    let guarded = minting().await?;
    let twilio = Twilio::new(TOKEN);
    let (end, later) = (now() + 60, now() + 86_400);
    let genuine = minted("/strip", end);
    guarded.expect("genuine", &twilio.form(&genuine, &MESSAGE), Verified).await?;
    let (covered, mac) = genuine.split_once("&tg_mac=").ok_or("no MAC")?;
    for (what, target) in [
        ("a later end", genuine.replace(&end.to_string(), &later.to_string())),
        ("another path", genuine.replace("/strip", "/keep")),
        ("another key", genuine.replace("tg_key=m1", "tg_key=m2")),
        ("another MAC", format!("{covered}&tg_mac={}", mac.chars().rev().collect::<String>())),
        ("no MAC", covered.to_owned()),
        ("another end beside it", format!("{genuine}&tg_exp={later}")),
        ("another end, escaped", format!("{genuine}&%74g_exp={later}")),
        ("more before it", genuine.replace("?tg_exp", "?step=3&tg_exp")),
    ] {
        guarded.expect(what, &twilio.form(&target, &MESSAGE), Refused(401, "mint_invalid")).await?;
    }
    guarded.expect("none", &twilio.form("/strip", &MESSAGE), Refused(401, "mint_missing")).await?;
    guarded.expect("none", &twilio.websocket("/strip"), Refused(401, "mint_missing")).await?;
    // Without Twilio's signature a minted URL is worth nothing.
    let unsigned = Request::get(&genuine);
    guarded.expect("unsigned", &unsigned, Refused(401, "missing_signature")).await?;
    assert_vm_alive(&guarded.envoy).await
}
