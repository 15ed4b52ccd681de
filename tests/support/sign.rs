//! Twilio's side of a webhook: an independent signer, for tests and the demo.
//!
//! Written from Twilio's description of its scheme and from the decoded parameters; it must never call the library
//! under test, or a shared mistake would verify itself.

use super::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// What a form encodes: everything but letters, digits and `*-._`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// The header that carries the signature.
pub const SIGNATURE: &str = "x-twilio-signature";

/// The header by which a request names the SharedKey that signed it.
pub const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// The media type of a form post.
pub const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// `base64(HMAC-SHA1(token, url + sorted distinct name-value pairs))`.
pub fn signature(token: &str, url: impl AsRef<[u8]>, parameters: &[(&str, &str)]) -> String {
    mac::<Hmac<Sha1>>(token, url.as_ref(), parameters)
}

/// The same with HMAC-SHA256, of which SharedKeys alone are capable.
pub fn signature_sha256(key: &str, url: impl AsRef<[u8]>, parameters: &[(&str, &str)]) -> String {
    mac::<Hmac<Sha256>>(key, url.as_ref(), parameters)
}

fn mac<M: Mac + KeyInit>(key: &str, url: &[u8], parameters: &[(&str, &str)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url);
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Lower-case hexadecimal SHA-256: the value of `bodySHA256`.
pub fn body_sha256(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `application/x-www-form-urlencoded`, also of a query.
pub fn encode_form(parameters: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, FORM).to_string().replace(' ', "+");
    let pairs: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock after 1970").as_secs()
}

/// A time as Twilio's forms have it, such as `Sun, 22 Nov 2026 10:00:00 +0000`.
pub fn rfc2822(seconds: u64) -> String {
    date(seconds).format(&Rfc2822).expect("a year of four digits")
}

/// A time as CloudEvents have it, such as `2026-11-22T10:00:00Z`.
pub fn rfc3339(seconds: u64) -> String {
    date(seconds).format(&Rfc3339).expect("a year of four digits")
}

fn date(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).expect("a time of this age");
    OffsetDateTime::from_unix_timestamp(seconds).expect("a time of this age")
}

/// A sender of webhooks that knows the account's token.
#[derive(Clone, Debug)]
pub struct Twilio {
    /// The auth token.
    pub token: String,
    /// Scheme and host, as entered at Twilio: `https://hooks.example.org`.
    pub public_url: String,
}

impl Twilio {
    /// A sender for the host that the examples use.
    pub fn new(token: &str) -> Self {
        Self { token: token.to_owned(), public_url: "https://hooks.example.org".to_owned() }
    }

    /// A form post, signed over its parameters.
    pub fn form(&self, target: &str, parameters: &[(&str, &str)]) -> Request {
        let signature = signature(&self.token, self.url(target), parameters);
        self.at(Request::post(target, FORM_TYPE, encode_form(parameters))).header(SIGNATURE, signature)
    }

    /// A JSON post; its hash is added to the query, which is signed.
    pub fn json(&self, target: &str, body: &str) -> Request {
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}bodySHA256={}", body_sha256(body.as_bytes()));
        self.url_only(Request::post(&target, "application/json", body.to_owned()))
    }

    /// A GET; its parameters are in the query.
    pub fn get(&self, target: &str) -> Request {
        self.url_only(Request::get(target))
    }

    /// A websocket upgrade, signed over the `wss` URL.
    pub fn websocket(&self, target: &str) -> Request {
        let url = self.url(target).replacen("http", "ws", 1);
        self.at(Request::websocket(target)).header(SIGNATURE, signature(&self.token, &url, &[]))
    }

    /// Any request, signed over its URL alone: nothing in the body is covered.
    pub fn url_only(&self, request: Request) -> Request {
        let signature = signature(&self.token, self.url(&request.target), &[]);
        self.at(request).header(SIGNATURE, signature)
    }

    /// The URL that Twilio was given for a target.
    pub fn url(&self, target: &str) -> String {
        format!("{}{target}", self.public_url)
    }

    fn at(&self, request: Request) -> Request {
        let host = self.public_url.split_once("://").map_or(self.public_url.as_str(), |(_, host)| host);
        request.authority(host)
    }
}
