//! The request to verify, from whichever source the arguments name.

use super::super::args::VerifyArgs;
use super::super::message::{FORM_TYPE, Message, RawMessage, Url, encode_form, params};
use super::super::outcome::Failure;
use super::super::{curl, har, input};
use super::keys::OwnKeys;

/// A request, and the keys that a vector carries for itself.
pub(super) struct Given {
    pub(super) message: Message,
    pub(super) keys: Option<OwnKeys>,
}

/// Reads the request.
pub(super) fn read(args: &VerifyArgs) -> Result<Given, Failure> {
    if let Some(path) = &args.request {
        let text = input::read_text(path)?;
        // serde's own message would repeat values, which may be keys.
        let bad = |error: serde_json::Error| {
            Failure::new(
                format!("not a request as JSON (line {} column {})", error.line(), error.column()),
                "give {\"method\": .., \"url\": .., \"headers\": {..}, \"body\": ..}",
            )
        };
        let raw: RawMessage = serde_json::from_str(&text).map_err(bad)?;
        let keys: OwnKeys = serde_json::from_str(&text).map_err(bad)?;
        return Ok(Given { message: raw.read()?, keys: Some(keys).filter(|keys| !keys.is_empty()) });
    }
    let message = if let Some(path) = &args.curl {
        curl::read(&input::read_text(path)?)?
    } else if let Some(path) = &args.har {
        har::read(&input::read_text(path)?, args.entry)?
    } else {
        from_flags(args)?
    };
    Ok(Given { message, keys: None })
}

fn from_flags(args: &VerifyArgs) -> Result<Message, Failure> {
    let url = Url::parse(args.url.as_deref().unwrap_or_default())?;
    let mut headers = Vec::with_capacity(args.headers.len());
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| Failure::new("a --header has no colon", "write --header 'NAME: VALUE'"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let body = match &args.body {
        Some(path) => input::read(path)?,
        None => encode_form(&params(&args.params)?).into_bytes(),
    };
    let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !args.params.is_empty() && !has_type {
        headers.push(("Content-Type".to_owned(), FORM_TYPE.to_owned()));
    }
    let default_method = if body.is_empty() && args.body.is_none() { "GET" } else { "POST" };
    let method = args.method.as_deref().unwrap_or(default_method).to_ascii_uppercase();
    let mut message = Message { method, url, headers, body };
    if let Some((_, host)) = message.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")) {
        message.url.authority = host.clone();
    }
    Ok(message)
}
