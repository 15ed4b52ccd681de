//! What binds the body of a request, decided by its head (spec twilio-signature, section 4, step 4).

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::query;
use crate::reject::Reject;
use crate::request::{Occurs, RequestHead};

/// The rule under which a body is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyRule {
    /// There must be no body: GET, HEAD, an upgrade, or a body that nothing would sign. A single byte is
    /// refused for the given reason.
    Empty(Reject),
    /// The SHA-256 of the raw body must be this; the signature covers the URL that names it.
    Hash {
        /// 64 lower-case hexadecimal digits.
        expected: Vec<u8>,
        /// Whether an empty body needs no hash, because the whole request is its URL (GET and HEAD).
        unless_empty: bool,
    },
    /// The parameters of the form are part of the signed text.
    Form,
}

impl BodyRule {
    /// Finds the rule for a request whose method is already accepted.
    pub(super) fn of(head: &RequestHead<'_>) -> Result<Self, Reject> {
        let declared = head.declared_length();
        let may_have_body = !head.end_of_stream && declared != Some(0);
        if head.is_upgrade() {
            return upgrade(head, declared);
        }
        let is_bodyless_method = matches!(head.method, b"GET" | b"HEAD");
        let hashes = query::pairs(head.query()).filter(|(name, _)| name.as_ref() == b"bodySHA256");
        let mut hashes = hashes.map(|(_, value)| value);
        if let Some(first) = hashes.next()
            && (may_have_body || !is_bodyless_method)
        {
            if hashes.any(|other| other != first) || !is_lower_hex_sha256(&first) {
                return Err(Reject::BodyHashMismatch);
            }
            return Ok(Self::Hash { expected: first.into_owned(), unless_empty: is_bodyless_method });
        }
        if is_bodyless_method {
            return refuse_known_body(head, Reject::UnsignedBody);
        }
        match ContentType::of(head) {
            ContentType::Form if may_have_body => Ok(Self::Form),
            ContentType::Form => Ok(Self::Empty(Reject::UnsignedBody)),
            ContentType::BrokenForm => refuse_known_body(head, Reject::BadContentType),
            ContentType::Json => refuse_known_body(head, Reject::BodyHashMissing),
            ContentType::Other => refuse_known_body(head, Reject::UnsignedBody),
        }
    }

    /// Whether a body has the hash that the signed URL names.
    pub(super) fn hash_matches(expected: &[u8], body: &[u8]) -> bool {
        let mut hex = [0u8; 64];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(Sha256::digest(body)) {
            digits.copy_from_slice(&hex_digits(byte));
        }
        hex.ct_eq(expected).into()
    }
}

/// An upgrade is a GET without body. The tunnel behind it is not signed, so only WebSocket, whose handshake is the
/// request that Twilio signs, is let through.
fn upgrade(head: &RequestHead<'_>, declared: Option<u64>) -> Result<BodyRule, Reject> {
    if head.method != b"GET" || head.protocol.is_present() {
        return Err(Reject::MethodNotAllowed);
    }
    let has_body =
        head.transfer_encoding.is_present() || (head.content_length.is_present() && declared != Some(0));
    if !head.asks_for_websocket() || has_body {
        return Err(Reject::UnsignedBody);
    }
    Ok(BodyRule::Empty(Reject::UnsignedBody))
}

fn refuse_known_body(head: &RequestHead<'_>, reason: Reject) -> Result<BodyRule, Reject> {
    let is_known = !head.end_of_stream && head.declared_length().is_some_and(|length| length > 0);
    if is_known { Err(reason) } else { Ok(BodyRule::Empty(reason)) }
}

fn is_lower_hex_sha256(value: &[u8]) -> bool {
    value.len() == 64 && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0x0f].map(|nibble| if nibble < 10 { b'0' + nibble } else { b'a' - 10 + nibble })
}

#[derive(Debug, PartialEq, Eq)]
enum ContentType {
    Form,
    /// A form that an application could decode differently: declared twice, compressed, or not in UTF-8.
    BrokenForm,
    Json,
    Other,
}

