//! `mint`: a callback URL that ends.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use twilio_guard::config::{MintKey, Secret};
use twilio_guard::replay::mint;

use super::args::MintArgs;
use super::outcome::{Failure, Outcome};

/// Runs the command.
pub(crate) fn run(args: &MintArgs) -> Result<Outcome, Failure> {
    let secret = std::env::var(&args.key_env).ok().filter(|secret| !secret.is_empty()).ok_or_else(|| {
        Failure::new(
            format!("{} is not set", args.key_env),
            "put the key into that environment variable, or name another with --key-env",
        )
    })?;
    let key = MintKey::new(&args.key_id, &Secret::from(secret)).ok_or_else(|| {
        Failure::new(
            "not a key that the filter would take",
            "use an id of a-z, 0-9, - and _, and a secret of 32 bytes or more (openssl rand -hex 32)",
        )
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires_at = now.saturating_add(args.ttl).as_secs();
    let url = mint(&args.url, &key, expires_at).ok_or_else(|| {
        Failure::new(
            "not a URL that can be minted",
            "give scheme, host and path, as you would enter it at Twilio, and not one that was minted before",
        )
    })?;
    let json = json!({"url": url, "expires_at": expires_at, "key_id": args.key_id});
    Ok(Outcome { ok: true, text: url, note: None, json })
}
