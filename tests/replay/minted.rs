//! Minted callback URLs: what is made, what is accepted, and the formula that the documentation gives to others.

use proptest::prelude::*;
use twilio_guard::config::{MintKey, Secret};
use twilio_guard::reject::Reject;
use twilio_guard::replay::{check_minted, mint, strip_minted};

const NOW: u64 = 1_763_829_000;

fn key(id: &str, secret: &str) -> MintKey {
    MintKey::new(id, &Secret::from(secret.to_owned())).expect("a key")
}

fn m1() -> MintKey {
    key("m1", "0123456789abcdef0123456789abcdef")
}

fn check(url: &str, now: u64) -> Result<Option<u64>, Reject> {
    check_minted(url.as_bytes(), &[key("m0", "ffffffffffffffffffffffffffffffff"), m1()], now)
}

/// The formula of docs/replay.md, by hand: base64url(HMAC-SHA256(key, context, path and query)).
#[test]
fn a_minted_url_is_what_the_formula_says() {
    use base64::Engine as _;
    use hmac::{Hmac, KeyInit, Mac};
    let url = mint("https://hooks.example.org/calls/CA1/status?step=2", &m1(), NOW).expect("minted");
    let covered = format!("/calls/CA1/status?step=2&tg_exp={NOW}&tg_key=m1");
    let mac = Hmac::<sha2::Sha256>::new_from_slice(b"0123456789abcdef0123456789abcdef")
        .expect("any length")
        .chain_update(format!("twilio-guard mint v1\n{covered}"));
    let mac = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
    assert_eq!(url, format!("https://hooks.example.org{covered}&tg_mac={mac}"));
    assert_eq!(check(&url, NOW - 1), Ok(Some(NOW)));
}

#[test]
fn it_ends_at_its_second() {
    let url = mint("https://h.example/a", &m1(), NOW).expect("minted");
    assert_eq!(check(&url, NOW - 1), Ok(Some(NOW)));
    assert_eq!(check(&url, NOW), Err(Reject::MintExpired));
}

#[test]
fn what_twilio_appends_and_connection_overrides_change_nothing() {
    let url = mint("https://h.example/a?b=c#rc=2", &m1(), NOW).expect("minted");
    let (requested, overrides) = url.split_once('#').expect("a fragment");
    assert_eq!(overrides, "rc=2");
    for appended in ["", "&CallSid=CA1&From=%2B1", "&bodySHA256=00"] {
        assert_eq!(check(&format!("{requested}{appended}"), 1), Ok(Some(NOW)), "{appended}");
    }
    // Upgrades are signed over wss.
    assert_eq!(check(&requested.replace("https", "wss"), 1), Ok(Some(NOW)));
}

#[test]
fn whatever_is_changed_is_refused() {
    let url = mint("https://h.example/a?b=c", &m1(), NOW).expect("minted");
    let mac = url.rsplit_once('=').expect("a MAC").1.to_owned();
    for changed in [
        url.replace("/a?", "/b?"),
        url.replace("b=c", "b=d"),
        url.replace("?b=c&", "?"),
        url.replace(&NOW.to_string(), &(NOW + 1).to_string()),
        url.replace("tg_key=m1", "tg_key=m0"),
        url.replace("tg_key=m1", "tg_key=m2"),
        url.replace(&mac, &mac.to_ascii_lowercase()),
        url.replace(&mac, &mac[1..]),
        url.replace(&format!("&tg_mac={mac}"), ""),
        format!("{url}&tg_exp=1"),
        format!("{url}&tg%5Fexp=9999999999"),
        format!("{url}&TG_MAC=x"),
        url.replace("tg_exp", "tg_EXP"),
        url.replace("&tg_exp", "&x=y&tg_exp").replace("x=y", "tg_mac=z"),
        "https://h.example/a?tg_exp=&tg_key=&tg_mac=".to_owned(),
        "https://h.example/a?tg_mac=x".to_owned(),
    ] {
        assert_eq!(check(&changed, 1), Err(Reject::MintInvalid), "{changed}");
    }
    assert_eq!(check("https://h.example/a?b=c", 1), Ok(None));
    assert_eq!(check("https://h.example/", 1), Ok(None));
}

#[test]
fn a_key_that_is_no_longer_listed_mints_nothing() {
    let url =
        mint("https://h.example/a", &key("old", "11111111111111111111111111111111"), NOW).expect("minted");
    assert_eq!(check(&url, 1), Err(Reject::MintInvalid));
}

#[test]
fn a_url_is_minted_once_and_needs_a_path() {
    let url = mint("https://h.example/a", &m1(), NOW).expect("minted");
    assert_eq!(mint(&url, &m1(), NOW), None);
    for bad in ["https://h.example", "/a", "h.example/a", ""] {
        assert_eq!(mint(bad, &m1(), NOW), None, "{bad}");
    }
    for (id, secret) in [
        ("", "0123456789abcdef0123456789abcdef"),
        ("M 1", "0123456789abcdef0123456789abcdef"),
        ("m1", "short"),
    ] {
        assert!(MintKey::new(id, &Secret::from(secret.to_owned())).is_none(), "{id}");
    }
    assert_eq!(format!("{:?}", m1()), "MintKey(\"m1\")");
}

#[test]
fn stripping_leaves_the_target_that_was_minted() {
    for (before, appended, after) in [
        ("/a", "", "/a"),
        ("/a?b=c", "", "/a?b=c"),
        ("/a?b=c", "&CallSid=CA1", "/a?b=c&CallSid=CA1"),
        ("/a", "&CallSid=CA1", "/a?CallSid=CA1"),
    ] {
        let url = mint(&format!("https://h.example{before}"), &m1(), NOW).expect("minted");
        let target = format!("{}{appended}", url.strip_prefix("https://h.example").expect("a prefix"));
        let stripped = strip_minted(target.as_bytes()).expect("a minted part");
        assert_eq!(String::from_utf8(stripped).expect("text"), after);
    }
    assert_eq!(strip_minted(b"/a?b=c"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(url in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = check_minted(&url, &[m1()], NOW);
        let _ = strip_minted(&url);
    }

    #[test]
    fn pieces_of_a_minted_part_in_any_order_are_survived_and_refused(
        pieces in prop::collection::vec(prop::sample::select(
            &["tg_exp=1763829001", "tg_key=m1", "tg_mac=AAAA", "a=b", "&", "?", "", "tg_exp", "tg_mac=", "%74g_mac=x"][..]
        ), 1..8),
    ) {
        let url = format!("https://h.example/a?{}", pieces.join("&"));
        let has_ours = pieces.iter().any(|piece| piece.contains("tg_") || piece.contains("%74g"));
        let verdict = check(&url, 1);
        prop_assert_eq!(verdict, if has_ours { Err(Reject::MintInvalid) } else { Ok(None) });
        let _ = strip_minted(url.as_bytes());
    }
}
