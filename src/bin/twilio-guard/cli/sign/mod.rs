//! `sign`: a request as Twilio or SendGrid would send it.

mod mac;
mod sendgrid;

use sha2::{Digest as _, Sha256};

use super::args::{MacAlgorithm, SignArgs};
use super::curl::{self, BodySource};
use super::input;
use super::message::{FORM_TYPE, Message, Url, decode_form, encode_form, params};
use super::outcome::{Failure, Outcome};

/// Runs the command.
pub(crate) fn run(args: &SignArgs) -> Result<Outcome, Failure> {
    let mut message = message(args)?;
    let mut notes = Vec::new();
    let signature = if let Some(path) = &args.sendgrid_key {
        let signed = sendgrid::sign(&message, path, args.timestamp.as_deref())?;
        if args.timestamp.is_none() {
            notes.push(format!("timestamp: {}", signed.timestamp));
        }
        message.headers.push((sendgrid::TIMESTAMP.to_owned(), signed.timestamp));
        message.headers.push((sendgrid::SIGNATURE.to_owned(), signed.signature.clone()));
        signed.signature
    } else {
        if args.body.is_some() && !is_form(args) {
            append_hash(&mut message)?;
            notes.push(format!("url: {}", message.url.text()));
        }
        sign_twilio(args, &mut message)?
    };
    let source = match args.body.as_deref().or(args.form.as_deref()) {
        Some(path) if path.as_os_str() != "-" => BodySource::File(path),
        _ => BodySource::Other,
    };
    let curl = args.curl.then(|| curl::write(&message, source, args.to.as_deref())).transpose()?;
    let mut json = message.to_json();
    if let Some(object) = json.as_object_mut() {
        object.insert("signature".to_owned(), signature.clone().into());
        if let Some(curl) = &curl {
            object.insert("curl".to_owned(), curl.clone().into());
        }
    }
    // A curl command says the rest by itself.
    let note = (curl.is_none() && !notes.is_empty()).then(|| notes.join("\n"));
    Ok(Outcome { ok: true, text: curl.unwrap_or(signature), note, json })
}

/// The request before it is signed.
fn message(args: &SignArgs) -> Result<Message, Failure> {
    let mut url = Url::parse(&args.url)?;
    let default_method = if args.websocket { "GET" } else { "POST" };
    let method = args.method.as_deref().unwrap_or(default_method).to_ascii_uppercase();
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(Failure::new("--method is not a method", "use POST or GET"));
    }
    let has_no_body = matches!(method.as_str(), "GET" | "HEAD");
    if has_no_body && (args.form.is_some() || args.body.is_some()) {
        return Err(Failure::new(
            "nothing signs the body of a GET",
            "use --method POST, or give parameters with --param",
        ));
    }
    if args.websocket && method != "GET" {
        return Err(Failure::new("a WebSocket handshake is a GET", "remove --method"));
    }
    let mut headers = Vec::new();
    let mut body = Vec::new();
    if args.websocket {
        for (name, value) in [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.push((name.to_owned(), value.to_owned()));
        }
    } else if has_no_body {
        url.append(&encode_form(&params(&args.params)?));
    } else {
        let default_type =
            if args.sendgrid_key.is_some() || args.body.is_some() { "application/json" } else { FORM_TYPE };
        let content_type = args.content_type.as_deref().unwrap_or(default_type);
        headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        body = match args.body.as_deref().or(args.form.as_deref()) {
            Some(path) => input::read(path)?,
            None => encode_form(&params(&args.params)?).into_bytes(),
        };
    }
    Ok(Message { method, url, headers, body })
}

fn is_form(args: &SignArgs) -> bool {
    let media_type = args.content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
    args.body.is_some() && media_type.trim().eq_ignore_ascii_case(FORM_TYPE)
}

/// The hash of a body that is no form becomes part of the URL, which is signed.
fn append_hash(message: &mut Message) -> Result<(), Failure> {
    let hash: String = Sha256::digest(&message.body).iter().map(|byte| format!("{byte:02x}")).collect();
    let given = message.url.query_values("bodySHA256");
    if given.iter().any(|given| *given != hash.as_bytes()) {
        return Err(Failure::new(
            "bodySHA256 of the URL is not the hash of this body",
            "remove it from the URL: it is appended",
        ));
    }
    if given.is_empty() {
        message.url.append(&format!("bodySHA256={hash}"));
    }
    Ok(())
}

fn sign_twilio(args: &SignArgs, message: &mut Message) -> Result<String, Failure> {
    let secret = input::secret(&args.key)?;
    let mut signed_url = message.url.clone();
    if args.websocket {
        let secure = matches!(signed_url.scheme.to_ascii_lowercase().as_str(), "https" | "wss");
        signed_url.scheme = if secure { "wss" } else { "ws" }.to_owned();
    }
    let is_form = args.body.is_none() || is_form(args);
    let parameters = if is_form { decode_form(&message.body) } else { Vec::new() };
    let algorithm = match &args.key.shared_key {
        None => MacAlgorithm::HmacSha1,
        Some(id) => {
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
                return Err(Failure::new("--shared-key is not a key id", "give the id as Twilio shows it"));
            }
            let name = match args.key.algorithm {
                MacAlgorithm::HmacSha1 => "HMAC_SHA1",
                MacAlgorithm::HmacSha256 => "HMAC_SHA256",
            };
            let settings = format!("key={id},algorithm={name}");
            message.headers.push(("X-Twilio-Webhooks-Signature-Settings".to_owned(), settings));
            args.key.algorithm
        }
    };
    let signature = mac::signature(algorithm, &secret, &signed_url.text(), parameters)?;
    message.headers.push(("X-Twilio-Signature".to_owned(), signature.clone()));
    Ok(signature)
}
