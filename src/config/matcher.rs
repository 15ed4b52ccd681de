//! Which requests a route takes: a path pattern, hosts and methods.

use super::hosts::compile_host_list;
use super::raw::RawMatch;
use super::{ConfigError, PathTemplate};
use crate::path::{LoosePath, LoosePattern, is_ambiguous_path};

/// A pattern over canonical paths (percent-decoded once).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// This path and no other.
    Exact(Vec<u8>),
    /// This path and every path below it, whole segments only: `/a` takes `/a` and `/a/b`, not `/ab`.
    Prefix(Vec<u8>),
    /// A path of as many segments, where a variable (`None`) takes any segment that is not empty.
    Template(PathTemplate),
}

impl PathPattern {
    /// Whether a canonical path is one of this pattern.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(own) => own == path,
            Self::Prefix(own) => path
                .strip_prefix(own.as_slice())
                .is_some_and(|rest| own == b"/" || rest.is_empty() || rest.first() == Some(&b'/')),
            Self::Template(own) => matches_template(own, path),
        }
    }

    /// The same pattern as a lenient application would read it.
    fn loose(&self) -> LoosePattern {
        match self {
            Self::Exact(own) => LoosePattern::Exact(LoosePath::of(own)),
            Self::Prefix(own) => LoosePattern::Prefix(LoosePath::of(own)),
            Self::Template(own) => LoosePattern::template(own),
        }
    }

    /// Whether every path of `other` is also one of `self`.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(path)) => self.matches(path),
            (Self::Prefix(_), Self::Prefix(path)) => self.matches(path),
            (Self::Prefix(own), Self::Template(_)) if own == b"/" => true,
            (Self::Prefix(own), Self::Template(template)) => {
                let own: Vec<_> = segments(own).collect();
                own.len() <= template.len()
                    && own.iter().zip(template).all(|(own, part)| part.as_deref() == Some(*own))
            }
            (Self::Template(own), Self::Template(template)) => {
                own.len() == template.len()
                    && own.iter().zip(template).all(|(own, other)| own.is_none() || own == other)
            }
            (Self::Exact(_) | Self::Template(_), _) => false,
        }
    }
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").unwrap_or(path).split(|&b| b == b'/')
}

/// Whether a path has the segments of a template. Reads no further than they fit: there can be many templates and the path
/// can be long.
fn matches_template(template: &[Option<Vec<u8>>], path: &[u8]) -> bool {
    let mut rest = path;
    for part in template {
        let Some(segment) = rest.strip_prefix(b"/") else { return false };
        let end = match part {
            Some(literal) if segment.starts_with(literal) => literal.len(),
            Some(_) => return false,
            None => segment.iter().position(|&b| b == b'/').unwrap_or(segment.len()),
        };
        rest = segment.get(end..).unwrap_or_default();
        let is_whole = rest.is_empty() || rest.first() == Some(&b'/');
        if !is_whole || (part.is_none() && end == 0) {
            return false;
        }
    }
    rest.is_empty()
}

/// What a route's `match` block says. An absent part takes everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matcher {
    /// The pattern of the path.
    pub path: Option<PathPattern>,
    /// Hosts, in comparable form.
    pub hosts: Option<Vec<Vec<u8>>>,
    /// Methods.
    pub methods: Option<Vec<String>>,
    /// The path as a lenient application would read it.
    pub(crate) loose: Option<LoosePattern>,
}

impl Matcher {
    /// Whether host and path of a request are this route's. `host` is absent where the authority names none.
    #[must_use]
    pub fn matches_resource(&self, host: Option<&[u8]>, path: &[u8]) -> bool {
        self.matches_host(host) && self.matches_path(path)
    }

    /// Whether the path of a request is this route's.
    #[must_use]
    pub fn matches_path(&self, path: &[u8]) -> bool {
        self.path.as_ref().is_none_or(|pattern| pattern.matches(path))
    }

    /// Whether the host of a request is this route's.
    #[must_use]
    pub fn matches_host(&self, host: Option<&[u8]>) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|own| Some(own.as_slice()) == host))
    }

    /// Whether the method of a request is this route's.
    #[must_use]
    pub fn matches_method(&self, method: &[u8]) -> bool {
        self.methods.as_ref().is_none_or(|methods| methods.iter().any(|own| own.as_bytes() == method))
    }

    /// The segments of the template, where the path is one.
    pub(super) fn template(&self) -> Option<PathTemplate> {
        if let Some(PathPattern::Template(segments)) = &self.path { Some(segments.clone()) } else { None }
    }

    /// Whether every request for this host is this route's; where there is none, every request at all.
    #[must_use]
    pub fn takes_everything_for(&self, host: Option<&[u8]>) -> bool {
        let any_path = self.path.as_ref().is_none_or(|path| *path == PathPattern::Prefix(b"/".to_vec()));
        any_path && self.matches_host(host) && self.methods.is_none()
    }

    /// Whether every request of `other` is also one of `self`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.covers(other),
        };
        path && covers_list(self.hosts.as_deref(), other.hosts.as_deref())
            && covers_list(self.methods.as_deref(), other.methods.as_deref())
    }
}

fn covers_list<T: PartialEq>(own: Option<&[T]>, other: Option<&[T]>) -> bool {
    match (own, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(own), Some(other)) => other.iter().all(|item| own.contains(item)),
    }
}

