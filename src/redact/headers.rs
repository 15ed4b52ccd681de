//! What may be seen of headers that the proxy's own log formats print (spec phi-redaction, section 7).

use super::shapes;
use crate::request::{Occurs, comparable_host};

/// The longest host name (RFC 1035, section 2.3.4), in bytes.
const LONGEST_HOST: usize = 253;
/// The same with a final dot and a port.
const LONGEST_AUTHORITY: usize = LONGEST_HOST + ".:65535".len();

/// The user agent, where it is Twilio's or SendGrid's: others name the device of a person
/// (45 CFR 164.514(b)(2)(i)(M)).
#[must_use]
pub fn shown_user_agent(header: Occurs<'_>) -> Option<&str> {
    let value = header.once().filter(|value| value.len() <= 64)?;
    let is_sender = value.starts_with(b"TwilioProxy/") || value.starts_with(b"SendGrid");
    let is_plain = value.iter().all(|b| b.is_ascii_alphanumeric() || b" ._/;()+-".contains(b));
    let fits = is_sender && is_plain && shapes::digits(value) < 7;
    std::str::from_utf8(value).ok().filter(|_| fits)
}

/// The request id, where it is a UUID or 32 hexadecimal digits: text of a client's own could be anything. Shorter
/// hexadecimal numbers could be phone numbers.
#[must_use]
pub fn shown_request_id(header: Occurs<'_>) -> Option<&str> {
    let value = header.once()?;
    let is_hex = value.len() == 32 && value.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(value).ok().filter(|_| is_hex || shapes::is_uuid(value))
}

/// The origin of a referer (RFC 9110, section 10.1.3): scheme and host. `None` where there is none, or where the host itself
/// could identify somebody.
#[must_use]
pub fn origin_of(header: Occurs<'_>) -> Option<String> {
    let value = std::str::from_utf8(header.once()?).ok()?;
    let (scheme, rest) = value.split_once("://")?;
    let scheme = ["https", "http"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
    let authority = rest.split(['/', '?', '#']).next().filter(|own| own.len() <= LONGEST_AUTHORITY)?;
    let host = comparable_host(authority.as_bytes())?;
    let is_address = host.starts_with(b"[") || shapes::has_ipv4(&host);
    let is_harmless = host.len() <= LONGEST_HOST && shapes::digits(&host) < 7 && !is_address;
    let host = String::from_utf8(host).ok()?;
    is_harmless.then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_senders_own_user_agents_are_shown() {
        for own in ["TwilioProxy/1.1", "SendGrid Event API", "SendGrid"] {
            assert_eq!(shown_user_agent(Occurs::Once(own.as_bytes())), Some(own));
        }
        for other in
            ["", "Mozilla/5.0 (Jane's iPhone)", "TwilioProxy/12025550123", "SendGrid \"x\"", "twilioproxy/1"]
        {
            assert_eq!(shown_user_agent(Occurs::Once(other.as_bytes())), None, "{other}");
        }
        assert_eq!(shown_user_agent(Occurs::Repeated), None);
    }

    #[test]
    fn only_random_request_ids_are_shown() {
        for own in ["7d3e2f10-1c2b-4a5d-8e9f-001122334455", "7d3e2f101c2b4a5d8e9f001122334455"] {
            assert_eq!(shown_request_id(Occurs::Once(own.as_bytes())), Some(own));
        }
        for other in
            ["", "12025550123", "2025550123202555", "jane.roe", "7d3e2f10-1c2b-4a5d-8e9f-00112233445g"]
        {
            assert_eq!(shown_request_id(Occurs::Once(other.as_bytes())), None, "{other}");
        }
    }

    #[test]
    fn a_referer_is_its_origin() {
        for (referer, origin) in [
            ("https://portal.example.org/patients/42?name=jane", Some("https://portal.example.org")),
            ("HTTP://Portal.example.org:8443", Some("http://portal.example.org")),
            ("https://jane@portal.example.org/", None),
            ("https://12025550123.example.org/", None),
            ("https://[2001:db8::1]/", None),
            ("https://10.0.0.1/", None),
            ("ftp://portal.example.org/", None),
            ("/patients/42", None),
            ("", None),
        ] {
            assert_eq!(origin_of(Occurs::Once(referer.as_bytes())).as_deref(), origin, "{referer}");
        }
    }
}
