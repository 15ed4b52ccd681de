//! Which rules an application could think a request belongs to, written down without the library.
//!
//! A *reading* of a raw path is what some application or proxy behind the guard may make of it: percent-decode one to
//! three times (the whole path, or each segment by itself), take a backslash for a slash, drop `;parameters` of segments, merge slashes, resolve dot segments, and
//! cut at a `?`, `#` or NUL that decoding brought to light, in any order; and put a slash in front where there is none. (A
//! path whose escapes are never decoded is no reading: rules are written in decoded characters.)
//!
//! A *loose* reading also ignores the case of letters, and adds or drops a trailing slash. Loose readings count unless
//! the operator settled the matter: the rule found names exactly this path; or the rule that a loose reading
//! reaches takes the request's own path too, and was put behind the rule found (every path is in some letter case, so
//! a rule before `path_prefix: /` could otherwise never let anything through).
//!
//! And a request must not get past a rule by its method alone: a rule before the one found that takes the request's host
//! and path, and would stop it under its own methods, stops it.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::core_support::{HOST, SID_A, SID_B, URL};

pub(super) const OTHER_HOST: &str = "other.example.org";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    Prefix,
    Template,
}

/// What a rule demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    Nothing,
    Deny,
    /// A signature of one of these accounts, and perhaps a signed parameter.
    Twilio {
        accounts: [bool; 2],
        parameter: bool,
    },
}

/// A route as the operator wrote it, or the default.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    pub(super) pattern: String,
    pub(super) hosts: Option<Vec<&'static str>>,
    pub(super) methods: Option<Vec<&'static str>>,
    pub(super) demand: Demand,
    pub(super) is_observing: bool,
}

/// What a request offers; everything it offers is signed, or nothing is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) account: usize,
    pub(super) has_parameter: bool,
    pub(super) is_signed: bool,
}

impl Rule {
    pub(super) fn to_json(&self, name: &str) -> Value {
        let kind = match self.kind {
            Kind::Exact => "path",
            Kind::Prefix => "path_prefix",
            Kind::Template => "path_template",
        };
        let mut matching = json!({kind: self.pattern});
        if let Some(hosts) = &self.hosts {
            matching["hosts"] = json!(hosts);
        }
        if let Some(methods) = &self.methods {
            matching["methods"] = json!(methods);
        }
        let mut route = json!({"name": name, "match": matching, "verify": self.demand.verify()});
        if let Demand::Twilio { accounts, parameter } = self.demand {
            let sids = [SID_A, SID_B]
                .into_iter()
                .zip(accounts)
                .filter(|(_, accepted)| *accepted)
                .map(|(sid, _)| sid);
            route["accounts"] = sids.collect::<Vec<_>>().into();
            route["require_params"] = if parameter { json!(["Extra"]) } else { json!([]) };
        }
        if self.is_observing {
            route["mode"] = json!("observe");
        }
        route
    }

    fn takes_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(&host))
    }

    fn takes_method(&self, method: &str) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    pub(super) fn takes_path(&self, path: &[u8]) -> bool {
        let own: Vec<&[u8]> = self.pattern.as_bytes().split(|&b| b == b'/').skip(1).collect();
        let Some(rest) = path.strip_prefix(b"/") else { return false };
        let segments: Vec<&[u8]> = rest.split(|&b| b == b'/').collect();
        match self.kind {
            Kind::Exact => self.pattern.as_bytes() == path,
            Kind::Prefix => {
                let own = own.strip_suffix(&[b"".as_slice()]).unwrap_or(&own);
                segments.starts_with(own)
            }
            Kind::Template => {
                own.len() == segments.len()
                    && own.iter().zip(&segments).all(|(own, segment)| {
                        if own.starts_with(b"{") { !segment.is_empty() } else { own == segment }
                    })
            }
        }
    }

    /// Whether this rule, were it the one that governs, would let the request through.
    pub(super) fn would_let_through(&self, method: &str, offer: Offer) -> bool {
        match self.demand {
            Demand::Nothing => true,
            _ if self.is_observing => true,
            Demand::Deny => false,
            Demand::Twilio { accounts, parameter } => {
                let methods = self.methods.as_deref().unwrap_or(&["GET", "POST"]);
                offer.is_signed
                    && accounts[offer.account]
                    && (offer.has_parameter || !parameter)
                    && methods.contains(&method)
            }
        }
    }
}

impl Demand {
    fn verify(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Deny => "deny",
            Self::Twilio { .. } => "twilio",
        }
    }
}

/// The rules of a configuration in order; the default, which takes everything, is the last.
#[derive(Debug, Clone)]
pub(super) struct Rules(pub(super) Vec<Rule>);

impl Rules {
    pub(super) fn to_json(&self) -> Value {
        let (default, routes) = self.0.split_last().expect("there is a default");
        let routes: Vec<_> =
            routes.iter().enumerate().map(|(at, rule)| rule.to_json(&format!("r{at}"))).collect();
        json!({
            "public_url": URL,
            "accept_hosts": [HOST, OTHER_HOST],
            "accounts": [
                {"sid": SID_A, "auth_tokens": [{"env": "TOKEN_A", "label": "a"}]},
                {"sid": SID_B, "auth_tokens": [{"env": "TOKEN_B", "label": "b"}]},
            ],
            "default": default.demand.verify(),
            "routes": routes,
        })
    }

    /// The first rule that takes a request.
    fn governing(&self, host: &str, method: &str, path: &[u8]) -> usize {
        let takes = |rule: &Rule| rule.takes_host(host) && rule.takes_method(method) && rule.takes_path(path);
        let routes = &self.0[..self.0.len() - 1];
        routes.iter().position(takes).unwrap_or(routes.len())
    }

