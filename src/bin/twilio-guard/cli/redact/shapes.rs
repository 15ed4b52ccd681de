//! Values whose shape says that they name nobody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Response flags of Envoy.
const FLAGS: &str = "UH UF UO NR URX NC DT DC LH UT LR UR UC DI FI RL UAEX RLSE IH SI DPE UPE UMSDR RFCF NFCF OM DF DO DR UDO";

/// Methods (RFC 9110 and WebDAV).
const METHODS: &str =
    "GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK";

/// Words that proxies and container runtimes write.
const WORDS: &str =
    "true false null default http https grpc ws wss stdout stderr F P info warn warning error debug trace
    critical PassthroughCluster BlackHoleCluster InboundPassthroughCluster InboundPassthroughClusterIpv4";

fn is_in(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

pub(super) fn is_method(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && is_in(METHODS, text)
}

pub(super) fn is_protocol(text: &str) -> bool {
    matches!(text, "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" | "HTTP/2.0" | "HTTP/3" | "HTTP/3.0")
}

pub(super) fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// A whole or decimal number of at most so many digits before the point, and as many after it.
pub(super) fn is_number(text: &str, most: usize) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_part = |part: &str| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    is_part(whole) && is_part(fraction)
}

/// A time as proxies write it: `2026-04-15T20:17:00.310Z`, `15/Apr/2026:20:17:00 +0000`.
pub(super) fn is_time(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && (OffsetDateTime::parse(text, &Rfc3339).is_ok() || is_common_log_time(text))
}

fn is_common_log_time(text: &str) -> bool {
    let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
    let pattern = "00/Mmm/0000:00:00:00 +0000";
    let fits = |(own, sign): (u8, u8)| match sign {
        b'0' => own.is_ascii_digit(),
        b'M' | b'm' => own.is_ascii_alphabetic(),
        b'+' => matches!(own, b'+' | b'-'),
        sign => own == sign,
    };
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(fits)
        && text.get(3..6).is_some_and(|month| is_in(months, month))
}

/// A word that proxies write: a flag, a level, or with `structured` also details and names of clusters.
pub(super) fn is_word(text: &str, structured: bool) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.|:{},-".contains(&b);
    let begins_like_one = text.starts_with(|c: char| c.is_ascii_alphabetic());
    (begins_like_one && (is_in(WORDS, text) || text.split(',').all(|flag| is_in(FLAGS, flag))))
        || (structured
            && text.len() <= 128
            && text.bytes().all(is_plain)
            && text.contains(['_', '|', '{'])
            && digits(text) < 7)
}

/// What the field of a word may hold.
pub(super) fn is_word_value(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.|:{}(),#-".contains(&b);
    text.len() <= 128 && text.bytes().all(is_plain) && digits(text) < 7
}

/// An id of the W3C's trace context or of B3: hexadecimal, and not a number of any other kind.
pub(super) fn is_trace_id(text: &str) -> bool {
    let is_id = |part: &str| {
        matches!(part.len(), 16 | 32)
            && part.bytes().all(|b| b.is_ascii_hexdigit())
            && part.bytes().any(|b| b.is_ascii_alphabetic())
    };
    let is_short = |part: &str| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split('-').all(|part| is_id(part) || is_short(part))
}

/// One address, with or without port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Address {
    Plain(IpAddr),
    WithPort(SocketAddr),
}

impl Address {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(socket) = text.parse() {
            return Some(Self::WithPort(socket));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        bare.parse().ok().map(Self::Plain)
    }

    /// The network of a public address: the last octet of IPv4, the last 80 bits of IPv6 are cleared (spec phi-redaction,
    /// section 7). A private address is the operator's own.
    pub(super) fn network(self) -> Self {
        match self {
            Self::Plain(address) => Self::Plain(network(address)),
            Self::WithPort(mut socket) => {
                socket.set_ip(network(socket.ip()));
                Self::WithPort(socket)
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(address) => address.fmt(f),
            Self::WithPort(socket) => socket.fmt(f),
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4)
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() =>
        {
            v4.into()
        }
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(v6)
            if v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local() =>
        {
            v6.into()
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for time in ["2016-04-15T20:17:00.310Z", "2026-11-22T01:02:03+01:00", "10/Oct/2000:13:55:36 -0700"] {
            assert!(is_time(time), "{time}");
        }
        for other in ["2016-04-15", "10/Foo/2000:13:55:36 -0700", "4155550100", "2016-04-15T20:17:00Z jane"] {
            assert!(!is_time(other), "{other}");
        }
    }

    #[test]
    fn numbers_are_shorter_than_those_of_people() {
        assert!(is_number("123456", 6) && is_number("-0.003", 6) && is_number("1234567", 19));
        for other in ["1234567", "1.1234567", "", ".", "1.", "1e5", "12a", "1.2.3"] {
            assert!(!is_number(other, 6), "{other}");
        }
    }

    #[test]
    fn public_addresses_lose_their_host() {
        let shown = |text: &str| Address::parse(text).map(|address| address.network().to_string());
        for (text, expected) in [
            ("203.0.113.77", "203.0.113.0"),
            ("203.0.113.77:443", "203.0.113.0:443"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("127.0.0.1", "127.0.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("[2001:db8:1:2:3:4:5:6]:80", "[2001:db8:1::]:80"),
            ("fd00::1", "fd00::1"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(shown("203.0.113"), None);
    }

    #[test]
    fn words_of_proxies() {
        for word in ["UF,URX", "via_upstream", "outbound|80||app.default.svc.cluster.local", "stdout"] {
            assert!(is_word(word, true), "{word}");
        }
        for other in ["Jane", "JANE", "jane.roe", "jane@x_y", "tel_4155550100", ""] {
            assert!(!is_word(other, true), "{other}");
        }
        assert!(!is_word("jane_roe", false));
    }

    #[test]
    fn trace_ids() {
        assert!(is_trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        assert!(!is_trace_id("4155550100"));
        assert!(!is_trace_id("2025550123202555"));
    }
}
