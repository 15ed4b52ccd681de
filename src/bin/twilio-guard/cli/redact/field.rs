//! What may be seen of one field of a log line (spec phi-redaction, section 7): an allow-list of kinds and shapes.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use twilio_guard::redact::{self, Policy, REDACTED};
use twilio_guard::request::{Occurs, comparable_host};

use super::keys::Kind;
use super::line;
use super::shapes::{self, Address};

/// What is written in place of a field's text, which is decoded and without its quotes. The name is the one that it has in
/// the line.
pub(super) fn shown(policy: &Policy, kind: Kind, name: Option<&str>, text: &str) -> String {
    if matches!(text, "" | "-" | REDACTED) {
        return text.to_owned();
    }
    if kind != Kind::Line && !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        // The policy takes targets of any bytes.
        let may_be_request = matches!(kind, Kind::Any | Kind::Target);
        return request_line(policy, text).filter(|_| may_be_request).unwrap_or_else(masked);
    }
    let once = Occurs::Once(text.as_bytes());
    let own = match kind {
        Kind::Any | Kind::Bare | Kind::Target => None,
        Kind::Line => Some(line::nested(policy, text)),
        Kind::Query => Some(query(policy, text)),
        Kind::Referer => Some(redact::origin_of(once).unwrap_or_else(masked)),
        Kind::UserAgent => Some(redact::shown_user_agent(once).map_or_else(masked, str::to_owned)),
        Kind::RequestId => {
            let own = redact::shown_request_id(once).map(str::to_owned);
            Some(own.or_else(|| sid(policy, text)).unwrap_or_else(masked))
        }
        Kind::Trace => {
            Some(kept(text, shapes::is_trace_id(text) || redact::shown_request_id(once).is_some()))
        }
        Kind::Time => Some(kept(text, shapes::is_time(text) || shapes::is_number(text, 19))),
        Kind::Status => shapes::is_number(text, 3).then(|| text.to_owned()),
        Kind::Number => shapes::is_number(text, 19).then(|| text.to_owned()),
        Kind::Word => shapes::is_word_value(text).then(|| text.to_owned()),
        Kind::Host => host(text).or_else(|| addresses(text, false)),
        Kind::Own => addresses(text, true).or_else(|| host(text)),
        Kind::Peer => addresses(text, false),
        Kind::Secret => Some(masked()),
    };
    own.unwrap_or_else(|| by_shape(policy, kind == Kind::Bare, name, text))
}

/// The method, target and protocol of a request line.
fn request_parts(text: &str) -> Option<(&str, &str, &str)> {
    let (method, rest) = text.split_once(' ')?;
    let (target, protocol) = rest.rsplit_once(' ')?;
    (shapes::is_method(method) && shapes::is_protocol(protocol)).then_some((method, target, protocol))
}

/// Whether a text is a request line.
pub(super) fn is_request_line(text: &str) -> bool {
    request_parts(text).is_some()
}

fn request_line(policy: &Policy, text: &str) -> Option<String> {
    let (method, target, protocol) = request_parts(text)?;
    Some(format!("{method} {} {protocol}", target_or_url(policy, target)))
}

fn by_shape(policy: &Policy, is_bare: bool, name: Option<&str>, text: &str) -> String {
    // A number under a name that is not known can be a postal code; without a name, the proxy wrote it.
    let digits = if is_bare { 6 } else { 3 };
    let is_shown = shapes::is_method(text)
        || shapes::is_protocol(text)
        || (name.is_none() && shapes::is_number(text, digits))
        || shapes::is_time(text)
        || shapes::is_word(text, is_bare)
        || redact::shown_request_id(Occurs::Once(text.as_bytes())).is_some();
    if is_shown {
        return text.to_owned();
    }
    if text.starts_with('/') || text.contains("://") || text == "*" {
        return target_or_url(policy, text);
    }
    addresses(text, false)
        .or_else(|| request_line(policy, text))
        .or_else(|| sid(policy, text))
        .or_else(|| parameter(policy, name?, text))
        .unwrap_or_else(masked)
}

/// The value of a field that may be a parameter, as it were in a query.
fn parameter(policy: &Policy, name: &str, text: &str) -> Option<String> {
    let pair = format!("/?{name}={}", utf8_percent_encode(text, NON_ALPHANUMERIC));
    policy.target(pair.as_bytes()).strip_prefix(&format!("/?{name}=")).map(str::to_owned)
}

/// A target, or a URL with its origin.
fn target_or_url(policy: &Policy, text: &str) -> String {
    if text == "-" {
        return text.to_owned();
    }
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
        return policy.target(text.as_bytes());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((authority, target)) = rest.split_at_checked(end) else { return masked() };
    let is_transport = matches!(scheme, "tcp" | "udp" | "unix");
    let Some(authority) = addresses(authority, is_transport).or_else(|| host(authority)) else {
        return masked();
    };
    let target = match target.starts_with('/') || target.is_empty() {
        true => policy.target(target.as_bytes()),
        false => policy.target(format!("/{target}").as_bytes()),
    };
    format!("{scheme}://{authority}{target}")
}

fn is_scheme(text: &str) -> bool {
    matches!(text, "http" | "https" | "ws" | "wss" | "tcp" | "udp" | "unix" | "grpc" | "grpcs")
}

fn query(policy: &Policy, text: &str) -> String {
    let query = text.strip_prefix('?').unwrap_or(text);
    let shown = policy.target(format!("/?{query}").as_bytes());
    match shown.strip_prefix("/?") {
        Some(shown) => shown.to_owned(),
        None if shown == "/" => String::new(),
        None => masked(),
    }
}

/// A SID by itself, as the policy shows it.
fn sid(policy: &Policy, text: &str) -> Option<String> {
    let (kind, id) = text.split_at_checked(2)?;
    let is_sid = kind.bytes().all(|b| b.is_ascii_uppercase())
        && id.len() == 32
        && id.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let shown = is_sid.then(|| policy.target(format!("/{text}").as_bytes()))?;
    shown.strip_prefix('/').map(str::to_owned)
}

/// Host and port, where the host is a name with few digits.
fn host(text: &str) -> Option<String> {
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let is_port = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    let is_harmless =
        comparable_host(name.as_bytes()).is_some() && shapes::digits(name) < 7 && name.len() <= 253;
    (is_port && is_harmless).then(|| text.to_owned())
}

/// Addresses, one or several after commas: of the proxy's own whole, of others the network.
fn addresses(text: &str, own: bool) -> Option<String> {
    let one = |text: &str| {
        let text = text.trim();
        let address = Address::parse(text)?;
        Some(if own { text.to_owned() } else { address.network().to_string() })
    };
    let all: Option<Vec<String>> = text.split(',').map(one).collect();
    all.map(|all| all.join(if text.contains(", ") { ", " } else { "," }))
}

fn kept(text: &str, is_harmless: bool) -> String {
    if is_harmless { text.to_owned() } else { masked() }
}

fn masked() -> String {
    REDACTED.to_owned()
}
