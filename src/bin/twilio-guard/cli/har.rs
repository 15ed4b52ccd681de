//! HTTP archives (HAR 1.2), as browsers, tunnels and debugging proxies record them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::message::{Message, Url, encode_form};
use super::outcome::Failure;

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    headers: Vec<Pair>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    text: Option<String>,
    // Not in the specification, but written by several recorders for bodies that are not text.
    encoding: Option<String>,
    #[serde(default)]
    params: Vec<Pair>,
}

/// Reads one request of an archive: the given one, else the only one that carries a signature, else the only one.
pub(crate) fn read(text: &str, entry: Option<usize>) -> Result<Message, Failure> {
    let archive: Archive = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        Failure::new(
            format!("not an HTTP archive (line {} column {})", error.line(), error.column()),
            "give a HAR file: {\"log\": {\"entries\": [..]}}",
        )
    })?;
    let entries = archive.log.entries;
    let count = entries.len();
    let is_signed = |entry: &Entry| {
        entry.request.headers.iter().any(|header| {
            let name = header.name.to_ascii_lowercase();
            name == "x-twilio-signature" || name == "x-twilio-email-event-webhook-signature"
        })
    };
    let index = match entry {
        Some(index) => Some(index),
        None if count == 1 => Some(0),
        None => {
            let mut signed = entries.iter().enumerate().filter(|(_, entry)| is_signed(entry));
            signed.next().filter(|_| signed.next().is_none()).map(|(index, _)| index)
        }
    };
    let found = index.and_then(|index| entries.into_iter().nth(index));
    let found = found.ok_or_else(|| match entry {
        Some(_) => {
            Failure::new(format!("the archive has {count} entries, counted from 0"), "choose another --entry")
        }
        None => Failure::new(
            format!("the archive has {count} entries, and not exactly one of them is signed"),
            "choose one with --entry N, counted from 0",
        ),
    })?;
    message(found.request)
}

fn message(request: Request) -> Result<Message, Failure> {
    let body = match request.post_data {
        None => Vec::new(),
        Some(PostData { text: Some(text), encoding: Some(encoding), .. }) if encoding == "base64" => {
            STANDARD.decode(&text).map_err(|_| {
                Failure::new("postData.text of the archive is not base64", "record the request again")
            })?
        }
        Some(PostData { text: Some(text), params, .. }) if !text.is_empty() || params.is_empty() => {
            text.into_bytes()
        }
        Some(PostData { params, .. }) => {
            let bytes = |pair: Pair| (pair.name.into_bytes(), pair.value.into_bytes());
            encode_form(&params.into_iter().map(bytes).collect::<Vec<_>>()).into_bytes()
        }
    };
    let mut url = Url::parse(&request.url)?;
    let mut headers: Vec<(String, String)> =
        request.headers.into_iter().map(|pair| (pair.name, pair.value)).collect();
    if let Some((_, host)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")) {
        url.authority = host.clone();
    }
    // Browsers list the pseudo-headers of HTTP/2; what they say is in method and URL.
    headers.retain(|(name, _)| !name.starts_with(':'));
    Ok(Message { method: request.method, url, headers, body })
}
