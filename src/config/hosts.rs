//! The public URL that Twilio was given, and the hosts that a request may name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::ConfigError;
use super::raw::{RawDerivedUrl, RawHosts, RawPublicUrl, RawUrlSource};
use crate::path::is_ambiguous_path;
use crate::request::{comparable_host, split_port};

/// Where the signed URL's scheme, host, port and prefix come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicUrl {
    /// From the configuration: nothing in the request can change it.
    Fixed(UrlBases),
    /// From the request's own `:scheme` and `:authority`. For development.
    FromRequest,
    /// From `x-forwarded-proto` and `x-forwarded-host`, when the peer's address is in one of these networks.
    FromForwarded(Vec<IpNet>),
}

impl PublicUrl {
    /// Whether the peer address, with or without port, is one whose forwarded headers count.
    #[must_use]
    pub fn trusts(&self, peer: &[u8]) -> bool {
        let Self::FromForwarded(networks) = self else { return false };
        let address = std::str::from_utf8(peer).ok().and_then(|text| {
            let with_port = || text.parse().map(|address: SocketAddr| address.ip());
            text.parse::<IpAddr>().or_else(|_| with_port()).ok()
        });
        address.is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
    }
}

/// The texts that may stand before the raw request target in a signed URL: `scheme://authority/prefix`, with and
/// without port (the signer is inconsistent about ports; spec twilio-signature, sections 2.1 and 4.5).
#[derive(Clone, PartialEq, Eq)]
pub struct UrlBases {
    http: Vec<String>,
    websocket: Vec<String>,
}

/// Prints no URL: one with user information holds a secret.
impl fmt::Debug for UrlBases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlBases(..)")
    }
}

impl UrlBases {
    /// Bases for a scheme (`http`, `https`, `ws`, `wss`, in any case), an authority without user information,
    /// and a path prefix without trailing slash. `None` for another scheme or a malformed authority.
    #[must_use]
    pub fn new(scheme: &str, authority: &str, prefix: &str) -> Option<Self> {
        Self::with_userinfo(scheme, None, authority, prefix)
    }

    fn with_userinfo(scheme: &str, userinfo: Option<&str>, authority: &str, prefix: &str) -> Option<Self> {
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let is_websocket = matches!(scheme.to_ascii_lowercase().as_str(), "ws" | "wss");
        let (http, websocket) = if secure { ("https", "wss") } else { ("http", "ws") };
        let (host, port) = split_port(authority.as_bytes()).filter(|_| !authority.ends_with(':'))?;
        comparable_host(authority.as_bytes())?;
        let host = std::str::from_utf8(host).ok()?;
        let port = port.and_then(|port| std::str::from_utf8(port).ok());
        let default_port = if secure { "443" } else { "80" };
        let other = match port {
            Some(_) => host.to_owned(),
            None => format!("{host}:{default_port}"),
        };
        let bases = |scheme: &str| {
            let mut bases = Vec::with_capacity(4);
            for userinfo in [None, userinfo].into_iter().take(1 + usize::from(userinfo.is_some())) {
                for authority in [authority, &other] {
                    let userinfo = userinfo.map(|text| format!("{text}@")).unwrap_or_default();
                    bases.push(format!("{scheme}://{userinfo}{authority}{prefix}"));
                }
            }
            bases
        };
        // The scheme as written is kept for its own kind; the other kind gets the canonical spelling.
        Some(Self {
            http: bases(if is_websocket { http } else { scheme }),
            websocket: bases(if is_websocket { scheme } else { websocket }),
        })
    }

    /// The bases for a plain request or for a WebSocket upgrade (whose signed scheme is `wss` or `ws`).
    #[must_use]
    pub fn for_request(&self, is_websocket: bool) -> &[String] {
        if is_websocket { &self.websocket } else { &self.http }
    }
}

/// Which hosts a request may name, compared as [`comparable_host`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// Every host.
    Any,
    /// These hosts.
    List(Vec<Vec<u8>>),
}

impl HostPolicy {
    /// Whether a host, in comparable form, is accepted.
    #[must_use]
    pub fn accepts(&self, host: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::List(hosts) => hosts.iter().any(|accepted| accepted == host),
        }
    }

    /// Whether every host that `self` accepts is also accepted by `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Any) => true,
            (Self::Any, Self::List(_)) => false,
            (Self::List(own), Self::List(_)) => own.iter().all(|host| other.accepts(host)),
        }
    }
}

/// Reads a public URL; gives the host that it names, where it names one.
pub(super) fn compile_public_url(
    raw: &RawPublicUrl,
    path: &str,
    allow_inline: bool,
) -> Result<(PublicUrl, Option<Vec<u8>>), ConfigError> {
    match raw {
        RawPublicUrl::Fixed(url) => fixed_url(url, path, allow_inline).map(|(url, host)| (url, Some(host))),
        RawPublicUrl::Derived(derived) => derived_url(derived, path).map(|url| (url, None)),
    }
}

