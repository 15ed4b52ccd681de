//! The texts that another verifier, or the same one configured differently, would have hashed.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use serde_json::Value;

use super::{Evidence, Hint};
use crate::config::{HostPolicy, PublicUrl, TwilioRule};
use crate::request::{RequestHead, split_port};
use crate::signature::query;

/// A text to sign: URL, then parameters.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) url: Vec<u8>,
    pub(super) params: Arc<[u8]>,
}

/// The most hosts of the configuration that are tried.
const MAX_HOSTS: usize = 8;

/// What `application/x-www-form-urlencoded` leaves as it is.
const FORM_SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT_SAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The parts from which texts are put together.
pub(super) struct Texts<'a> {
    evidence: &'a Evidence,
    scheme: &'static str,
    host: String,
    port: Option<String>,
    prefix: String,
    other_hosts: Vec<(Hint, String)>,
    params: Arc<[u8]>,
}

impl<'a> Texts<'a> {
    /// `None` where the URL of the rule or of the request is not text.
    pub(super) fn new(evidence: &'a Evidence, rule: &TwilioRule) -> Option<Self> {
        let authority = std::str::from_utf8(&evidence.authority).ok()?;
        let base = match &rule.public_url {
            PublicUrl::Fixed(bases) => bases.for_request(false).first()?.clone(),
            PublicUrl::FromRequest | PublicUrl::FromForwarded(_) => format!("https://{authority}"),
        };
        let (scheme, rest) = base.split_once("://")?;
        let is_secure = matches!(scheme.to_ascii_lowercase().as_str(), "https" | "wss");
        let (authority, prefix) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let (host, port) = host_and_port(authority.as_bytes())?;
        let mut other_hosts = Vec::new();
        let request_host = host_and_port(&evidence.authority).map(|(host, _)| (Hint::RequestHost, host));
        let forwarded = evidence.forwarded_host.as_deref().and_then(host_and_port);
        let forwarded = forwarded.map(|(host, _)| (Hint::ForwardedHost, host));
        let listed = match &rule.hosts {
            HostPolicy::List(hosts) => hosts.as_slice(),
            HostPolicy::Any => &[],
        };
        let listed = listed.iter().take(MAX_HOSTS).filter_map(|host| String::from_utf8(host.clone()).ok());
        let listed = listed.map(|host| (Hint::ListedHost, host));
        for (hint, other) in request_host.into_iter().chain(forwarded).chain(listed) {
            if other != host && other_hosts.iter().all(|(_, known)| *known != other) {
                other_hosts.push((hint, other));
            }
        }
        Some(Self {
            evidence,
            scheme: if is_secure { "https" } else { "http" },
            host,
            port,
            prefix: prefix.to_owned(),
            other_hosts,
            params: canonical(query::pairs(evidence.signed_form())).into(),
        })
    }

    /// The texts that were hashed in vain.
    pub(super) fn plain(&self) -> Vec<Text> {
        self.at_own_bases(&self.evidence.target, &self.params)
    }

    /// Other spellings of the URL, those with one difference before those with two.
    pub(super) fn other_urls(&self) -> Vec<(Vec<Hint>, Text)> {
        let mut texts = Vec::new();
        for (scheme_hint, scheme) in self.schemes() {
            for (host_hint, host) in self.hosts() {
                for (port_hint, port) in self.ports() {
                    for (prefix_hint, prefix) in self.prefixes() {
                        let hints = [scheme_hint, host_hint, port_hint, prefix_hint];
                        let hints: Vec<Hint> = hints.into_iter().flatten().collect();
                        if (1..=2).contains(&hints.len()) {
                            let port = port.as_ref().map(|port| format!(":{port}")).unwrap_or_default();
                            let base = format!("{scheme}://{host}{port}{prefix}");
                            let url = [base.as_bytes(), &self.evidence.target].concat();
                            texts.push((hints, Text { url, params: Arc::clone(&self.params) }));
                        }
                    }
                }
            }
        }
        for (hint, target) in other_targets(&self.evidence.target) {
            let at_bases = self.at_own_bases(&target, &self.params);
            texts.extend(at_bases.into_iter().map(|text| (vec![hint], text)));
        }
        texts.sort_by_key(|(hints, _)| hints.len());
        texts
    }

