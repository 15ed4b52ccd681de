//! Senders that try for hours, with the clock in the test's hand: nothing that was not delivered is refused before it is stale.

use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePublicKey;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use twilio_guard::config::Plan;
use twilio_guard::guard::{Disposition, ReplayMark, Step, Transaction};
use twilio_guard::reject::Reject;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::admission::Memory;
use crate::core_support::{Request, SID_A, TOKEN_A, URL, plan, sha256};

/// 2026-11-22T10:00:00Z.
const NOW: u64 = 1_795_341_600;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

fn config(route: Value, keys: &[&SigningKey]) -> Plan {
    let mut own = json!({"name": "only", "match": {"path": "/x"}});
    own.as_object_mut().expect("an object").extend(route.as_object().expect("an object").clone());
    let shown = |key: &VerifyingKey| STANDARD.encode(key.to_public_key_der().expect("a point"));
    let keys: Vec<_> = keys.iter().map(|key| json!({"value": shown(key.verifying_key())})).collect();
    plan(&json!({
        "public_url": URL,
        "accounts": [{"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "current"}]}],
        "sendgrid_keys": keys,
        "default": "deny",
        "routes": [own],
    }))
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_slice(&[byte; 32]).expect("a number below the order")
}

/// Events as SendGrid signs them.
fn events(key: &SigningKey, time: u64, body: &str) -> Request {
    let hash = Sha256::new().chain_update(time.to_string()).chain_update(body).finalize();
    let signature: Signature = key.sign_prehash(&hash).expect("a hash of the right length");
    Request::post("/x", "application/json", body)
        .header("x-twilio-email-event-webhook-signature", &STANDARD.encode(signature.to_der()))
        .header("x-twilio-email-event-webhook-timestamp", &time.to_string())
}

/// Events as Event Streams signs them.
fn batch(time: &str) -> Request {
    let body = format!(r#"[{{"specversion":"1.0","id":"EZ1","time":"{time}"}}]"#);
    let target = format!("/x?bodySHA256={}", sha256(body.as_bytes()));
    Request::post(target, "application/json", body).sign_url(TOKEN_A.as_bytes())
}

/// Sends a request at a second; where it passes, the application answers `status` at once.
fn send(plan: &Plan, store: &Memory, request: &Request, now: u64, status: u16) -> Result<ReplayMark, Reject> {
    let (mut transaction, mut step) = Transaction::begin(plan, &request.head(plan, false));
    if matches!(step, Step::Hold) {
        let body = request.body.clone();
        step = transaction.body(body.len(), true, |_| Some(body));
    }
    let Step::Admit(verified) = step else { panic!("not genuine: {step:?}") };
    match transaction.admit(verified, plan.replay_store(), now, store) {
        Step::Forward(Disposition::Verified(_, mark)) => {
            transaction.settle(Some(status), true, store);
            Ok(mark)
        }
        Step::Refuse(refused) => Err(refused.reject),
        other => panic!("{other:?}"),
    }
}

/// When Inbound Parse tries, in seconds after the first time: each five minutes in the first hour, then each three hours up to 72.
fn inbound_parse() -> impl Iterator<Item = u64> {
    (0..12).map(|n| n * 5 * MINUTE).chain((1..=24).map(|n| n * 3 * HOUR))
}

#[test]
fn sendgrid_may_try_for_72_hours_and_its_event_is_then_stale() {
    let signer = key(7);
    for profile in ["sendgrid-events", "inbound-parse"] {
        let plan = config(json!({"verify": "sendgrid", "profile": profile}), &[&signer]);
        let request = events(&signer, NOW, "[{\"event\":\"delivered\"}]");
        // Delivered at the last try, and copies of it are refused for as long as it is fresh.
        let store = Memory::default();
        for after in inbound_parse() {
            let passed = send(&plan, &store, &request, NOW + after, 503);
            assert!(passed.is_ok(), "{profile}, after {after} s: {passed:?}");
        }
        assert_eq!(send(&plan, &store, &request, NOW + 72 * HOUR + 1, 200), Ok(ReplayMark::Again));
        for after in [72 * HOUR + 2, 73 * HOUR - 1, 73 * HOUR] {
            assert_eq!(send(&plan, &store, &request, NOW + after, 200), Err(Reject::Replayed), "{after}");
        }
        assert_eq!(send(&plan, &store, &request, NOW + 73 * HOUR + 1, 200), Err(Reject::Stale));
        // The first try is late, or the only one.
        for after in [HOUR, 24 * HOUR, 72 * HOUR, 73 * HOUR] {
            let passed = send(&plan, &Memory::default(), &request, NOW + after, 200);
            assert_eq!(passed, Ok(ReplayMark::First), "{after}");
        }
        // Signed again, it is another request; the same event may then arrive twice, as from SendGrid itself.
        let store = Memory::default();
        assert!(send(&plan, &store, &request, NOW, 503).is_ok());
        let again = events(&signer, NOW + HOUR, "[{\"event\":\"delivered\"}]");
        assert_eq!(send(&plan, &store, &again, NOW + HOUR, 200), Ok(ReplayMark::First));
    }
}

#[test]
fn a_sendgrid_event_that_was_delivered_is_not_delivered_again_in_73_hours() {
    let signer = key(7);
    let plan = config(json!({"verify": "sendgrid", "profile": "sendgrid-events"}), &[&signer]);
    let request = events(&signer, NOW, "[]");
    let store = Memory::default();
    assert_eq!(send(&plan, &store, &request, NOW, 200), Ok(ReplayMark::First));
    for after in inbound_parse() {
        assert_eq!(send(&plan, &store, &request, NOW + after, 200), Err(Reject::Replayed), "{after}");
    }
    assert_eq!(send(&plan, &store, &request, NOW + 74 * HOUR, 200), Err(Reject::Stale));
}

#[test]
fn two_webhooks_with_keys_of_their_own_are_two_requests() {
    let (one, two) = (key(7), key(8));
    let plan = config(json!({"verify": "sendgrid"}), &[&one, &two]);
    let store = Memory::default();
    for signer in [&one, &two] {
        assert_eq!(send(&plan, &store, &events(signer, NOW, "[]"), NOW, 200), Ok(ReplayMark::First));
    }
}

/// Event Streams: pauses that double up to five minutes, with nothing said of a last one but that it comes within four hours.
#[test]
fn event_streams_may_try_for_four_hours() {
    let plan = config(json!({"verify": "twilio", "profile": "event-streams"}), &[&key(7)]);
    let (request, store) = (batch("2026-11-22T10:00:00Z"), Memory::default());
    let (mut after, mut pause, mut tries) = (0, 1, 0);
    while after < 4 * HOUR {
        let passed = send(&plan, &store, &request, NOW + after, 429 + 71 * (tries % 2));
        assert!(passed.is_ok(), "try {tries}, after {after} s: {passed:?}");
        after += pause;
        pause = (pause * 2).min(5 * MINUTE);
        tries += 1;
    }
    assert!(tries > 50, "{tries}");
    assert_eq!(send(&plan, &store, &request, NOW + 4 * HOUR, 200), Ok(ReplayMark::Again));
    assert_eq!(send(&plan, &store, &request, NOW + 4 * HOUR, 200), Err(Reject::Replayed));
}