fn fixed_url(url: &str, path: &str, allow_inline: bool) -> Result<(PublicUrl, Vec<u8>), ConfigError> {
    let fault = |problem: &str, remedy: &str| ConfigError::new(path, problem, remedy);
    let example = "give scheme, host, optional port and prefix, such as https://hooks.example.org";
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(fault("white space, a control character or non-ASCII text in the URL", example));
    }
    if url.contains(['?', '#']) {
        return Err(fault("a query or fragment in the URL", "remove it: the query comes from each request"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| fault("not an absolute URL", example))?;
    let (authority, prefix) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
        Some((authority, prefix)) => (authority, prefix.trim_end_matches('/')),
        None => (rest, ""),
    };
    if !prefix.is_empty() && is_ambiguous_path(prefix.as_bytes()) {
        return Err(fault("an ambiguous path prefix in the URL", example));
    }
    let (userinfo, authority) = match authority.rsplit_once('@') {
        Some((userinfo, authority)) => (Some(userinfo), authority),
        None => (None, authority),
    };
    if userinfo.is_some() && !allow_inline {
        return Err(fault(
            "user information in the URL is an inline secret",
            "remove it (requests do not carry it), or set allow_inline_secrets to true",
        ));
    }
    let bases = UrlBases::with_userinfo(scheme, userinfo, authority, prefix)
        .ok_or_else(|| fault("not a usable scheme, host or port", example))?;
    let host =
        comparable_host(authority.as_bytes()).ok_or_else(|| fault("the URL names no host", example))?;
    Ok((PublicUrl::Fixed(bases), host))
}

fn derived_url(raw: &RawDerivedUrl, path: &str) -> Result<PublicUrl, ConfigError> {
    let peers_path = format!("{path}.trusted_peers");
    match (raw.from, raw.trusted_peers.as_deref()) {
        (RawUrlSource::Request, None) => Ok(PublicUrl::FromRequest),
        (RawUrlSource::Request, Some(_)) => Err(ConfigError::new(
            peers_path,
            "only forwarded headers have trusted peers",
            "remove it, or set from to forwarded",
        )),
        (RawUrlSource::Forwarded, None | Some([])) => Err(ConfigError::new(
            peers_path,
            "nobody is trusted to forward",
            "list the networks of the proxies in front, such as 10.0.0.0/8",
        )),
        (RawUrlSource::Forwarded, Some(networks)) => networks
            .iter()
            .enumerate()
            .map(|(index, network)| {
                network.parse().map_err(|_| {
                    ConfigError::new(
                        format!("{peers_path}[{index}]"),
                        "not a network",
                        "write it as CIDR, such as 10.0.0.0/8 or 2001:db8::/32",
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(PublicUrl::FromForwarded),
    }
}

/// Reads an explicit host list.
pub(super) fn compile_hosts(raw: &RawHosts, path: &str) -> Result<HostPolicy, ConfigError> {
    match raw {
        RawHosts::Word(_) => Ok(HostPolicy::Any),
        RawHosts::List(hosts) => compile_host_list(hosts, path).map(HostPolicy::List),
    }
}

/// Reads a list of host names, without ports.
pub(super) fn compile_host_list(hosts: &[String], path: &str) -> Result<Vec<Vec<u8>>, ConfigError> {
    if hosts.is_empty() {
        return Err(ConfigError::new(path, "no host is listed", "list at least one host"));
    }
    hosts
        .iter()
        .enumerate()
        .map(|(index, host)| {
            let plain = split_port(host.as_bytes()).is_some_and(|(_, port)| port.is_none())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b));
            comparable_host(host.as_bytes()).filter(|_| plain).ok_or_else(|| {
                ConfigError::new(
                    format!("{path}[{index}]"),
                    "not a host name",
                    "give the host alone, without scheme, port or path",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(url: &str) -> UrlBases {
        match fixed_url(url, "public_url", true) {
            Ok((PublicUrl::Fixed(bases), _)) => bases,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_url_as_written_comes_first_then_the_other_port_spelling() {
        assert_eq!(bases("https://h.example").http, ["https://h.example", "https://h.example:443"]);
        assert_eq!(bases("https://h.example:8443").http, ["https://h.example:8443", "https://h.example"]);
        assert_eq!(bases("https://h.example").websocket, ["wss://h.example", "wss://h.example:443"]);
        assert_eq!(bases("http://h.example/").http, ["http://h.example", "http://h.example:80"]);
    }

    #[test]
    fn spelling_and_prefix_are_kept() {
        assert_eq!(bases("HTTPS://Host.Example/Hooks/").http.first().unwrap(), "HTTPS://Host.Example/Hooks");
        assert_eq!(bases("https://[2001:db8::1]:8443").http.last().unwrap(), "https://[2001:db8::1]");
    }

    #[test]
    fn user_information_is_an_extra_candidate() {
        assert_eq!(
            bases("https://u:p@h.example").http,
            [
                "https://h.example",
                "https://h.example:443",
                "https://u:p@h.example",
                "https://u:p@h.example:443"
            ]
        );
    }
}
