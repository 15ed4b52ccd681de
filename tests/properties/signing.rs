//! What the independent signer signs is verified, however it is written.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use twilio_guard::config::Plan;
use twilio_guard::reject::Reject;

use super::core_support::cases;
use super::core_support::{
    FORM, Outcome, Pair, Request, URL, canonical, canonical_utf16, encode_form, parse_text, sha256, sign,
};

/// Text of any characters, control characters and those beyond U+FFFF included.
fn text(most: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..most).prop_map(String::from_iter)
}

/// Parameters, among them repeated names, equal pairs, empty names and empty values.
pub(super) fn pairs() -> impl Strategy<Value = Vec<Pair>> {
    let known =
        || prop::sample::select(vec!["", "a", "A", "a b", "\u{ff5e}", "\u{10000}", "b", "Body", "&=", "%41"]);
    let component =
        move || prop_oneof![text(6), known().prop_map(str::to_owned)].prop_map(String::into_bytes);
    vec((component(), component()), 0..8)
}

/// Any target that begins with a slash: any bytes, with or without a query.
pub(super) fn target() -> impl Strategy<Value = Vec<u8>> {
    let plain = "[a-z/?&=+%.;0-9]{0,24}".prop_map(String::into_bytes);
    prop_oneof![vec(any::<u8>(), 0..24), plain].prop_map(|rest| [b"/".as_slice(), &rest].concat())
}

/// A token as an operator may have one: not empty, no white space around it.
pub(super) fn token() -> impl Strategy<Value = String> {
    let any_text = vec(any::<char>(), 1..90).prop_map(String::from_iter);
    prop_oneof!["[0-9a-f]{32}", any_text]
        .prop_filter("white space around a secret is refused", |token: &String| {
            token.trim() == token && !token.is_empty()
        })
}

/// A plan that verifies everything with one token.
pub(super) fn plan_for(token: &str) -> Plan {
    let config =
        json!({"public_url": URL, "accounts": [{"auth_tokens": [{"env": "T"}]}], "default": "twilio"});
    parse_text(config.to_string().as_bytes(), &[("T", token)]).expect("in order")
}

pub(super) fn verified() -> Outcome {
    Outcome::Verified { account: None, key: "token0".to_owned() }
}

/// Writes a form in one of its many spellings, which `choices` select byte by byte.
fn spell(pairs: &[Pair], choices: &[u8]) -> Vec<u8> {
    let mut choices = choices.iter().copied().cycle();
    let mut choose = move || choices.next().unwrap_or_default();
    let mut body = Vec::new();
    for (at, (name, value)) in pairs.iter().enumerate() {
        body.extend((at > 0).then_some(b'&'));
        body.extend((choose() % 8 == 0).then_some(b'&'));
        for (component, reserved) in [(name, b"&%+=".as_slice()), (value, b"&%+")] {
            for &byte in component {
                match (choose() % 4, byte) {
                    (0 | 1, b' ') => body.push(b'+'),
                    (0 | 1, byte) if !reserved.contains(&byte) => body.push(byte),
                    (2, byte) => body.extend(format!("%{byte:02x}").bytes()),
                    (_, byte) => body.extend(format!("%{byte:02X}").bytes()),
                }
            }
            let may_stop = value.is_empty() && !name.is_empty() && choose() % 2 == 0;
            if reserved.contains(&b'=') && !may_stop {
                body.push(b'=');
            }
        }
    }
    body
}