impl ContentType {
    fn of(head: &RequestHead<'_>) -> Self {
        let value = match head.content_type {
            Occurs::Once(value) => value,
            Occurs::Repeated => return Self::BrokenForm,
            Occurs::Absent => return Self::Other,
        };
        let mut parts = value.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next().unwrap_or_default();
        if media_type.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            let mut charsets = parts.filter_map(charset);
            let is_utf8 = charsets.next().is_none_or(|charset| charset.eq_ignore_ascii_case(b"utf-8"));
            let is_plain =
                head.content_encoding.once().map_or(!head.content_encoding.is_present(), |encoding| {
                    encoding.eq_ignore_ascii_case(b"identity")
                });
            // The proxy joins repeated content-type headers with a comma.
            let is_single = !value.contains(&b',') && charsets.next().is_none();
            return if is_utf8 && is_plain && is_single { Self::Form } else { Self::BrokenForm };
        }
        let starts_as_form =
            media_type.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded");
        match media_type.to_ascii_lowercase().as_slice() {
            _ if starts_as_form => Self::BrokenForm,
            b"application/json" => Self::Json,
            other if other.ends_with(b"+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

fn charset(parameter: &[u8]) -> Option<&[u8]> {
    let mut halves = parameter.splitn(2, |&b| b == b'=');
    let name = halves.next().unwrap_or_default().trim_ascii();
    let value = halves.next().unwrap_or_default().trim_ascii();
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    name.eq_ignore_ascii_case(b"charset").then(|| unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(method: &'a str, target: &'a str, content_type: &'a str) -> RequestHead<'a> {
        RequestHead {
            method: method.as_bytes(),
            target: target.as_bytes(),
            content_type: if content_type.is_empty() {
                Occurs::Absent
            } else {
                Occurs::Once(content_type.as_bytes())
            },
            ..RequestHead::default()
        }
    }

    #[test]
    fn forms_are_recognised_by_media_type_and_charset() {
        for form in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded ; charset=UTF-8",
            "application/x-www-form-urlencoded;charset=\"utf-8\"",
        ] {
            assert_eq!(ContentType::of(&head("POST", "/", form)), ContentType::Form, "{form}");
        }
        for broken in [
            "application/x-www-form-urlencoded; charset=iso-8859-1",
            "application/x-www-form-urlencoded; charset=utf-8; charset=utf-16",
            "application/x-www-form-urlencoded,application/x-www-form-urlencoded",
            "application/x-www-form-urlencoded, text/plain",
            "application/x-www-form-urlencoded; charset=",
        ] {
            assert_eq!(ContentType::of(&head("POST", "/", broken)), ContentType::BrokenForm, "{broken}");
        }
    }

    #[test]
    fn an_encoded_form_is_no_form() {
        let gzip = RequestHead {
            content_encoding: Occurs::Once(b"gzip"),
            ..head("POST", "/", "application/x-www-form-urlencoded")
        };
        assert_eq!(ContentType::of(&gzip), ContentType::BrokenForm);
    }

    #[test]
    fn bodies_that_nothing_signs_may_only_be_empty() {
        for (content_type, reason) in [
            ("", Reject::UnsignedBody),
            ("text/plain", Reject::UnsignedBody),
            ("multipart/form-data; boundary=x", Reject::UnsignedBody),
            ("application/json", Reject::BodyHashMissing),
            ("application/cloudevents-batch+json; charset=utf-8", Reject::BodyHashMissing),
        ] {
            let mut head = head("POST", "/", content_type);
            assert_eq!(BodyRule::of(&head), Ok(BodyRule::Empty(reason)), "{content_type}");
            head.content_length = Occurs::Once(b"1");
            assert_eq!(BodyRule::of(&head), Err(reason), "{content_type}");
        }
    }

    #[test]
    fn upgrades_have_no_body_and_are_websockets() {
        let websocket = || RequestHead { upgrade: Occurs::Once(b"WebSocket"), ..head("GET", "/media", "") };
        assert!(BodyRule::of(&websocket()).is_ok());
        assert!(BodyRule::of(&RequestHead { content_length: Occurs::Once(b"0"), ..websocket() }).is_ok());
        let bad = [
            RequestHead { content_length: Occurs::Once(b"3"), ..websocket() },
            RequestHead { content_length: Occurs::Repeated, ..websocket() },
            RequestHead { transfer_encoding: Occurs::Once(b"chunked"), ..websocket() },
            RequestHead { method: b"POST", ..websocket() },
            RequestHead { upgrade: Occurs::Once(b"h2c"), ..websocket() },
            RequestHead { upgrade: Occurs::Repeated, ..websocket() },
            RequestHead { protocol: Occurs::Once(b"websocket"), ..websocket() },
        ];
        for head in bad {
            assert!(BodyRule::of(&head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn the_hash_is_compared_as_lower_case_hex() {
        let empty = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(BodyRule::hash_matches(empty, b""));
        assert!(!BodyRule::hash_matches(&empty.to_ascii_uppercase(), b""));
        assert!(!BodyRule::hash_matches(empty, b"{}"));
    }
}
