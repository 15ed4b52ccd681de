//! Requests under Twilio's own scheme: what Twilio sends, what a proxy makes of it, what an attacker makes of it.

use crate::bodies::{
    account, broken_form, form_content_type, form_post, form_with_hash, get_with_body, glued, json,
    json_no_hash, json_odd_hash, many_params, utf16_form,
};
use crate::case::{Case, FORM, Keys, SETTINGS, SIGNATURE, Scheme, SharedKey, Signed};
use crate::form::{self, Params};
use crate::tamper::tamper;
use crate::urls::{self, Base};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

const TOKENS: &[&str] =
    &["a1b2c3d4e5f60718293a4b5c6d7e8f90", "00000000000000000000000000000000", "t\u{f6}ken \u{1f600}"];

/// A share of the run, a name, and what makes such a case.
type Kind = (usize, &'static str, fn(&mut Rng) -> Case);

/// What is generated.
const KINDS: &[Kind] = &[
    (260, "form", form_post),
    (16, "form, many parameters", many_params),
    (30, "form, undecodable", broken_form),
    (20, "form, UTF-16 order", utf16_form),
    (60, "form, content type", form_content_type),
    (60, "form with body hash", form_with_hash),
    (20, "form, glued", glued),
    (110, "get", get),
    (30, "get with body", get_with_body),
    (110, "json", json),
    (90, "json, odd hash", json_odd_hash),
    (40, "json, no hash", json_no_hash),
    (50, "websocket", websocket),
    (60, "url rewritten", rewritten),
    (60, "url, odd parts", odd_url),
    (70, "signature spelling", spelled_signature),
    (60, "shared key", shared_key),
    (40, "tokens", tokens),
    (40, "account", account),
    (20, "method", method),
    (30, "host", host),
];

/// The next case.
pub fn case(rng: &mut Rng) -> Case {
    let total: usize = KINDS.iter().map(|(share, ..)| share).sum();
    let mut at = rng.usize(..total);
    for (share, kind, make) in KINDS {
        if at < *share {
            let mut case = make(rng);
            case.kind = kind;
            if rng.u8(..4) == 0 {
                tamper(rng, &mut case);
            }
            return case;
        }
        at -= share;
    }
    unreachable!("the shares add up")
}

/// `base64(HMAC(key, text))`.
pub fn mac(algorithm: &str, key: &str, text: &str) -> String {
    let (key, text) = (key.as_bytes(), text.as_bytes());
    if algorithm == "HMAC_SHA256" {
        let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length").chain_update(text);
        return STANDARD.encode(mac.finalize().into_bytes());
    }
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("a key of any length").chain_update(text);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A request for a target, not yet signed.
pub fn request(rng: &mut Rng, base: &Base, method: &str, target: &str) -> Case {
    Case {
        kind: "",
        scheme: Scheme::Twilio,
        public_url: base.url(),
        authority: base.authority(),
        method: method.to_owned(),
        target: target.into(),
        headers: Vec::new(),
        body: Vec::new(),
        keys: Keys { tokens: vec![TOKENS[rng.usize(..TOKENS.len())].to_owned()], ..Keys::default() },
        signed: Signed::default(),
    }
}

/// Signs with the first token, under one of the spellings of the URL.
pub fn signed(rng: &mut Rng, base: &Base, mut case: Case, params: Params) -> Case {
    let target = String::from_utf8_lossy(&case.target).into_owned();
    let url = format!("{}{target}", base.signed(rng, case.is_upgrade()));
    let text = format!("{url}{}", form::canonical(&params));
    case.set(SIGNATURE, mac("HMAC_SHA1", &case.keys.tokens[0], &text));
    case.signed = Signed { url, params, in_utf16_order: false };
    case
}

fn get(rng: &mut Rng) -> Case {
    let (base, target) = (Base::random(rng), urls::target(rng));
    let mut case = request(rng, &base, "GET", &target);
    if rng.u8(..5) == 0 {
        case.set("content-type", FORM);
    }
    let params = if rng.u8(..10) == 0 { form::params(rng, 2) } else { Vec::new() };
    signed(rng, &base, case, params)
}

fn websocket(rng: &mut Rng) -> Case {
    let mut base = Base::random(rng);
    let target = if rng.bool() { "/media".to_owned() } else { urls::target(rng) };
    let upgrade = if rng.u8(..6) == 0 { "h2c" } else { "websocket" };
    let method = if rng.u8(..12) == 0 { "POST" } else { "GET" };
    if rng.u8(..6) == 0 {
        // The two sides take another port for the default one of `wss`.
        (base.scheme, base.port) = ("https", None);
        let mut case = request(rng, &base, "GET", &target);
        case.set("upgrade", "websocket");
        base.port = Some(if rng.bool() { "80" } else { "443" });
        return signed(rng, &base, case, Vec::new());
    }
    let mut case = request(rng, &base, method, &target);
    case.set("upgrade", upgrade);
    signed(rng, &base, case, Vec::new())
}

fn rewritten(rng: &mut Rng) -> Case {
    let mut case = if rng.bool() { get(rng) } else { form_post(rng) };
    let target = String::from_utf8_lossy(&case.target).into_owned();
    case.target = urls::rewritten(rng, &target).into();
    case
}

fn odd_url(rng: &mut Rng) -> Case {
    let base = Base::random(rng);
    let target = urls::odd_target(rng);
    let mut case = request(rng, &base, "GET", &target);
    match rng.u8(..8) {
        // Signed without the part that is empty.
        0..3 => {
            case.target = target.trim_end_matches(['?', '#', ';']).into();
            case = signed(rng, &base, case, Vec::new());
            case.target = target.into();
            case
        }
        // A Latin-1 path, whose bytes are not UTF-8: nothing signs that as text, and a signer of bytes signs these.
        3 => {
            case.target = b"/caf\xe9".to_vec();
            let text = [base.url().as_bytes(), &case.target].concat();
            let mac = Hmac::<Sha1>::new_from_slice(case.keys.tokens[0].as_bytes()).expect("a key");
            case.set(SIGNATURE, STANDARD.encode(mac.chain_update(&text).finalize().into_bytes()));
            case.signed.url = String::from_utf8_lossy(&text).into_owned();
            case
        }
        // White space that Python's URL parser takes out.
        4 => {
            case.target = b"/sms".to_vec();
            case = signed(rng, &base, case, Vec::new());
            case.target.insert(rng.usize(1..=4), b"\t\r\n"[rng.usize(..3)]);
            case
        }
        // Digits that become a part of the port, and are dropped with it.
        5 => {
            let plain =
                Base { scheme: "https", userinfo: None, host: "hooks.example.org", port: None, prefix: "" };
            case = request(rng, &Base { port: Some("80"), ..plain.clone() }, "GET", "/sms");
            case.signed.url = format!("{}/sms", plain.url());
            case.set(SIGNATURE, mac("HMAC_SHA1", &case.keys.tokens[0], &case.signed.url));
            case.target.insert(0, b'9');
            case
        }
        _ => signed(rng, &base, case, Vec::new()),
    }
}

fn spelled_signature(rng: &mut Rng) -> Case {
    let mut case = if rng.bool() { form_post(rng) } else { get(rng) };
    let good = case.value(SIGNATURE).expect("signed").to_vec();
    let text = String::from_utf8_lossy(&good).into_owned();
    let last = good[26];
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let other_bits = ALPHABET[ALPHABET.iter().position(|&b| b == last).expect("base64") ^ 1];
    let spelled: Vec<u8> = match rng.u8(..14) {
        0 => format!(" {text}").into(),
        1 => format!("{text}\t ").into(),
        2 => text.trim_end_matches('=').into(),
        3 => text.replace('+', "-").replace('/', "_").into(),
        4 => [&good[..26], &[other_bits], b"="].concat(),
        5 => format!("{text}=").into(),
        6 => format!("{text}, {text}").into(),
        7 => text.to_ascii_lowercase().into(),
        8 => format!("{}\n{}", &text[..10], &text[10..]).into(),
        9 => Vec::new(),
        10 => format!("\"{text}\"").into(),
        11 => [&good[..27], b"\xbd"].concat(),
        12 => {
            case.headers.push((SIGNATURE, good));
            return case;
        }
        _ => {
            case.headers.retain(|(name, _)| *name != SIGNATURE);
            return case;
        }
    };
    case.set(SIGNATURE, spelled);
    case
}

fn shared_key(rng: &mut Rng) -> Case {
    let mut case = form_post(rng);
    let algorithm = if rng.bool() { "HMAC_SHA256" } else { "HMAC_SHA1" };
    case.keys.shared =
        vec![SharedKey { id: "key_1".to_owned(), secret: "shared-secret-0001".to_owned(), algorithm }];
    let used = if rng.u8(..3) == 0 { "HMAC_SHA1" } else { algorithm };
    let text = format!("{}{}", case.signed.url, form::canonical(&case.signed.params));
    let lower = used.to_ascii_lowercase();
    let settings = match rng.u8(..12) {
        0 => format!("key=key_1,algorithm={lower}"),
        1 => "key=key_1".to_owned(),
        2 => format!(" algorithm={used} , key=key_1"),
        3 => format!("key=key_1,algorithm={used},x=y"),
        4 => format!("key=key_1,key=key_2,algorithm={used}"),
        5 => format!("key=key_2,algorithm={used}"),
        6 => format!("algorithm={used}"),
        7 => "key=key_1,algorithm=HMAC_SHA512".to_owned(),
        _ => format!("key=key_1,algorithm={used}"),
    };
    let secret = if rng.u8(..10) == 0 { case.keys.tokens[0].as_str() } else { "shared-secret-0001" };
    case.set(SIGNATURE, mac(used, secret, &text));
    case.set(SETTINGS, settings);
    case
}

fn tokens(rng: &mut Rng) -> Case {
    let mut case = form_post(rng);
    match rng.u8(..4) {
        0 => case.keys.tokens.insert(0, "another-token".to_owned()),
        1 => case.keys.tokens = vec!["another-token".to_owned()],
        _ => {
            let odd = ["", " a1b2c3d4", "a1b2c3d4\n"][rng.usize(..3)];
            let text = format!("{}{}", case.signed.url, form::canonical(&case.signed.params));
            case.set(SIGNATURE, mac("HMAC_SHA1", odd, &text));
            case.keys.tokens = vec![odd.to_owned()];
        }
    }
    case
}

fn method(rng: &mut Rng) -> Case {
    let mut case = form_post(rng);
    case.method = ["PUT", "DELETE", "HEAD", "PATCH", "GET", "post"][rng.usize(..6)].to_owned();
    case
}

fn host(rng: &mut Rng) -> Case {
    const HOSTS: &[&str] = &[
        "evil.example.net",
        "hooks.example.org:444",
        "HOOKS.EXAMPLE.ORG",
        "hooks.example.org.",
        "hooks.example.org:",
        "user@hooks.example.org",
        "",
    ];
    let mut case = form_post(rng);
    case.authority = HOSTS[rng.usize(..HOSTS.len())].to_owned();
    case
}
