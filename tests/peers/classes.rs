//! The classes of requests on which our verdict and that of the official validators differ on purpose. Each is a
//! condition on the request and on what its signer signed; which side accepts, and why, stands in the exceptions file.

use crate::case::{Case, SENDGRID_SIGNATURE, SENDGRID_TIMESTAMP, SETTINGS, SIGNATURE, Scheme};
use crate::form;
use crate::tally::Class;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const fn class(name: &'static str, holds: fn(&Case) -> bool) -> Class<Case> {
    Class { name, holds }
}

/// In the order in which they are tried: the more telling reason first.
pub const ALL: &[Class<Case>] = &[
    // What the configuration or the rule refuses whatever is signed.
    class("token_empty_or_blank", |case| {
        is_twilio(case) && case.keys.tokens.iter().any(|t| t.trim() != t || t.is_empty())
    }),
    class("method_not_listed", |case| is_twilio(case) && !matches!(case.method.as_str(), "GET" | "POST")),
    class("host_not_accepted", |case| {
        is_twilio(case) && host(&case.authority) != host(&public_authority(case))
    }),
    class("upgrade_not_websocket", is_other_upgrade),
    // The URL.
    class("url_whitespace_stripped", |case| case.target.iter().any(|b| b"\t\r\n".contains(b))),
    class("target_without_slash", |case| case.target.first().is_some_and(u8::is_ascii_digit)),
    class("target_not_utf8", |case| std::str::from_utf8(&case.target).is_err()),
    class("empty_url_part_signed", |case| has_empty_part(&case.target) && is_empty_part_signed(case)),
    class("empty_url_part_unsigned", |case| has_empty_part(&case.target) && !is_empty_part_signed(case)),
    class("scheme_case_signed", |case| {
        case.public_url.starts_with("HTTPS:") && case.signed.url.starts_with("HTTPS:")
    }),
    class("scheme_case_unsigned", |case| {
        case.public_url.starts_with("HTTPS:") && case.signed.url.starts_with("https:")
    }),
    class("wss_port_443", |case| is_upgrade_without_port(case) && signed_port(case) == Some("443")),
    class("wss_port_80", |case| is_upgrade_without_port(case) && signed_port(case) == Some("80")),
    class("userinfo_unsigned", |case| {
        userinfo(&case.public_url).is_some() && userinfo(&case.signed.url).is_none()
    }),
    class("userinfo_port_dropped", |case| {
        let has_colon = userinfo(&case.public_url).is_some_and(|userinfo| userinfo.contains(':'));
        has_colon
            && port(&public_authority(case)).is_some()
            && userinfo(&case.signed.url).is_some()
            && signed_port(case).is_none()
    }),
    class("authority_cut_at_colon", is_cut_at_colon),
    class("ipv6_port_dropped", |case| case.public_url.contains("]:") && case.signed.url.contains("]/")),
    // The body, and which rule covers it.
    class("get_with_signed_form", |case| case.method == "GET" && case.is_form() && !case.body.is_empty()),
    class("form_signed_despite_hash", |case| case.is_form() && !case.hashes().is_empty()),
    class("form_covered_by_hash", |case| {
        case.is_form() && !case.hashes().is_empty() && case.signed.params.is_empty()
    }),
    class("form_charset_or_list", |case| {
        case.is_form() && case.values("content-type").join(&b", "[..]).len() > crate::case::FORM.len()
    }),
    class("form_content_encoding", |case| case.is_form() && case.value("content-encoding").is_some()),
    class("form_too_large", |case| case.is_form() && case.body.len() > 65_536),
    class("form_too_many_params", |case| case.is_form() && pairs(case) > 1000),
    class("form_broken_escape", |case| case.is_form() && has_broken_escape(&case.body)),
    class("form_half_escaped", |case| {
        case.is_form() && std::str::from_utf8(&case.body).is_err() && is_decoded_utf8(&case.body)
    }),
    class("form_not_utf8", |case| case.is_form() && !is_decoded_utf8(&case.body)),
    class("form_utf16_order", |case| {
        case.signed.in_utf16_order
            && form::canonical(&case.signed.params) != form::canonical_utf16(&case.signed.params)
    }),
    class("account_mismatch", names_another_account),
    class("account_lookalike", names_a_lookalike),
    class("hash_values_differ", |case| case.hashes().windows(2).any(|two| two[0] != two[1])),
    class("hash_blank_without_body", |case| case.body.is_empty() && case.hashes().iter().any(Vec::is_empty)),
    class("hashed_body_not_utf8", |case| {
        is_twilio(case)
            && !case.is_form()
            && !case.hashes().is_empty()
            && std::str::from_utf8(&case.body).is_err()
    }),
    // The headers.
    class("signature_whitespace", |case| {
        case.value(SIGNATURE).is_some_and(|value| value.trim_ascii() != value)
    }),
    class("settings_downgrade", |case| {
        settings_algorithm(case)
            .is_some_and(|named| !case.keys.shared.iter().any(|key| key.algorithm == named))
    }),
    class("settings_spelling", |case| settings_algorithm(case).is_some() && !is_plain_settings(case)),
    // SendGrid.
    class("sendgrid_method", |case| !is_twilio(case) && case.method != "POST"),
    class("sendgrid_other_curve", |case| {
        !is_twilio(case) && !key_der(case).windows(8).any(|oid| oid == P256)
    }),
    class("sendgrid_key_compressed", |case| !is_twilio(case) && key_der(case).len() == 59),
    class("sendgrid_key_whitespace", |case| case.keys.public_key.contains('\n')),
    class("sendgrid_timestamp", |case| !is_twilio(case) && !is_timestamp(case)),
    class("sendgrid_repeated_signature", |case| case.values(SENDGRID_SIGNATURE).len() > 1),
    class("sendgrid_base64_junk", |case| signature_text(case).iter().any(|b| !is_base64(*b))),
    class("sendgrid_base64_after_padding", |case| has_text_after_padding(signature_text(case))),
    class("sendgrid_base64_trailing_bits", |case| has_trailing_bits(signature_text(case))),
    class("sendgrid_body_not_utf8", |case| !is_twilio(case) && std::str::from_utf8(&case.body).is_err()),
];

