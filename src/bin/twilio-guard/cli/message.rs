//! A request as bytes, however it was given.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::outcome::Failure;

/// The media type of a form.
pub(crate) const FORM_TYPE: &str = "application/x-www-form-urlencoded";

/// What a form leaves as it is (WHATWG URL, 5.2), but for the blank, which becomes a plus sign.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ');

/// Decoded parameters: names and values.
pub(crate) type Params = Vec<(Vec<u8>, Vec<u8>)>;

/// A URL in the parts in which HTTP carries it. The target is kept byte for byte: it is what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    pub(crate) userinfo: Option<String>,
    pub(crate) authority: String,
    pub(crate) target: String,
}

impl Url {
    /// Splits an absolute URL. The fragment is dropped, an absent path is `/`: neither has another form on the wire.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let example = "give scheme, host and path, such as https://hooks.example.org/sms";
        let bad = |problem: &str| Failure::new(problem, example);
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad(
                "the URL has blanks or characters that are not ASCII, which HTTP carries percent-encoded",
            ));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("the URL is not absolute"))?;
        if !["http", "https", "ws", "wss"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(bad("the URL is not of the scheme http, https, ws or wss"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };
        if twilio_guard::request::comparable_host(authority.as_bytes()).is_none() {
            return Err(bad("the URL has no usable host"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme: scheme.to_owned(),
            userinfo,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }

    /// `scheme://authority`, without user information.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The whole URL, without user information.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }

    /// Appends parameters to the query.
    pub(crate) fn append(&mut self, encoded: &str) {
        if !encoded.is_empty() {
            let separator = if self.target.contains('?') { '&' } else { '?' };
            self.target = format!("{}{separator}{encoded}", self.target);
        }
    }

    /// The values of a query parameter.
    pub(crate) fn query_values(&self, name: &str) -> Vec<Vec<u8>> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        decode_form(query.as_bytes())
            .into_iter()
            .filter(|(own, _)| own == name.as_bytes())
            .map(|(_, value)| value)
            .collect()
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// Whether a header is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// The request in the shape of a vector.
    pub(crate) fn to_json(&self) -> Value {
        let mut headers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in &self.headers {
            headers.entry(name).or_default().push(value);
        }
        let one_or_many = |(name, values): (&str, Vec<&str>)| match values.as_slice() {
            [one] => (name.to_owned(), json!(one)),
            many => (name.to_owned(), json!(many)),
        };
        let headers: serde_json::Map<_, _> = headers.into_iter().map(one_or_many).collect();
        let mut json = json!({"method": self.method, "url": self.url.text(), "headers": headers});
        if let Some(object) = json.as_object_mut() {
            match std::str::from_utf8(&self.body) {
                Ok(text) => object.insert("body".to_owned(), text.into()),
                Err(_) => object.insert("body_base64".to_owned(), STANDARD.encode(&self.body).into()),
            };
        }
        json
    }
}

/// The shape of a request in a vector file.
#[derive(Debug, Deserialize)]
pub(crate) struct RawMessage {
    method: String,
    pub(crate) url: String,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    body: String,
    body_base64: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl RawMessage {
    pub(crate) fn read(&self) -> Result<Message, Failure> {
        let body = match &self.body_base64 {
            None => self.body.clone().into_bytes(),
            Some(text) => STANDARD.decode(text).map_err(|_| {
                Failure::new("body_base64 is not base64", "use the standard alphabet, padded")
            })?,
        };
        let values = |value: &OneOrMany| match value {
            OneOrMany::One(value) => vec![value.clone()],
            OneOrMany::Many(values) => values.clone(),
        };
        let headers = self
            .headers
            .iter()
            .flat_map(|(name, value)| values(value).into_iter().map(|value| (name.clone(), value)))
            .collect();
        Ok(Message { method: self.method.clone(), url: Url::parse(&self.url)?, headers, body })
    }
}

/// Reads `NAME=VALUE` arguments.
pub(crate) fn params(arguments: &[String]) -> Result<Params, Failure> {
    let read = |argument: &String| {
        let (name, value) = argument.split_once('=').ok_or_else(|| {
            Failure::new("a --param has no equals sign", "write --param NAME=VALUE, not yet encoded")
        })?;
        Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    };
    arguments.iter().map(read).collect()
}

/// Encodes parameters as `application/x-www-form-urlencoded`.
pub(crate) fn encode_form(params: &[(Vec<u8>, Vec<u8>)]) -> String {
    let encode = |text: &[u8]| percent_encode(text, FORM).to_string().replace(' ', "+");
    let pairs: Vec<String> =
        params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Decodes `application/x-www-form-urlencoded` (spec twilio-signature, section 2.2, step 1).
pub(crate) fn decode_form(body: &[u8]) -> Params {
    let decode = |text: &[u8]| {
        let text: Vec<u8> = text.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        percent_decode(&text).collect::<Vec<u8>>()
    };
    body.split(|&b| b == b'&')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let mut halves = segment.splitn(2, |&b| b == b'=');
            let name = decode(halves.next().unwrap_or_default());
            (name, decode(halves.next().unwrap_or_default()))
        })
        .collect()
}
