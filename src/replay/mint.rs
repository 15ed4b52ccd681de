//! Callback URLs that end: an expiry, the id of a key and a MAC, which the application adds to the URL that it gives Twilio for one
//! call or message, and which Twilio's own signature then covers.
//!
//! ```text
//! /calls/CA1/status?step=2&tg_exp=1763829000&tg_key=m1&tg_mac=BASE64URL
//! ```
//!
//! `tg_mac` is the unpadded base64url text of HMAC-SHA256 over `twilio-guard mint v1`, a line feed, and path and query up
//! to `&tg_mac`. The three stand together at the end; what Twilio appends for itself (GET parameters, `bodySHA256`) comes after
//! them. Scheme, host and port are left to Twilio's signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::config::{KeyedMac, MintKey};
use crate::reject::Reject;

const CONTEXT: &[u8] = b"twilio-guard mint v1\n";
const NAMES: [&[u8]; 3] = [b"tg_exp", b"tg_key", b"tg_mac"];

/// Adds expiry, key and MAC to a URL. A fragment (connection overrides) stays at the end.
///
/// `None` for a URL without a path, or one that is minted already.
#[must_use]
pub fn mint(url: &str, key: &MintKey, expires_at: u64) -> Option<String> {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let resource = resource_of(url.as_bytes())?;
    if Minted::find(resource) != Found::None {
        return None;
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}tg_exp={expires_at}&tg_key={}", key.id());
    let mac = mac_text(key, resource_of(url.as_bytes())?);
    Some(format!("{url}&tg_mac={mac}{fragment}"))
}

/// Judges the minted part of a signed URL. `Ok(None)` where there is none, else the second in which it ends.
///
/// # Errors
/// [`Reject::MintInvalid`] for one that no configured key made, [`Reject::MintExpired`].
pub fn check_minted(url: &[u8], keys: &[MintKey], now: u64) -> Result<Option<u64>, Reject> {
    let minted = match resource_of(url).map_or(Found::Malformed, Minted::find) {
        Found::None => return Ok(None),
        Found::Malformed => return Err(Reject::MintInvalid),
        Found::One(minted) => minted,
    };
    let key = keys.iter().find(|key| key.id().as_bytes() == minted.key).ok_or(Reject::MintInvalid)?;
    let is_genuine: bool = mac_text(key, minted.covered).as_bytes().ct_eq(minted.mac).into();
    if !is_genuine {
        return Err(Reject::MintInvalid);
    }
    if now >= minted.expires_at {
        return Err(Reject::MintExpired);
    }
    Ok(Some(minted.expires_at))
}

/// A raw target without its minted part; `None` where it has none.
#[must_use]
pub fn strip_minted(target: &[u8]) -> Option<Vec<u8>> {
    let Found::One(minted) = Minted::find(target) else { return None };
    Some(match (minted.before.split_last(), minted.after) {
        (Some((_, path)), b"") => path.to_vec(),
        (_, after) => [minted.before, after.strip_prefix(b"&").unwrap_or(after)].concat(),
    })
}

/// Path and query of a URL.
fn resource_of(url: &[u8]) -> Option<&[u8]> {
    let authority = url.windows(3).position(|window| window == b"://")?.checked_add(3)?;
    let path = url.get(authority..)?.iter().position(|&b| b == b'/')?;
    url.get(authority.checked_add(path)?..)
}

fn mac_text(key: &MintKey, covered: &[u8]) -> String {
    let mut mac: KeyedMac = key.mac();
    mac.update(CONTEXT);
    mac.update(covered);
    URL_SAFE_NO_PAD.encode(mac.digest())
}

#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    None,
    One(Minted<'a>),
    Malformed,
}

/// The minted part of a target.
#[derive(Debug, PartialEq, Eq)]
struct Minted<'a> {
    /// Up to and with the separator before it.
    before: &'a [u8],
    /// What the MAC covers.
    covered: &'a [u8],
    after: &'a [u8],
    expires_at: u64,
    key: &'a [u8],
    mac: &'a [u8],
}

impl<'a> Minted<'a> {
    fn find(target: &'a [u8]) -> Found<'a> {
        let Some(question) = target.iter().position(|&b| b == b'?') else { return Found::None };
        let query = target.get(question.saturating_add(1)..).unwrap_or_default();
        // Also a spelling that a lenient reader would take for one of them counts as one.
        let is_ours = |piece: &&[u8]| {
            let name = piece.split(|&b| b == b'=').next().unwrap_or_default();
            let name: Vec<u8> = percent_encoding::percent_decode(name).collect();
            NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
        };
        let pieces = || query.split(|&b| b == b'&');
        match pieces().filter(is_ours).count() {
            0 => return Found::None,
            3 => {}
            _ => return Found::Malformed,
        }
        let lengths =
            || pieces().take_while(|piece| !is_ours(piece)).map(|piece| piece.len().saturating_add(1));
        let start = question.saturating_add(1).saturating_add(lengths().sum());
        Self::read(target, start).map_or(Found::Malformed, Found::One)
    }

    fn read(target: &'a [u8], start: usize) -> Option<Self> {
        let (before, minted) = target.split_at_checked(start)?;
        let mut pieces = minted.splitn(4, |&b| b == b'&');
        let [expiry, key, mac] = NAMES.map(|name| {
            let value = pieces.next()?.strip_prefix(name)?.strip_prefix(b"=")?;
            Some(value)
        });
        let (expiry, key, mac) = (expiry?, key?, mac?);
        let length = b"tg_exp=&tg_key=".len().checked_add(expiry.len())?.checked_add(key.len())?;
        let after = length.checked_add(b"&tg_mac=".len())?.checked_add(mac.len())?;
        let is_number = (1..=12).contains(&expiry.len()) && expiry.iter().all(u8::is_ascii_digit);
        Some(Self {
            before,
            covered: target.get(..start.checked_add(length)?)?,
            after: minted.get(after..)?,
            expires_at: std::str::from_utf8(expiry).ok().filter(|_| is_number)?.parse().ok()?,
            key,
            mac,
        })
    }
}
