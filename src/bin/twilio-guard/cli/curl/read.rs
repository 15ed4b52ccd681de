//! The request that a pasted curl command would send.

use super::super::message::{FORM_TYPE, Message, Url};
use super::super::outcome::Failure;
use super::ansi_c;
use super::data::{self, Kind};

/// Options with a value that do not change method, URL, headers or body.
const IGNORED_WITH_VALUE: &[&str] = &[
    "--cacert",
    "--cert",
    "--ciphers",
    "--connect-timeout",
    "--connect-to",
    "--cookie",
    "--cookie-jar",
    "--dump-header",
    "--interface",
    "--key",
    "--limit-rate",
    "--max-redirs",
    "--max-time",
    "--noproxy",
    "--output",
    "--proxy",
    "--referer",
    "--resolve",
    "--retry",
    "--retry-delay",
    "--unix-socket",
    "--user",
    "--user-agent",
    "--write-out",
];

/// Options without a value that do not change them either.
const IGNORED: &[&str] = &[
    "--compressed",
    "--fail",
    "--fail-with-body",
    "--globoff",
    "--http1.0",
    "--http1.1",
    "--http2",
    "--http2-prior-knowledge",
    "--http3",
    "--include",
    "--insecure",
    "--ipv4",
    "--ipv6",
    "--location",
    "--no-buffer",
    "--no-progress-meter",
    "--path-as-is",
    "--progress-bar",
    "--remote-name",
    "--show-error",
    "--silent",
    "--verbose",
];

/// The long names of short options.
const SHORT: &[(char, &str)] = &[
    ('0', "--http1.0"),
    ('4', "--ipv4"),
    ('6', "--ipv6"),
    ('A', "--user-agent"),
    ('D', "--dump-header"),
    ('E', "--cert"),
    ('F', "--form"),
    ('G', "--get"),
    ('H', "--header"),
    ('I', "--head"),
    ('L', "--location"),
    ('N', "--no-buffer"),
    ('O', "--remote-name"),
    ('S', "--show-error"),
    ('X', "--request"),
    ('b', "--cookie"),
    ('c', "--cookie-jar"),
    ('d', "--data"),
    ('e', "--referer"),
    ('f', "--fail"),
    ('g', "--globoff"),
    ('i', "--include"),
    ('k', "--insecure"),
    ('m', "--max-time"),
    ('o', "--output"),
    ('s', "--silent"),
    ('u', "--user"),
    ('v', "--verbose"),
    ('w', "--write-out"),
    ('x', "--proxy"),
    ('#', "--progress-bar"),
];

/// Reads a command. What curl would do with an option that is not known here cannot be told, so it is refused.
pub(crate) fn read(command: &str) -> Result<Message, Failure> {
    let words = shell_words::split(&ansi_c::to_plain_quotes(command)?).map_err(|_| {
        Failure::new(
            "the curl command has an open quote",
            "paste the whole command, as a POSIX shell takes it",
        )
    })?;
    let mut words = words.into_iter().skip_while(|word| word == "$");
    if !words.next().is_some_and(|word| word == "curl" || word.ends_with("/curl")) {
        return Err(Failure::new("this is not a curl command", "paste a command that begins with curl"));
    }
    let mut request = Request::default();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            None | Some("") => request.url = Some(word),
            Some(long) if long.starts_with('-') => {
                if takes_value(&word)? {
                    let value = words.next().ok_or_else(|| no_value(&word))?;
                    request.option(&word, &value)?;
                } else {
                    request.flag(&word);
                }
            }
            Some(cluster) => {
                let mut letters = cluster.chars();
                while let Some(letter) = letters.next() {
                    let long = long_name(letter)?;
                    if takes_value(long)? {
                        let joined = letters.as_str().to_owned();
                        let value = if joined.is_empty() { words.next() } else { Some(joined) };
                        request.option(long, &value.ok_or_else(|| no_value(long))?)?;
                        break;
                    }
                    request.flag(long);
                }
            }
        }
    }
    request.finish()
}

