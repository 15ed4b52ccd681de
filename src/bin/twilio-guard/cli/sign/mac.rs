//! Twilio's signature over URL and parameters (spec twilio-signature, section 2). The library cannot give one away: its MACs
//! do not print.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use sha1::Sha1;
use sha2::Sha256;
use twilio_guard::config::Secret;

use super::super::args::MacAlgorithm;
use super::super::message::Params;
use super::super::outcome::Failure;

/// The signature over `url` and the sorted distinct parameters.
pub(super) fn signature(
    algorithm: MacAlgorithm,
    secret: &Secret,
    url: &str,
    mut parameters: Params,
) -> Result<String, Failure> {
    parameters.sort_unstable();
    parameters.dedup();
    let pieces = parameters.iter().flat_map(|(name, value)| [name.as_slice(), value.as_slice()]);
    let text: Vec<u8> = [url.as_bytes()].into_iter().chain(pieces).flatten().copied().collect();
    let key = secret.reveal().as_bytes();
    let mac = match algorithm {
        MacAlgorithm::HmacSha1 => Hmac::<Sha1>::new_from_slice(key)
            .map(|mac| mac.chain_update(&text).finalize().into_bytes().to_vec()),
        MacAlgorithm::HmacSha256 => Hmac::<Sha256>::new_from_slice(key)
            .map(|mac| mac.chain_update(&text).finalize().into_bytes().to_vec()),
    };
    mac.map(|mac| STANDARD.encode(mac))
        .map_err(|_| Failure::new("the secret cannot be used as a key", "give another one"))
}