    /// Other readings of the parameters.
    pub(super) fn other_params(&self) -> Vec<(Hint, Text)> {
        let evidence = self.evidence;
        let form: Vec<_> = query::pairs(evidence.signed_form()).collect();
        let in_query = query::pairs(evidence.head().query());
        let mut readings: Vec<(Hint, Vec<u8>)> = vec![(Hint::ParamsIgnored, Vec::new())];
        let trimmed = form.iter().map(|(name, value)| (name, value.trim_ascii()));
        readings.push((Hint::ParamsTrimmed, canonical(trimmed)));
        let filled = form.iter().filter(|(_, value)| !value.is_empty());
        readings.push((Hint::ParamsEmptyDropped, canonical(filled.map(|(name, value)| (name, value)))));
        let mut first = BTreeMap::new();
        for (name, value) in &form {
            first.entry(name).or_insert(value);
        }
        readings.push((Hint::ParamsFirstOnly, canonical(first)));
        if let Some(members) = evidence.json_members() {
            readings.push((Hint::JsonAsForm, canonical(members)));
        }
        readings.push((Hint::QueryAppended, canonical(in_query.chain(form.iter().cloned()))));
        let mut texts = Vec::new();
        for (hint, params) in readings {
            if *params != *self.params {
                let at_bases = self.at_own_bases(&evidence.target, &params.into());
                texts.extend(at_bases.into_iter().map(|text| (hint, text)));
            }
        }
        texts
    }

    fn at_own_bases(&self, target: &[u8], params: &Arc<[u8]>) -> Vec<Text> {
        let own_schemes = self.schemes().into_iter().filter(|(hint, _)| hint.is_none());
        let mut texts = Vec::new();
        for (_, scheme) in own_schemes {
            for (_, port) in self.ports().into_iter().filter(|(hint, _)| hint.is_none()) {
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                let base = format!("{scheme}://{}{port}{}", self.host, self.prefix);
                texts.push(Text { url: [base.as_bytes(), target].concat(), params: Arc::clone(params) });
            }
        }
        texts
    }

    fn schemes(&self) -> [(Option<Hint>, &'static str); 4] {
        let is_secure = self.scheme == "https";
        let (http, ws) = if is_secure { ("https", "wss") } else { ("http", "ws") };
        let (other_http, other_ws) = if is_secure { ("http", "ws") } else { ("https", "wss") };
        let (own, other, crossed, other_crossed) = if self.evidence.is_upgrade {
            (ws, other_ws, http, other_http)
        } else {
            (http, other_http, ws, other_ws)
        };
        [
            (None, own),
            (Some(Hint::Scheme), other),
            (Some(Hint::WebsocketScheme), crossed),
            (Some(Hint::WebsocketScheme), other_crossed),
        ]
    }

    fn hosts(&self) -> Vec<(Option<Hint>, &str)> {
        let others = self.other_hosts.iter().map(|(hint, host)| (Some(*hint), host.as_str()));
        [(None, self.host.as_str())].into_iter().chain(others).collect()
    }

    fn ports(&self) -> Vec<(Option<Hint>, Option<String>)> {
        let default_port = if self.scheme == "https" { "443" } else { "80" };
        let own = self.port.clone().unwrap_or_else(|| default_port.to_owned());
        let mut ports = vec![(None, None), (None, Some(own.clone()))];
        let other_default = if default_port == "443" { "80" } else { "443" };
        let named = host_and_port(&self.evidence.authority).and_then(|(_, port)| port);
        for port in
            [named, Some(default_port.to_owned()), Some(other_default.to_owned())].into_iter().flatten()
        {
            if ports.iter().all(|(_, known)| known.as_ref() != Some(&port)) {
                ports.push((Some(Hint::Port), Some(port)));
            }
        }
        ports
    }

    fn prefixes(&self) -> Vec<(Option<Hint>, String)> {
        let mut prefixes = vec![(None, self.prefix.clone())];
        if !self.prefix.is_empty() {
            prefixes.push((Some(Hint::PrefixDropped), String::new()));
        }
        let forwarded =
            self.evidence.forwarded_prefix.as_deref().and_then(|text| std::str::from_utf8(text).ok());
        if let Some(forwarded) =
            forwarded.map(|text| text.trim_end_matches('/')).filter(|text| text.starts_with('/'))
        {
            prefixes.push((Some(Hint::PrefixForwarded), forwarded.to_owned()));
        }
        prefixes
    }
}

impl Evidence {
    fn head(&self) -> RequestHead<'_> {
        RequestHead { target: &self.target, ..RequestHead::default() }
    }