fn long_name(letter: char) -> Result<&'static str, Failure> {
    let found = SHORT.iter().find(|(own, _)| *own == letter);
    found.map(|(_, long)| *long).ok_or_else(|| unknown(&format!("-{letter}")))
}

fn takes_value(option: &str) -> Result<bool, Failure> {
    match option {
        "--request" | "--url" | "--header" | "--data" | "--data-ascii" | "--data-raw" | "--data-binary"
        | "--data-urlencode" | "--json" => Ok(true),
        "--get" | "--head" => Ok(false),
        "--form" | "--form-string" => Err(Failure::new(
            "the curl command builds a multipart body, whose bytes only curl knows",
            "save the body that was sent and give it with --url and --body",
        )),
        option if IGNORED_WITH_VALUE.contains(&option) => Ok(true),
        option if IGNORED.contains(&option) => Ok(false),
        option => Err(unknown(option)),
    }
}

fn unknown(option: &str) -> Failure {
    Failure::new(
        format!("{option} of the curl command is not understood"),
        "remove the option, or give the request with --url, --header and --body",
    )
}

fn no_value(option: &str) -> Failure {
    Failure::new(format!("{option} of the curl command has no value"), "paste the whole command")
}

#[derive(Debug, Default)]
struct Request {
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    data: Option<Vec<u8>>,
    is_json: bool,
    is_get: bool,
    is_head: bool,
}

impl Request {
    fn flag(&mut self, option: &str) {
        self.is_get |= option == "--get";
        self.is_head |= option == "--head";
    }

    fn option(&mut self, option: &str, value: &str) -> Result<(), Failure> {
        let kind = match option {
            "--request" => {
                self.method = Some(value.to_owned());
                return Ok(());
            }
            "--url" => {
                self.url = Some(value.to_owned());
                return Ok(());
            }
            "--header" => {
                self.headers.extend(header(value)?);
                return Ok(());
            }
            "--data" | "--data-ascii" => Kind::Plain,
            "--data-raw" => Kind::Raw,
            "--data-binary" => Kind::Binary,
            "--data-urlencode" => Kind::Encoded,
            "--json" => {
                self.is_json = true;
                Kind::Binary
            }
            _ => return Ok(()),
        };
        let piece = data::read(kind, value)?;
        match &mut self.data {
            None => self.data = Some(piece),
            Some(data) => {
                if !self.is_json {
                    data.push(b'&');
                }
                data.extend(piece);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Message, Failure> {
        let url =
            self.url.ok_or_else(|| Failure::new("the curl command has no URL", "paste the whole command"))?;
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let mut url = Url::parse(&url)?;
        let mut body = self.data;
        if self.is_get
            && let Some(data) = body.take()
        {
            let query = String::from_utf8(data).map_err(|_| {
                Failure::new("the query of the curl command is not UTF-8", "percent-encode it in the URL")
            })?;
            url.append(&query);
        }
        let default_method = match (&body, self.is_head) {
            (_, true) => "HEAD",
            (Some(_), false) => "POST",
            (None, false) => "GET",
        };
        let mut headers = self.headers;
        let has_type = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if body.is_some() && !has_type {
            let own = if self.is_json { "application/json" } else { FORM_TYPE };
            headers.push(("Content-Type".to_owned(), own.to_owned()));
        }
        // `Host: ` is what the server is told; the URL is only where curl connects to.
        if let Some((_, host)) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")) {
            url.authority = host.clone();
        }
        Ok(Message {
            method: self.method.unwrap_or_else(|| default_method.to_owned()),
            url,
            headers,
            body: body.unwrap_or_default(),
        })
    }
}

/// `Name: value`, `Name;` for an empty value, and `Name:`, which removes a header that curl would add.
fn header(text: &str) -> Result<Option<(String, String)>, Failure> {
    if let Some((name, value)) = text.split_once(':') {
        let value = value.trim();
        return Ok((!value.is_empty()).then(|| (name.trim().to_owned(), value.to_owned())));
    }
    let name = text.trim().strip_suffix(';');
    name.map(|name| Some((name.to_owned(), String::new())))
        .ok_or_else(|| Failure::new("a header of the curl command has no colon", "write -H 'Name: value'"))
}
