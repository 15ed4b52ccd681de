//! What the core sees of a request: bytes, because header values and HTTP/2 targets need not be UTF-8.

use std::fmt;

use crate::headers::is_router_control;

/// How often a header occurs. Rules that read a header say what a repetition means; there is no "first wins".
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Occurs<'a> {
    /// The header is not there.
    #[default]
    Absent,
    /// The header is there once, with this raw value.
    Once(&'a [u8]),
    /// The header is there more than once.
    Repeated,
}

/// Says how often, not what: values can identify people.
impl fmt::Debug for Occurs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Once(_) => "Once(..)",
            Self::Repeated => "Repeated",
        })
    }
}

impl<'a> Occurs<'a> {
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// Whether the header occurs at all.
    #[must_use]
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The value of a header that occurs exactly once.
    #[must_use]
    pub const fn once(self) -> Option<&'a [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Absent | Self::Repeated => None,
        }
    }
}

/// The head of a request, read in one pass over the header map. Values are the raw bytes of the wire.
#[derive(Default)]
pub struct RequestHead<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:scheme`, as the proxy understands the downstream connection.
    pub scheme: &'a [u8],
    /// `:authority` (or `Host`).
    pub authority: &'a [u8],
    /// `:path`: path and query exactly as received. Empty for CONNECT.
    pub target: &'a [u8],
    /// `:protocol`, of an extended CONNECT (RFC 8441).
    pub protocol: Occurs<'a>,
    /// `upgrade`.
    pub upgrade: Occurs<'a>,
    /// `transfer-encoding`.
    pub transfer_encoding: Occurs<'a>,
    /// `content-length`.
    pub content_length: Occurs<'a>,
    /// `content-type`.
    pub content_type: Occurs<'a>,
    /// `content-encoding`.
    pub content_encoding: Occurs<'a>,
    /// `x-twilio-signature`.
    pub signature: Occurs<'a>,
    /// `x-twilio-webhooks-signature-settings`.
    pub signature_settings: Occurs<'a>,
    /// `x-twilio-email-event-webhook-signature`.
    pub sendgrid_signature: Occurs<'a>,
    /// `x-twilio-email-event-webhook-timestamp`.
    pub sendgrid_timestamp: Occurs<'a>,
    /// `x-request-id`.
    pub request_id: Occurs<'a>,
    /// `user-agent`.
    pub user_agent: Occurs<'a>,
    /// `referer`.
    pub referer: Occurs<'a>,
    /// `x-forwarded-proto`.
    pub forwarded_proto: Occurs<'a>,
    /// `x-forwarded-host`.
    pub forwarded_host: Occurs<'a>,
    /// `x-forwarded-prefix`.
    pub forwarded_prefix: Occurs<'a>,
    /// Name and value of headers in which a rule looks for a time; given only where one does.
    pub time_headers: Vec<(&'a [u8], &'a [u8])>,
    /// Names of headers that must not reach the upstream, as they stand in the map.
    pub unwanted: Vec<&'a [u8]>,
    /// Names of headers that tell the proxy's router how to send the request, which only an unverified request may say.
    pub router_controls: Vec<&'a [u8]>,
    /// The address of the direct peer, with or without port; given only where a rule asks for it.
    pub peer: Option<&'a [u8]>,
    /// Whether the head is the whole request.
    pub end_of_stream: bool,
    /// Whether this host is known to deliver bodies while a head is held. Until then a bad request is answered at
    /// once: waiting for the end of its body could mean waiting for ever.
    pub host_delivers_bodies: bool,
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestHead(..)")
    }
}

impl<'a> RequestHead<'a> {
    /// Reads a header map. `unwanted` says which names must not reach the upstream.
    pub fn read(
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        end_of_stream: bool,
        unwanted: impl Fn(&[u8]) -> bool,
    ) -> Self {
        let mut head = Self { end_of_stream, ..Self::default() };
        for (name, value) in pairs {
            match name {
                b":method" => head.method = value,
                b":scheme" => head.scheme = value,
                b":authority" => head.authority = value,
                b":path" => head.target = value,
                b":protocol" => head.protocol.add(value),
                b"upgrade" => head.upgrade.add(value),
                b"transfer-encoding" => head.transfer_encoding.add(value),
                b"content-length" => head.content_length.add(value),
                b"content-type" => head.content_type.add(value),
                b"content-encoding" => head.content_encoding.add(value),
                b"x-twilio-signature" => head.signature.add(value),
                b"x-twilio-webhooks-signature-settings" => head.signature_settings.add(value),
                b"x-twilio-email-event-webhook-signature" => head.sendgrid_signature.add(value),
                b"x-twilio-email-event-webhook-timestamp" => head.sendgrid_timestamp.add(value),
                b"x-request-id" => head.request_id.add(value),
                b"user-agent" => head.user_agent.add(value),
                b"referer" => head.referer.add(value),
                b"x-forwarded-proto" => head.forwarded_proto.add(value),
                b"x-forwarded-prefix" => head.forwarded_prefix.add(value),
                b"x-forwarded-host" => head.forwarded_host.add(value),
                _ => {}
            }
            if is_router_control(name) && !head.router_controls.contains(&name) {
                head.router_controls.push(name);
            }
            if unwanted(name) && !head.unwanted.contains(&name) {
                head.unwanted.push(name);
            }
        }
        head
    }

    /// The path of the target: everything before the first `?`.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|&b| b == b'?').next().unwrap_or_default()
    }

    /// The query of the target, without its `?`; empty where there is none.
    #[must_use]
    pub fn query(&self) -> &'a [u8] {
        self.target.splitn(2, |&b| b == b'?').nth(1).unwrap_or_default()
    }

    /// The declared length of the body; `None` where it is absent, repeated or not a number.
    #[must_use]
    pub fn declared_length(&self) -> Option<u64> {
        let value = self.content_length.once()?;
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// Whether the declared length is over a limit.
    #[must_use]
    pub fn declares_more_than(&self, limit: usize) -> bool {
        self.declared_length()
            .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit))
    }

    /// Whether there is one `upgrade` header, and it asks for a WebSocket.
    #[must_use]
    pub fn asks_for_websocket(&self) -> bool {
        self.upgrade.once().is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
    }

    /// Whether the request asks to leave HTTP: an `upgrade` header or an extended CONNECT.
    #[must_use]
    pub const fn is_upgrade(&self) -> bool {
        self.upgrade.is_present() || self.protocol.is_present()
    }
}

/// The host of an authority in the form in which hosts are compared: no port, no trailing dot, lower case.
///
/// `None` for an authority that is not exactly a host name or IP address with an optional port: one with user information, a list,
/// or a spelling that a lenient reader might repair.
#[must_use]
pub fn comparable_host(authority: &[u8]) -> Option<Vec<u8>> {
    let (host, _port) = split_port(authority)?;
    let name = host.strip_suffix(b".").unwrap_or(host);
    let is_name = |name: &[u8]| {
        !name.is_empty()
            && !name.ends_with(b".")
            && name.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let is_ipv6 = |literal: &[u8]| {
        !literal.is_empty() && literal.iter().all(|&b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
    };
    let is_host = match host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(literal) => is_ipv6(literal),
        None => is_name(name),
    };
    is_host.then(|| name.to_ascii_lowercase())
}

/// Splits an authority into host (with the brackets of an IPv6 literal) and port digits. An empty port is no port.
///
/// `None` where the port is not one, or an IPv6 literal is not closed (RFC 3986, section 3.2).
#[must_use]
pub fn split_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = if authority.first() == Some(&b'[') {
        authority.iter().position(|&b| b == b']')?.checked_add(1)?
    } else {
        authority.iter().position(|&b| b == b':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at_checked(host_end)?;
    match rest.split_first() {
        None | Some((b':', [])) => Some((host, None)),
        Some((b':', port)) => {
            std::str::from_utf8(port).ok()?.parse::<u16>().ok()?;
            port.iter().all(u8::is_ascii_digit).then_some((host, Some(port)))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_port_case_and_trailing_dot() {
        for spelling in [
            "hooks.example.org",
            "HOOKS.Example.ORG",
            "hooks.example.org.",
            "hooks.example.org:8443",
            "hooks.example.org:",
        ] {
            assert_eq!(comparable_host(spelling.as_bytes()).as_deref(), Some(&b"hooks.example.org"[..]));
        }
        assert_eq!(comparable_host(b"[2001:DB8::1]:443").as_deref(), Some(&b"[2001:db8::1]"[..]));
    }

    #[test]
    fn an_authority_that_is_no_host_and_port_has_no_host() {
        let bad = [
            "", ":80", ".", "a..", "a:b", "a:80:90", "a:80x", "a:+80", "a:99999", "u@a", "a,b", "a b",
            "[::1", "[::1]x", "[]", "[a", "a]", "a/",
        ];
        for bad in bad {
            assert_eq!(comparable_host(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_repeated_header_has_no_value() {
        let pairs: [(&[u8], &[u8]); 2] = [(b"x-twilio-signature", b"a"), (b"x-twilio-signature", b"a")];
        let head = RequestHead::read(pairs, true, |_| false);
        assert_eq!(head.signature, Occurs::Repeated);
        assert_eq!(head.signature.once(), None);
    }

    #[test]
    fn target_splits_at_the_first_question_mark() {
        let head = RequestHead { target: b"/a?b?c=d", ..RequestHead::default() };
        assert_eq!((head.path(), head.query()), (&b"/a"[..], &b"b?c=d"[..]));
    }

    #[test]
    fn only_plain_digits_declare_a_length() {
        for (value, length) in [("12", Some(12)), ("+1", None), ("", None), ("99999999999999999999999", None)]
        {
            let head =
                RequestHead { content_length: Occurs::Once(value.as_bytes()), ..RequestHead::default() };
            assert_eq!(head.declared_length(), length, "{value}");
        }
    }
}