    /// A reading under which a rule would have stopped this request, with that rule's index.
    pub(super) fn stopped_by(
        &self,
        host: &str,
        method: &str,
        raw: &[u8],
        offer: Offer,
    ) -> Option<(Vec<u8>, usize)> {
        let canonical = decode(raw);
        let found = self.governing(host, method, &canonical);
        let names_one_path = self.0[found].kind == Kind::Exact
            || (self.0[found].kind == Kind::Template && !self.0[found].pattern.contains('{'));
        let is_exact = names_one_path && found + 1 < self.0.len();
        let strict = readings(raw);
        let stops = |reading: &Vec<u8>| {
            let rule = self.governing(host, method, reading);
            (!self.0[rule].would_let_through(method, offer)).then(|| (reading.clone(), rule))
        };
        if let Some(stopped) = strict.iter().find_map(stops) {
            return Some(stopped);
        }
        let is_passed_by = |rule: &Rule| {
            let own_method = rule.methods.as_deref().and_then(|methods| methods.first().copied());
            let is_passed =
                rule.takes_host(host) && rule.takes_path(&canonical) && !rule.takes_method(method);
            is_passed && !rule.would_let_through(own_method.unwrap_or(method), offer)
        };
        // A rule that names this very path and its methods means what it says.
        let names_method = is_exact && self.0[found].methods.is_some();
        if let Some(rule) = self.0[..found].iter().position(is_passed_by).filter(|_| !names_method) {
            return Some((canonical, rule));
        }
        if is_exact {
            return None;
        }
        let is_settled = |rule: usize| rule + 1 == self.0.len() || self.0[rule].takes_path(&canonical);
        let loose = strict.iter().flat_map(|reading| self.loose_readings(reading));
        loose.into_iter().filter_map(|reading| stops(&reading)).find(|(_, rule)| !is_settled(*rule))
    }

    fn loose_readings(&self, reading: &[u8]) -> Vec<Vec<u8>> {
        let trimmed = reading.strip_suffix(b"/").filter(|rest| !rest.is_empty()).unwrap_or(reading).to_vec();
        let slashes = [trimmed.clone(), [&trimmed, b"/".as_slice()].concat()];
        let cases = |path: Vec<u8>| {
            let patterns = self.0.iter().map(|rule| recase(&path, rule.pattern.as_bytes()));
            patterns
                .chain([path.to_ascii_lowercase(), path.to_ascii_uppercase(), path.clone()])
                .collect::<Vec<_>>()
        };
        slashes.into_iter().flat_map(cases).collect()
    }
}

/// A path in the letter case of a pattern, segment by segment as far as they are the same word.
fn recase(path: &[u8], pattern: &[u8]) -> Vec<u8> {
    let mut own = pattern.split(|&b| b == b'/');
    let same = path.split(|&b| b == b'/').map(|segment| match own.next() {
        Some(own) if own.eq_ignore_ascii_case(segment) => own,
        _ => segment,
    });
    same.collect::<Vec<_>>().join(&b'/')
}

fn decode(path: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(path).collect()
}

/// What an application sees that takes a path apart before it decodes: an encoded slash is a character of its segment,
/// written here as a byte that no rule contains.
fn decode_segments(path: &[u8]) -> Vec<u8> {
    let decode = |segment: &[u8]| {
        decode(segment).iter().map(|&b| if b == b'/' { 0xff } else { b }).collect::<Vec<_>>()
    };
    path.split(|&b| b == b'/').map(decode).collect::<Vec<_>>().join(&b'/')
}

/// Every strict reading of a raw path.
pub(super) fn readings(raw: &[u8]) -> HashSet<Vec<u8>> {
    let mut seen: HashSet<(Vec<u8>, u8)> = HashSet::new();
    let mut open = vec![(raw.to_vec(), 0_u8)];
    while let Some((path, decoded)) = open.pop() {
        if !seen.insert((path.clone(), decoded)) {
            continue;
        }
        assert!(seen.len() < 20_000, "the closure is small");
        if decoded < 3 {
            open.push((decode(&path), decoded + 1));
            open.push((decode_segments(&path), decoded + 1));
        }
        let cut = path.iter().position(|b| matches!(b, b'?' | b'#' | 0)).unwrap_or(path.len());
        let backslashes = path.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect();
        let segments = || path.split(|&b| b == b'/');
        let plain: Vec<_> =
            segments().map(|own| own.split(|&b| b == b';').next().unwrap_or_default()).collect();
        let mut merged: Vec<u8> = path.clone();
        merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
        let mut resolved: Vec<&[u8]> = Vec::new();
        let last = segments().count() - 1;
        for (at, segment) in segments().enumerate() {
            match segment {
                b"." | b".." => {
                    if segment == b".." && resolved.len() > 1 {
                        resolved.pop();
                    }
                    if at == last {
                        resolved.push(b"");
                    }
                }
                _ => resolved.push(segment),
            }
        }
        let next = [path[..cut].to_vec(), backslashes, plain.join(&b'/'), merged, resolved.join(&b'/')];
        open.extend(next.into_iter().map(|path| (path, decoded)));
    }
    let is_reading = |(_, decoded): &(Vec<u8>, u8)| *decoded > 0;
    let from_root =
        |path: Vec<u8>| if path.starts_with(b"/") { path } else { [b"/", path.as_slice()].concat() };
    seen.into_iter().filter(is_reading).map(|(path, _)| from_root(path)).collect()
}
