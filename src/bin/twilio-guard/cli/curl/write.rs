//! A curl command that sends exactly the bytes that were signed.

use std::path::Path;

use shell_words::quote;

use super::super::message::{Message, Url};
use super::super::outcome::Failure;

/// The longest body that is put into the command itself; systems limit the length of one argument (Linux: 128 KiB).
const LONGEST_ARGUMENT: usize = 100_000;

/// Where the body came from, in case that it does not fit into a command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodySource<'a> {
    File(&'a Path),
    Other,
}

/// Writes the command. `to` replaces scheme and authority of the URL; the host that was signed stays in the `Host` header.
pub(crate) fn write(message: &Message, source: BodySource<'_>, to: Option<&str>) -> Result<String, Failure> {
    let mut url = message.url.clone();
    let is_websocket = message.has("upgrade");
    let secure = matches!(url.scheme.to_ascii_lowercase().as_str(), "https" | "wss");
    // curl makes the handshake with plain headers, so it needs the scheme of HTTP.
    url.scheme = if secure { "https" } else { "http" }.to_owned();
    let mut headers = message.headers.clone();
    if let Some(to) = to {
        let to = Url::parse(to)?;
        if to.target != "/" {
            return Err(Failure::new(
                "--to has a path, which would change what is signed",
                "give scheme, host and port only",
            ));
        }
        headers.insert(0, ("Host".to_owned(), url.authority.clone()));
        (url.scheme, url.authority) = (to.scheme, to.authority);
    }
    // curl would otherwise squash dot segments and expand [] and {}: another URL than the signed one.
    let mut words = vec!["curl -sS -i --globoff --path-as-is".to_owned()];
    if is_websocket {
        words.push("--http1.1".to_owned());
    }
    words.push(if message.method == "HEAD" {
        "--head".to_owned()
    } else {
        format!("-X {}", quote(&message.method))
    });
    words.push(quote(&url.text()).into_owned());
    for (name, value) in &headers {
        words.push(format!("-H {}", quote(&format!("{name}: {value}"))));
    }
    if message.has("content-type") {
        words.push(body(&message.body, source)?);
    }
    Ok(words.join(" "))
}

fn body(body: &[u8], source: BodySource<'_>) -> Result<String, Failure> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'));
    match (text.filter(|text| text.len() <= LONGEST_ARGUMENT), source) {
        // --data-raw takes an @ literally.
        (Some(text), _) => Ok(format!("--data-raw {}", quote(text))),
        (None, BodySource::File(path)) => {
            Ok(format!("--data-binary {}", quote(&format!("@{}", path.display()))))
        }
        (None, BodySource::Other) => Err(Failure::new(
            "the body is binary or too long for a command",
            "give it as a file, which the command then names",
        )),
    }
}