    /// The body where it may be a form; a JSON body, and one whose hash the URL names, has no parameters.
    fn signed_form(&self) -> &[u8] {
        let is_hashed = query::pairs(self.head().query()).any(|(name, _)| name.as_ref() == b"bodySHA256");
        let has_form = !self.is_json && !is_hashed && !matches!(self.method.as_slice(), b"GET" | b"HEAD");
        if has_form { &self.body } else { &[] }
    }

    /// The members of a flat JSON object, as a form would carry them.
    fn json_members(&self) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let Value::Object(members) = serde_json::from_slice(&self.body).ok()? else { return None };
        let text = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some(members.into_iter().map(|(name, value)| (name.into_bytes(), text(value).into_bytes())).collect())
    }
}

fn host_and_port(authority: &[u8]) -> Option<(String, Option<String>)> {
    let (host, port) = split_port(authority)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((text(host)?, port.and_then(text)))
}

/// Distinct pairs, sorted and glued together (spec section 2.2).
fn canonical<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let owned = pairs.into_iter().map(|(name, value)| (name.as_ref().to_vec(), value.as_ref().to_vec()));
    let mut pairs: Vec<_> = owned.collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect()
}

/// Other spellings of path and query.
fn other_targets(target: &[u8]) -> Vec<(Hint, Vec<u8>)> {
    let head = RequestHead { target, ..RequestHead::default() };
    let (path, query) = (head.path(), head.query());
    let with_query = |path: &[u8], query: &[u8]| {
        if query.is_empty() { path.to_vec() } else { [path, b"?", query].concat() }
    };
    let toggled = match path.strip_suffix(b"/") {
        Some(shorter) => shorter.to_vec(),
        None => [path, b"/"].concat(),
    };
    let mut targets = vec![(Hint::TrailingSlash, with_query(&toggled, query))];
    if target.contains(&b'?') {
        targets.push((Hint::QueryDropped, path.to_vec()));
        let mut sorted: Vec<&[u8]> = query.split(|&b| b == b'&').collect();
        sorted.sort_unstable();
        targets.push((Hint::QuerySorted, with_query(path, &sorted.join(&b'&'))));
        for reencoded in reencodings(query) {
            targets.push((Hint::QueryReencoded, with_query(path, &reencoded)));
        }
    }
    targets.retain(|(_, other)| other != target);
    targets
}

/// The query as common libraries write it: form-encoded, component-encoded, with `+` or `%20`, and decoded.
fn reencodings(query: &[u8]) -> [Vec<u8>; 5] {
    let pairs: Vec<_> = query::pairs(query).collect();
    let encode = |set: &'static AsciiSet, plus: bool| -> Vec<u8> {
        let one = |text: &[u8]| {
            let text = percent_encode(text, set).to_string();
            if plus { text.replace("%20", "+") } else { text }
        };
        let pairs = pairs.iter().map(|(name, value)| format!("{}={}", one(name), one(value)));
        pairs.collect::<Vec<_>>().join("&").into_bytes()
    };
    let text = String::from_utf8_lossy(query).into_owned();
    [
        encode(FORM_SAFE, true),
        encode(COMPONENT_SAFE, false),
        text.replace('+', "%20").into_bytes(),
        text.replace("%20", "+").into_bytes(),
        percent_decode(query).collect(),
    ]
}
