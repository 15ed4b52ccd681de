//! Public URLs, request targets, and the spellings of both that a signer may have used.

use crate::form;
use fastrand::Rng;

/// A configured public URL, in its parts.
#[derive(Clone, Debug)]
pub struct Base {
    pub scheme: &'static str,
    pub userinfo: Option<&'static str>,
    pub host: &'static str,
    pub port: Option<&'static str>,
    pub prefix: &'static str,
}

const HOSTS: &[&str] =
    &["hooks.example.org", "hooks.example.org", "Hooks.Example.ORG", "xn--bcher-kva.example", "10.0.0.7"];
const PORTS: &[&str] = &["443", "80", "8443", "8080"];

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.usize(..items.len())]
}

impl Base {
    pub fn random(rng: &mut Rng) -> Self {
        Self {
            scheme: if rng.u8(..15) == 0 { "HTTPS" } else { pick(rng, &["https", "https", "https", "http"]) },
            userinfo: if rng.u8(..10) == 0 {
                pick(rng, &[Some("user:pw"), Some("user:pw"), Some("user")])
            } else {
                None
            },
            host: if rng.u8(..12) == 0 { "[2001:db8::1]" } else { pick(rng, HOSTS) },
            port: rng.bool().then(|| pick(rng, PORTS)),
            prefix: pick(rng, &["", "", "", "/api", "/api/v1"]),
        }
    }

    /// The scheme, host, port and prefix of a public URL, as it is configured.
    pub fn url(&self) -> String {
        let userinfo = self.userinfo.map(|userinfo| format!("{userinfo}@")).unwrap_or_default();
        format!("{}://{userinfo}{}{}", self.scheme, self.authority(), self.prefix)
    }

    pub fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.to_owned(), |port| format!("{}:{port}", self.host))
    }

    const fn default_port(&self) -> &'static str {
        if self.scheme.eq_ignore_ascii_case("https") { "443" } else { "80" }
    }

    /// The URL that a signer used instead: mostly one that differs in the port alone, and is one that both sides know;
    /// sometimes any other.
    pub fn signed(&self, rng: &mut Rng, is_upgrade: bool) -> String {
        let mut base = self.clone();
        match rng.u8(..24) {
            0..10 => {}
            10..14 => base.port = None,
            14..18 => base.port = base.port.or(Some(self.default_port())),
            18 => base.port = Some(pick(rng, PORTS)),
            19 => base.userinfo = None,
            20 => base.scheme = pick(rng, &["https", "http", "HTTPS"]),
            21 => base.host = pick(rng, HOSTS),
            22 => {
                base.userinfo = None;
                base.port = pick(rng, &[None, Some(self.default_port())]);
            }
            _ => return self.cut_at_colon(is_upgrade),
        }
        if is_upgrade { websocket(&base.url()) } else { base.url() }
    }

    /// Everything of the authority from its first colon cut off.
    fn cut_at_colon(&self, is_upgrade: bool) -> String {
        let url = if is_upgrade { websocket(&self.url()) } else { self.url() };
        let (scheme, rest) = url.split_once("://").expect("an absolute URL");
        let authority = &rest[..rest.len() - self.prefix.len()];
        let cut = authority.split(':').next().unwrap_or_default();
        format!("{}://{cut}{}", scheme.to_ascii_lowercase(), self.prefix)
    }
}

/// The scheme of an upgrade.
fn websocket(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let scheme = if url.to_ascii_lowercase().starts_with("https") { "wss" } else { "ws" };
    format!("{scheme}://{rest}")
}

const PATHS: &[&str] = &[
    "/",
    "/sms",
    "/voice",
    "/voice/",
    "/a//b",
    "//a",
    "/a/../b",
    "/./a",
    "/a%2Fb",
    "/%7Ex",
    "/~x",
    "/a;b=c",
    "/a:b@c",
    "/é",
    "/%C3%A9",
    "/%zz",
    "/a+b",
    "/it's",
    "/a\"b",
    "/a[1]",
    "/a|b",
    "/calls/CA1/status",
];

/// A request target: a path, and often a query.
pub fn target(rng: &mut Rng) -> String {
    let path = pick(rng, PATHS);
    match rng.u8(..8) {
        0..3 => path.to_owned(),
        _ => format!("{path}?{}", query(rng)),
    }
}

/// A query in one of many spellings. Text, because a URL is.
fn query(rng: &mut Rng) -> String {
    const ODD: &[&str] =
        &["&", "=", "a", "a=1&a=2", "b=2&a=1", "x=it's", "x=\"y\"", "?", "x=%zz", "x=a+b", "x=a%20b", "é=ü"];
    if rng.u8(..4) == 0 {
        return pick(rng, ODD).to_owned();
    }
    let params = form::params(rng, 4);
    let mut spaced = String::from_utf8_lossy(&form::encode(rng, &params)).into_owned();
    // What no request line can hold, and the start of a fragment.
    spaced.retain(|c| !c.is_ascii_control() && c != '#');
    if spaced.is_empty() { "q=1".to_owned() } else { spaced }
}

/// A target with a part that is there and empty, or that no request has.
pub fn odd_target(rng: &mut Rng) -> String {
    const ODD: &[&str] =
        &["/sms?", "/a;", "/a;?x=1", "/a;b;", "/?", "/sms#", "/sms#a", "/sms?x=1#", "/sms??", "/sms?#"];
    pick(rng, ODD).to_owned()
}

/// The same resource under another spelling, as a proxy or a framework rewrites it.
pub fn rewritten(rng: &mut Rng, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match rng.u8(..9) {
        0 => target.replace('+', "%20"),
        1 => target.replace("%20", "+"),
        2 => {
            let mut pairs: Vec<&str> = query.split('&').collect();
            pairs.sort_unstable();
            format!("{path}?{}", pairs.join("&"))
        }
        3 => path.to_owned(),
        4 => format!("{}/?{query}", path.trim_end_matches('/')),
        5 => target.replace("%2F", "/").replace("%7E", "~"),
        6 => target.to_ascii_lowercase(),
        7 => target.replace('\'', "%27").replace('"', "%22"),
        _ => format!("{target}?"),
    }
}
