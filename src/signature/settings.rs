//! The header by which a request says which SharedKey signed it.
//!
//! The header is not signed. So it may only select among configured keys, its algorithm must be the one configured for the key,
//! and a request that carries it is never tried with an auth token (spec twilio-signature, section 4, step 2, and
//! section 5, attack 13).

use std::sync::Arc;

use crate::config::{Algorithm, SharedKey, TwilioRule};
use crate::reject::Reject;
use crate::request::Occurs;

/// The shared key that a request names; `None` where it names none and an auth token has to have signed.
pub(super) fn named_key(rule: &TwilioRule, header: Occurs<'_>) -> Result<Option<Arc<SharedKey>>, Reject> {
    let value = match header {
        Occurs::Absent => return Ok(None),
        Occurs::Repeated => return Err(Reject::MalformedSettings),
        Occurs::Once(value) => value,
    };
    let (id, algorithm) = parse(value).ok_or(Reject::MalformedSettings)?;
    let key = rule.shared_keys.iter().find(|key| key.id.as_bytes() == id).ok_or(Reject::UnknownKey)?;
    let named = match algorithm {
        // Twilio's default (section 3.5).
        None | Some(b"HMAC_SHA1") => Algorithm::HmacSha1,
        Some(b"HMAC_SHA256") => Algorithm::HmacSha256,
        Some(_) => return Err(Reject::AlgorithmMismatch),
    };
    if named != key.algorithm {
        return Err(Reject::AlgorithmMismatch);
    }
    Ok(Some(Arc::clone(key)))
}

/// Reads `key=<id>,algorithm=<name>`: each item at most once, in any order, with blanks around items; nothing else.
fn parse(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (mut key, mut algorithm) = (None, None);
    for item in value.split(|&b| b == b',') {
        let item = item.trim_ascii();
        let (slot, value) = match (item.strip_prefix(b"key="), item.strip_prefix(b"algorithm=")) {
            (Some(value), _) => (&mut key, value),
            (_, Some(value)) => (&mut algorithm, value),
            (None, None) => return None,
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    Some((key?, algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_once_in_any_order() {
        let both = Some((&b"k1"[..], Some(&b"HMAC_SHA256"[..])));
        assert_eq!(parse(b"key=k1,algorithm=HMAC_SHA256"), both);
        assert_eq!(parse(b" algorithm=HMAC_SHA256 , key=k1 "), both);
        assert_eq!(parse(b"key=k1"), Some((&b"k1"[..], None)));
        for bad in [
            "",
            "algorithm=HMAC_SHA1",
            "key=a,key=b",
            "key=a,algorithm=x,algorithm=y",
            "key=a,",
            "key=a,x=y",
            "Key=a",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
