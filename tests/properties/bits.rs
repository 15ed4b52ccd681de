//! One bit of a signed request changes, and the request is refused.
//!
//! One exception is part of the scheme: a changed form body whose decoded, sorted, glued text is the same as before (an
//! escape with a digit in the other case, say) is the same message to the signer. The tests decide that with the
//! independent decoder.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::core_support::cases;
use super::core_support::{
    FORM, Outcome, Request, canonical, canonical_utf16, decode_form, encode_form, sha256,
};
use super::signing::{pairs, plan_for, target, token, verified};

const TOKEN: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";

fn flip(bytes: &mut [u8], bit: usize) {
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn flip_any(bytes: &mut [u8], bit: Index) {
    let bit = bit.index(bytes.len() * 8);
    flip(bytes, bit);
}

fn signature(request: &mut Request) -> &mut [u8] {
    let header = request.headers.iter_mut().find(|(name, _)| name == b"x-twilio-signature");
    &mut header.expect("the request is signed").1
}

fn is_refused(request: &Request) -> bool {
    matches!(request.send(&plan_for(TOKEN)), Outcome::Refused(_))
}

/// Whether a changed form body is the same message to the signer.
fn is_same_message(before: &[u8], after: &[u8]) -> bool {
    let signed = canonical(&decode_form(before).expect("a form"));
    decode_form(after).is_some_and(|pairs| canonical(&pairs) == signed || canonical_utf16(&pairs) == signed)
}

fn form_request() -> Request {
    let body = "Body=Hello%2c+w%C3%B6rld&From=%2B15550001111&To=&=x&Body=2";
    let pairs = decode_form(body.as_bytes()).expect("a form");
    Request::post("/sms/in?a=%2F&b=1", FORM, body).sign_form(TOKEN.as_bytes(), &pairs)
}

fn json_request() -> Request {
    let body = r#"[{"specversion":"1.0","id":"EZ1"}]"#;
    let target = format!("/events?x=1&bodySHA256={}", sha256(body.as_bytes()));
    Request::post(target, "application/json", body).sign_url(TOKEN.as_bytes())
}

#[test]
fn every_single_bit_of_three_requests_counts() {
    let get = Request::new("GET", "/voice?CallSid=CA1&x=%20").sign_url(TOKEN.as_bytes());
    for original in [form_request(), json_request(), get] {
        assert_eq!(original.send(&plan_for(TOKEN)), verified());
        for bit in 0..original.target.len() * 8 {
            let mut request = original.clone();
            flip(&mut request.target, bit);
            assert!(is_refused(&request), "bit {bit} of the target");
        }
        for bit in 0..28 * 8 {
            let mut request = original.clone();
            flip(signature(&mut request), bit);
            assert!(is_refused(&request), "bit {bit} of the signature");
        }
        let is_form = original.headers.iter().any(|(_, value)| value == FORM.as_bytes());
        let mut same = 0;
        for bit in 0..original.body.len() * 8 {
            let mut request = original.clone();
            flip(&mut request.body, bit);
            if is_form && is_same_message(&original.body, &request.body) {
                same += 1;
                assert_eq!(request.send(&plan_for(TOKEN)), verified());
            } else {
                assert!(is_refused(&request), "bit {bit} of the body");
            }
        }
        // The letters in %2c, %C3, %B6 and %2B.
        assert_eq!(same, if is_form { 4 } else { 0 });
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn a_changed_bit_of_a_forms_target_is_refused(pairs in pairs(), target in target(), bit: Index) {
        let mut request = Request::post(target, FORM, encode_form(&pairs)).sign_form(TOKEN.as_bytes(), &pairs);
        flip_any(&mut request.target, bit);
        prop_assert!(is_refused(&request));
    }

    #[test]
    fn a_changed_bit_of_a_form_is_refused(pairs in pairs(), bit: Index) {
        prop_assume!(!pairs.is_empty());
        let mut request = Request::post("/sms", FORM, encode_form(&pairs)).sign_form(TOKEN.as_bytes(), &pairs);
        let before = request.body.clone();
        flip_any(&mut request.body, bit);
        let expected = is_same_message(&before, &request.body);
        prop_assert_eq!(!is_refused(&request), expected);
    }

    #[test]
    fn a_changed_bit_of_the_token_is_refused(pairs in pairs(), token in token(), bit: Index) {
        let mut other = token.clone().into_bytes();
        flip_any(&mut other, bit);
        let request = Request::post("/sms", FORM, encode_form(&pairs)).sign_form(&other, &pairs);
        prop_assert!(matches!(request.send(&plan_for(&token)), Outcome::Refused(_)));
    }

    #[test]
    fn a_changed_bit_of_the_signature_is_refused(pairs in pairs(), target in target(), bit: Index) {
        let mut request = Request::post(target, FORM, encode_form(&pairs)).sign_form(TOKEN.as_bytes(), &pairs);
        flip_any(signature(&mut request), bit);
        prop_assert!(is_refused(&request));
    }

    #[test]
    fn a_changed_bit_of_a_hashed_body_or_its_target_is_refused(body in vec(any::<u8>(), 1..100), bit: Index, in_body: bool) {
        let target = format!("/events?bodySHA256={}", sha256(&body));
        let mut request = Request::post(target, "application/json", body).sign_url(TOKEN.as_bytes());
        flip_any(if in_body { &mut request.body } else { &mut request.target }, bit);
        prop_assert!(is_refused(&request));
    }

    #[test]
    fn a_changed_bit_of_a_gets_target_is_refused(target in target(), bit: Index) {
        let mut request = Request::new("GET", target).sign_url(TOKEN.as_bytes());
        flip_any(&mut request.target, bit);
        prop_assert!(is_refused(&request));
    }

    #[test]
    fn a_body_after_a_url_signature_is_refused(body in vec(any::<u8>(), 1..60), media_type in "[ -~]{0,20}", method: Index) {
        // A captured GET or empty POST signs its URL alone; no body may ride on it, whatever it is declared as.
        let method = *method.get(&["GET", "HEAD", "POST"]);
        let mut request = Request::post("/voice?a=1", &media_type, body).sign_url(TOKEN.as_bytes());
        request.method = method.into();
        prop_assert!(is_refused(&request));
        request.headers.retain(|(name, _)| name != b"content-length");
        prop_assert!(is_refused(&request), "without a declared length");
    }
}
