//! A generated request, with what its signer signed.

use crate::peer::latin1;
use percent_encoding::percent_decode;
use serde_json::{Value, json};
use std::fmt;

/// One webhook request as it arrives, the keys that are configured for it, and what its signer had signed before
/// anything happened to it.
#[derive(Clone)]
pub struct Case {
    /// How it was generated.
    pub kind: &'static str,
    /// Which validator is asked.
    pub scheme: Scheme,
    /// The configured public URL.
    pub public_url: String,
    /// The host that the request names.
    pub authority: String,
    pub method: String,
    pub target: Vec<u8>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
    pub keys: Keys,
    pub signed: Signed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Twilio,
    Sendgrid,
}

/// What is configured on both sides.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub tokens: Vec<String>,
    /// The SID to which the tokens are bound.
    pub account: Option<String>,
    pub shared: Vec<SharedKey>,
    pub public_key: String,
}

#[derive(Clone, Debug)]
pub struct SharedKey {
    pub id: String,
    pub secret: String,
    /// The name in Twilio's header: `HMAC_SHA1` or `HMAC_SHA256`.
    pub algorithm: &'static str,
}

/// What the signer took in.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    pub url: String,
    pub params: Vec<(String, String)>,
    /// Whether the parameters were sorted as UTF-16, and that is another order.
    pub in_utf16_order: bool,
}

pub const SIGNATURE: &str = "x-twilio-signature";
pub const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
pub const SENDGRID_SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
pub const SENDGRID_TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
pub const FORM: &str = "application/x-www-form-urlencoded";

impl Case {
    /// The case for the peer.
    pub fn question(&self) -> Value {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (*name, latin1(value))).collect();
        let shared: serde_json::Map<String, Value> =
            self.keys.shared.iter().map(|key| (key.id.clone(), key.secret.clone().into())).collect();
        json!({
            "do": match self.scheme { Scheme::Twilio => "twilio", Scheme::Sendgrid => "sendgrid" },
            "public_url": self.public_url,
            "method": self.method,
            "target": latin1(&self.target),
            "headers": headers,
            "body": latin1(&self.body),
            "tokens": self.keys.tokens,
            "shared_keys": shared,
            "public_key": self.keys.public_key,
        })
    }

    /// The values of a header, in order.
    pub fn values(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| value.as_slice()).collect()
    }

    /// The value of a header that occurs once.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        match self.values(name).as_slice() {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Sets a header, in place of those of that name.
    pub fn set(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value.into()));
    }

    /// The media type, in lower case and without parameters, of all content-type headers joined.
    pub fn media_type(&self) -> Vec<u8> {
        let joined = self.values("content-type").join(&b", "[..]);
        joined.split(|&b| b == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase()
    }

    pub fn is_form(&self) -> bool {
        self.media_type() == FORM.as_bytes()
    }

    pub fn is_upgrade(&self) -> bool {
        !self.values("upgrade").is_empty()
    }

    /// The decoded values of a query parameter.
    pub fn query(&self, name: &str) -> Vec<Vec<u8>> {
        let query = self.target.splitn(2, |&b| b == b'?').nth(1).unwrap_or_default();
        let decode = |text: &[u8]| {
            let spaced: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
            percent_decode(&spaced).collect::<Vec<u8>>()
        };
        let halves = query.split(|&b| b == b'&').map(|pair| {
            let mut halves = pair.splitn(2, |&b| b == b'=').map(decode);
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        });
        halves.filter(|(own, _)| own == name.as_bytes()).map(|(_, value)| value).collect()
    }

    /// The values of `bodySHA256`.
    pub fn hashes(&self) -> Vec<Vec<u8>> {
        self.query("bodySHA256")
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.signed.url;
        write!(f, "{} to {}, signed for {url}: {}", self.kind, self.authority, self.question())
    }
}
