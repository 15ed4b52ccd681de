//! What Redis holds: keys of the documented form that end by themselves, and nothing of what was sent.

use crate::replicas::{at, site};
use crate::support::Result;
use crate::support::scenarios::{ACCOUNT, TOKEN};
use crate::support::sendgrid;
use crate::support::sign::SIGNATURE;
use crate::support::upstream::Behaviour;
use crate::windows::captures::{Capture, KINDS, settings};

/// The fields of a capture, in the order of their names.
const FIELDS: [&str; 6] = ["attempts", "deliveries", "epoch", "in_flight", "lease", "until"];

/// The documented window of a profile, in seconds.
fn window(profile: &str) -> u64 {
    match profile {
        "sendgrid-events" | "inbound-parse" => 74 * 3600,
        "event-streams" => 25 * 3600,
        "call-status" | "taskrouter" => 17 * 60,
        _ => 600,
    }
}

/// Every part of a request that a reader of Redis must not find, but for words that say nothing.
fn secrets(capture: &Capture) -> Vec<String> {
    let request = &capture.request;
    let mut secrets =
        vec![TOKEN.to_owned(), ACCOUNT.to_owned(), request.target.clone(), "15005550006".to_owned()];
    for name in [SIGNATURE, sendgrid::SIGNATURE] {
        let values = request.headers.iter().filter(|(own, _)| own == name);
        secrets.extend(values.filter_map(|(_, value)| value.to_str().ok()).map(str::to_owned));
    }
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let values = text.split('&').filter_map(|pair| pair.split_once('=')).map(|(_, value)| value.to_owned());
    secrets.extend(values.filter(|value| value.len() > 8));
    secrets
}

#[tokio::test]
async fn keys_have_the_documented_form_end_with_their_windows_and_reveal_nothing() -> Result<()> {
    let site = site(&settings()).await?;
    let redis = site.redis.as_ref().expect("a Redis");
    let mut known: Vec<String> = Vec::new();
    for (index, kind) in KINDS.into_iter().filter(|kind| kind.bound.is_some()).enumerate() {
        // Some fail first: an attempt is kept like a delivery.
        let capture = Capture::new(kind, index + 1);
        let path = capture.request.target.split('?').next().unwrap_or_default();
        site.upstream.script_next(path, vec![Behaviour::Status(503); index % 2]);
        at(&site, index % 2, &capture.request).await?;
        let keys = redis.keys()?;
        let new: Vec<_> = keys.iter().filter(|key| !known.contains(key)).collect();
        let [key] = new[..] else { panic!("{}: {new:?}", kind.route) };
        let hash = key.strip_prefix("twilio-guard:1:gateway:").ok_or_else(|| format!("key {key}"))?;
        let is_hash = hash.len() == 32 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(is_hash, "{key}");
        let (ttl, window) = (redis.cli(&["ttl", key])?.parse::<u64>()?, window(kind.profile));
        assert!((window - 30..=window + 1).contains(&ttl), "{}: {ttl} s of {window}", kind.route);
        let value = redis.cli(&["--raw", "hgetall", key])?;
        let lines: Vec<_> = value.lines().collect();
        let mut fields: Vec<_> = lines.iter().step_by(2).copied().collect();
        fields.sort_unstable();
        assert_eq!(fields, FIELDS, "{}", kind.route);
        assert!(lines.iter().skip(1).step_by(2).all(|number| number.parse::<u32>().is_ok()), "{value}");
        for secret in secrets(&capture) {
            assert!(
                !key.contains(&secret) && !value.contains(&secret),
                "{}: a part of the request",
                kind.route
            );
        }
        // A further copy, refused or not, does not make it last longer.
        at(&site, (index + 1) % 2, &capture.request).await?;
        assert!(redis.cli(&["ttl", key])?.parse::<u64>()? <= ttl, "{}", kind.route);
        known = keys;
    }
    assert_eq!(redis.cli(&["dbsize"])?, known.len().to_string());
    Ok(())
}