/// The object identifier of P-256: 1.2.840.10045.3.1.7.
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

fn is_twilio(case: &Case) -> bool {
    case.scheme == Scheme::Twilio
}

/// The part between `//` and the first slash, question mark or number sign.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn userinfo(url: &str) -> Option<&str> {
    authority(url).rsplit_once('@').map(|(userinfo, _)| userinfo)
}

fn public_authority(case: &Case) -> String {
    authority(&case.public_url).rsplit('@').next().unwrap_or_default().to_owned()
}

fn host(authority: &str) -> String {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn port(authority: &str) -> Option<&str> {
    authority
        .rsplit_once(':')
        .map(|(_, port)| port)
        .filter(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn signed_port(case: &Case) -> Option<&str> {
    port(authority(&case.signed.url))
}

fn is_upgrade_without_port(case: &Case) -> bool {
    case.is_upgrade()
        && case.public_url.to_ascii_lowercase().starts_with("https")
        && port(&public_authority(case)).is_none()
}

/// Only a GET without body that asks for a WebSocket is an upgrade that Twilio signs.
fn is_other_upgrade(case: &Case) -> bool {
    let is_websocket = case.value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"));
    case.is_upgrade() && (!is_websocket || case.method != "GET" || !case.body.is_empty())
}

/// Whether the authority was signed up to its first colon, and that is not the port's.
fn is_cut_at_colon(case: &Case) -> bool {
    let public = authority(&case.public_url);
    public.matches(':').count() > 1 && public.split(':').next() == Some(authority(&case.signed.url))
}

/// Whether a URL has a query, fragment or path parameters that are there and empty.
fn has_empty_part(url: &[u8]) -> bool {
    let (before, fragment) = split(url, b'#');
    let (path, query) = split(before, b'?');
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let (_, params) = split(last, b';');
    [fragment, query, params].into_iter().flatten().any(<[u8]>::is_empty)
}

/// Whether the signed text holds the empty part. It may also come from a parameter: the URL `/a` with the parameter
/// `?` and no value is the text of the URL `/a?`.
fn is_empty_part_signed(case: &Case) -> bool {
    let text = format!("{}{}", case.signed.url, form::canonical(&case.signed.params));
    has_empty_part(case.signed.url.as_bytes()) || text.as_bytes().ends_with(&case.target)
}

fn split(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    let mut halves = text.splitn(2, |&b| b == at);
    (halves.next().unwrap_or_default(), halves.next())
}

/// The parameters of form and query.
fn pairs(case: &Case) -> usize {
    let count = |text: &[u8]| text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).count();
    count(&case.body) + split(&case.target, b'?').1.map_or(0, count)
}

fn has_broken_escape(text: &[u8]) -> bool {
    text.iter().enumerate().filter(|(_, b)| **b == b'%').any(|(at, _)| {
        !text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn is_decoded_utf8(text: &[u8]) -> bool {
    let mut pieces = text.split(|&b| b == b'&' || b == b'=');
    pieces.all(|piece| percent_encoding::percent_decode(piece).decode_utf8().is_ok())
}

fn names_another_account(case: &Case) -> bool {
    let Some(own) = &case.keys.account else { return false };
    case.signed.params.iter().any(|(name, value)| name == "AccountSid" && value != own)
}

/// Whether a parameter is not `AccountSid` and could be taken for it.
fn names_a_lookalike(case: &Case) -> bool {
    let is_lookalike = |name: &str| {
        let name = name.split('\0').next().unwrap_or_default();
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "").eq_ignore_ascii_case("AccountSid")
    };
    let in_form = case.signed.params.iter().any(|(name, _)| name != "AccountSid" && is_lookalike(name));
    case.keys.account.is_some() && (in_form || case.target.windows(11).any(|text| text == b";AccountSid"))
}

/// The algorithm that a settings header names, as Python reads it.
fn settings_algorithm(case: &Case) -> Option<String> {
    let joined = case.values(SETTINGS).join(&b", "[..]);
    let text = String::from_utf8(joined).ok().filter(|text| !text.is_empty())?;
    let named =
        text.split(',').find_map(|item| item.trim().strip_prefix("algorithm=").map(str::to_ascii_uppercase));
    Some(named.unwrap_or_else(|| "HMAC_SHA1".to_owned()))
}

fn is_plain_settings(case: &Case) -> bool {
    matches!(
        case.value(SETTINGS),
        Some(b"key=key_1" | b"key=key_1,algorithm=HMAC_SHA1" | b"key=key_1,algorithm=HMAC_SHA256")
    )
}

fn key_der(case: &Case) -> Vec<u8> {
    let text: String = case.keys.public_key.chars().filter(|c| !c.is_whitespace()).collect();
    // What cannot be decoded is no key on any curve.
    STANDARD.decode(text).unwrap_or_else(|_| P256.to_vec())
}

fn is_timestamp(case: &Case) -> bool {
    case.value(SENDGRID_TIMESTAMP).is_some_and(|text| text.len() == 10 && text.iter().all(u8::is_ascii_digit))
}

/// The text of the only SendGrid signature; empty where there is none.
fn signature_text(case: &Case) -> &[u8] {
    case.value(SENDGRID_SIGNATURE).unwrap_or_default()
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn has_text_after_padding(text: &[u8]) -> bool {
    let end = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
    // Two digits need two signs of padding, three need one.
    let padding = (4 - end % 4) % 4;
    text.len() > end + padding
}

fn has_trailing_bits(text: &[u8]) -> bool {
    let digits = text.iter().position(|&b| b == b'=').map_or(text, |end| &text[..end]);
    let unused = match digits.len() % 4 {
        2 => 0x0f,
        3 => 0x03,
        _ => 0,
    };
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    digits
        .last()
        .and_then(|last| ALPHABET.iter().position(|digit| digit == last))
        .is_some_and(|bits| bits & unused != 0)
}