/// Reads a `match` block.
pub(super) fn compile(raw: &RawMatch, path: &str) -> Result<Matcher, ConfigError> {
    let given =
        [("path", &raw.path), ("path_prefix", &raw.path_prefix), ("path_template", &raw.path_template)];
    let mut given = given.into_iter().filter_map(|(key, value)| value.as_ref().map(|value| (key, value)));
    let pattern = match (given.next(), given.next()) {
        (None, _) => None,
        (Some((key, value)), None) => Some(compile_pattern(key, value, &format!("{path}.{key}"))?),
        (Some(_), Some(_)) => {
            return Err(ConfigError::new(
                path,
                "more than one kind of path is given",
                "keep one of path, path_prefix and path_template",
            ));
        }
    };
    let hosts =
        raw.hosts.as_ref().map(|hosts| compile_host_list(hosts, &format!("{path}.hosts"))).transpose()?;
    let methods = raw
        .methods
        .as_ref()
        .map(|methods| compile_methods(methods, &format!("{path}.methods")))
        .transpose()?;
    if pattern.is_none() && hosts.is_none() {
        return Err(ConfigError::new(path, "it names neither path nor hosts", "name one, or use default"));
    }
    let loose = pattern.as_ref().map(PathPattern::loose);
    Ok(Matcher { path: pattern, hosts, methods, loose })
}

/// Reads a list of HTTP methods. They are case-sensitive (RFC 9110, section 9.1).
pub(super) fn compile_methods(methods: &[String], path: &str) -> Result<Vec<String>, ConfigError> {
    if methods.is_empty() {
        return Err(ConfigError::new(path, "no method is listed", "list at least one, such as POST"));
    }
    for (index, method) in methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            return Err(ConfigError::new(
                format!("{path}[{index}]"),
                "not a method",
                "write it in upper case, such as POST",
            ));
        }
    }
    Ok(methods.to_vec())
}

fn compile_pattern(kind: &str, text: &str, path: &str) -> Result<PathPattern, ConfigError> {
    let never = |problem: &str, remedy: &str| {
        ConfigError::new(path, format!("it can never match: {problem}"), remedy.to_owned())
    };
    if !text.starts_with('/') {
        return Err(never("paths begin with a slash", "write it from the first slash on"));
    }
    if text.contains(['?', '#']) {
        return Err(never("query and fragment are not part of a path", "remove them"));
    }
    if text.contains('%') {
        return Err(never("paths are compared after percent-decoding", "write the decoded characters"));
    }
    if is_ambiguous_path(text.as_bytes()) {
        return Err(never(
            "the path is ambiguous (empty or dot segment, backslash, semicolon or control character)",
            "write the plain path",
        ));
    }
    if kind != "path_template" || !text.contains(['{', '}']) {
        if text.contains(['{', '}']) {
            return Err(never("braces are literal here", "use path_template for variable segments"));
        }
        let bytes = text.as_bytes().to_vec();
        return Ok(match (kind, text) {
            ("path_prefix", "/") => PathPattern::Prefix(bytes),
            ("path_prefix", _) => PathPattern::Prefix(text.trim_end_matches('/').as_bytes().to_vec()),
            _ => PathPattern::Exact(bytes),
        });
    }
    let parts = text.split('/').skip(1).map(|segment| {
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !name.is_empty() && !name.contains(['{', '}']) => Ok(None),
            None if !segment.contains(['{', '}']) => Ok(Some(segment.as_bytes().to_vec())),
            _ => {
                Err(ConfigError::new(path, "not a template", "a variable is a whole segment, such as {sid}"))
            }
        }
    });
    parts.collect::<Result<_, _>>().map(PathPattern::Template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(kind: &str, text: &str) -> PathPattern {
        compile_pattern(kind, text, "p").expect("a valid pattern")
    }

    #[test]
    fn prefixes_end_at_segments() {
        let public = pattern("path_prefix", "/public");
        assert!(public.matches(b"/public") && public.matches(b"/public/") && public.matches(b"/public/x"));
        assert!(!public.matches(b"/publicity"));
        assert_eq!(public, pattern("path_prefix", "/public/"));
        assert!(pattern("path_prefix", "/").matches(b"/anything/below"));
    }

    #[test]
    fn templates_take_one_segment_for_each_variable() {
        let status = pattern("path_template", "/calls/{sid}/status");
        assert!(status.matches(b"/calls/CA1/status"));
        for other in
            ["/calls//status", "/calls/a/b/status", "/calls/CA1", "/calls/CA1/status/", "/Calls/CA1/status"]
        {
            assert!(!status.matches(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn covering() {
        let root = pattern("path_prefix", "/");
        let calls = pattern("path_prefix", "/calls");
        let status = pattern("path_template", "/calls/{sid}/status");
        let exact = pattern("path", "/calls/CA1/status");
        for (wide, narrow) in
            [(&root, &calls), (&root, &status), (&calls, &status), (&calls, &exact), (&status, &exact)]
        {
            assert!(wide.covers(narrow) && !narrow.covers(wide), "{wide:?} over {narrow:?}");
        }
    }

    #[test]
    fn patterns_that_can_never_match_are_refused() {
        for bad in ["", "sms", "/sms?x=1", "/a%20b", "/a//b", "/a/../b", "/a;b", "/a\\b", "/a/./b", "/{x}"] {
            assert!(compile_pattern("path", bad, "p").is_err(), "{bad}");
        }
        for bad in ["/a/{}", "/a/x{y}", "/a/{y}z", "/a/{{y}}"] {
            assert!(compile_pattern("path_template", bad, "p").is_err(), "{bad}");
        }
    }
}