#[test]
fn a_form_that_can_be_decoded_in_two_ways_is_refused_whatever_is_signed() {
    let token = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
    let cases: [(&[u8], &[&[u8]]); 7] = [
        (b"a=%", &[b"a%", b"a"]),
        (b"a=%4", &[b"a%4", b"a", b"a4", b"a\x04"]),
        (b"a=%zz", &[b"a%zz", b"azz", b"a"]),
        (b"a%=1", &[b"a%1", b"a1"]),
        (b"a=%ff", &[b"a\xff", "a\u{fffd}".as_bytes(), b"a"]),
        (b"a=\xff", &[b"a\xff", "a\u{fffd}".as_bytes(), b"a"]),
        (b"%c3=%a9", &["\u{e9}".as_bytes(), b"\xc3\xa9", "\u{fffd}\u{fffd}".as_bytes()]),
    ];
    for (body, texts) in cases {
        for text in texts {
            let signature = sign(token.as_bytes(), &[URL.as_bytes(), b"/sms", text].concat());
            let request = Request::post("/sms", FORM, body).header("x-twilio-signature", &signature);
            let outcome = request.send(&plan_for(token));
            assert_eq!(outcome, Outcome::Refused(Reject::MalformedBody), "{}", String::from_utf8_lossy(body));
        }
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_signed_form_is_verified(pairs in pairs(), target in target(), token in token()) {
        let request = Request::post(target, FORM, encode_form(&pairs)).sign_form(token.as_bytes(), &pairs);
        prop_assert_eq!(request.send(&plan_for(&token)), verified());
    }

    #[test]
    fn neither_order_nor_spelling_nor_pieces_nor_trailers_matter(
        (pairs, shuffled) in pairs().prop_flat_map(|pairs| (Just(pairs.clone()), Just(pairs).prop_shuffle())),
        choices in vec(any::<u8>(), 1..40),
        size in 1..40_usize,
        with_trailers: bool,
    ) {
        let token = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
        let request = Request::post("/sms?a=1", FORM, spell(&shuffled, &choices)).sign_form(token.as_bytes(), &pairs);
        prop_assert_eq!(request.send_in_pieces(&plan_for(token), size, with_trailers), verified());
    }

    #[test]
    fn a_pair_sent_again_changes_nothing(pairs in pairs(), again in any::<prop::sample::Index>()) {
        let token = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
        let mut sent = pairs.clone();
        sent.extend((!pairs.is_empty()).then(|| again.get(&pairs).clone()));
        let request = Request::post("/sms", FORM, encode_form(&sent)).sign_form(token.as_bytes(), &pairs);
        prop_assert_eq!(request.send(&plan_for(token)), verified());
    }

    #[test]
    fn both_sort_orders_and_both_port_spellings_are_verified(
        pairs in pairs(), target in target(), token in token(), utf16: bool, port: bool,
    ) {
        let base = if port { "https://hooks.example.org:443" } else { URL };
        let parameters = if utf16 { canonical_utf16(&pairs) } else { canonical(&pairs) };
        let signature = sign(token.as_bytes(), &[base.as_bytes(), &target, &parameters].concat());
        let request = Request::post(target, FORM, encode_form(&pairs)).header("x-twilio-signature", &signature);
        prop_assert_eq!(request.send(&plan_for(&token)), verified());
    }

    #[test]
    fn a_signed_get_is_verified(target in target(), token in token(), is_get: bool) {
        let method = if is_get { "GET" } else { "POST" };
        let request = Request::new(method, target).sign_url(token.as_bytes());
        prop_assert_eq!(request.send(&plan_for(&token)), verified());
    }

    #[test]
    fn a_body_with_its_hash_in_the_signed_url_is_verified(
        target in target(), body in vec(any::<u8>(), 0..200), token in token(), media_type in "[ -~]{0,12}",
    ) {
        let separator: &[u8] = if target.contains(&b'?') { b"&" } else { b"?" };
        let target = [&target, separator, b"bodySHA256=", sha256(&body).as_bytes()].concat();
        let request = Request::post(target, &media_type, body).sign_url(token.as_bytes());
        prop_assert_eq!(request.send(&plan_for(&token)), verified());
    }

    #[test]
    fn a_websocket_upgrade_is_verified_over_its_own_scheme(target in target(), token in token()) {
        let signature = sign(token.as_bytes(), &[b"wss://hooks.example.org", target.as_slice()].concat());
        let upgrade = Request::new("GET", target.clone()).header("upgrade", "websocket");
        let request = upgrade.clone().header("x-twilio-signature", &signature);
        prop_assert_eq!(request.send(&plan_for(&token)), verified());
        let request = upgrade.sign_url(token.as_bytes());
        prop_assert_eq!(request.send(&plan_for(&token)), Outcome::Refused(Reject::Mismatch));
    }

    #[test]
    fn another_token_is_refused(pairs in pairs(), target in target(), token in token(), other in token()) {
        prop_assume!(token != other);
        let request = Request::post(target, FORM, encode_form(&pairs)).sign_form(other.as_bytes(), &pairs);
        prop_assert_eq!(request.send(&plan_for(&token)), Outcome::Refused(Reject::Mismatch));
    }

    #[test]
    fn another_parameter_is_refused(pairs in pairs(), more in pairs()) {
        let token = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
        let sent = [pairs.clone(), more].concat();
        // Equal text is the one ambiguity of the scheme: names and values are signed without separators.
        prop_assume!(canonical(&sent) != canonical(&pairs) && canonical_utf16(&sent) != canonical(&pairs));
        let request = Request::post("/sms", FORM, encode_form(&sent)).sign_form(token.as_bytes(), &pairs);
        prop_assert_eq!(request.send(&plan_for(token)), Outcome::Refused(Reject::Mismatch));
    }
}
