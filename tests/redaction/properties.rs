//! What holds for every request target.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use twilio_guard::config::Secret;
use twilio_guard::redact::Policy;

use crate::core_support::cases;
use crate::policy;

/// Pieces that targets are made of: what the rules look for, in harmless and hostile spellings.
const PIECES: &[&str] = &[
    "/",
    "//",
    "?",
    "&",
    ";",
    "=",
    "#",
    "+",
    "%",
    "%2F",
    "%3F",
    "%26",
    "%3D",
    "%23",
    "%25",
    "%2525",
    "%00",
    "%0d%0a",
    "%22",
    "%5C",
    "%FF",
    "..",
    ".",
    "[]",
    "[0]",
    "[",
    "]",
    "sms",
    "patients",
    "users",
    "calls",
    "voice",
    "From",
    "Body",
    "CallSid",
    "CallStatus",
    "MediaUrl0",
    "MediaContentType0",
    "ApiVersion",
    "SipHeader_X",
    "x",
    "jane.roe",
    "Jane",
    "busy",
    "12025550123",
    "%31%32%30%32",
    "202-555-0123",
    "2010-04-01",
    "CAc93bf9a243a391a65da5b60116ee9a5c",
    "US3b8114914a1c8b2faab8e73f0339f5ed",
    "7d3e2f10-1c2b-4a5d-8e9f-001122334455",
    "1EG4-TE5-MK73",
    "1M8GDM9AXKP042788",
    "10.0.0.1",
    "image/png",
    "eyJhbGci",
    "[REDACTED]",
    "[h:0011223344556677]",
    "[TRUNCATED]",
    "\"",
    "\\",
    "<",
    "\u{e9}",
    "\r\n",
    "\u{1b}[31m",
];

fn target() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..40).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

fn keyed() -> Policy {
    Policy::default().with_hash_key(&Secret::from("0123456789abcdef0123456789abcdef".to_owned()))
}

/// Whether a text can stand in a log line and in a JSON string as it is.
fn is_safe(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, 33..=126) && !b"\"\\<>'`$%(){}@,!".contains(&b))
}

/// The longest number that is spelled out, whatever stands between its digits.
fn longest_number(text: &str) -> usize {
    text.split(['/', '&', ';', '=', '?', '#'])
        .map(|part| part.bytes().filter(u8::is_ascii_digit).count())
        .max()
        .unwrap_or(0)
}

proptest! {
    #![proptest_config(cases(6000))]

    #[test]
    fn what_is_shown_is_printable_and_needs_no_escape(target in target()) {
        for policy in [Policy::default(), keyed()] {
            let shown = policy.target(&target);
            prop_assert!(is_safe(&shown), "{shown:?}");
            prop_assert!(!shown.contains("%"));
        }
    }

    #[test]
    fn any_bytes_are_survived(target in vec(any::<u8>(), 0..400)) {
        prop_assert!(is_safe(&Policy::default().target(&target)));
    }

    /// No part shows seven digits, but for SIDs and UUIDs and API versions, which are no numbers of people, and scores,
    /// which have a point.
    #[test]
    fn no_long_number_is_shown(target in target()) {
        let shown = Policy::default().target(&target);
        let known = ["CAc93bf9a243a391a65da5b60116ee9a5c", "US3b8114914a1c8b2faab8e73f0339f5ed",
                     "7d3e2f10-1c2b-4a5d-8e9f-001122334455", "2010-04-01"];
        let rest = known.iter().fold(shown.clone(), |text, known| text.replace(known, ""));
        prop_assert!(longest_number(&rest) < 7, "{shown}");
        for marker in ["1EG4", "1M8GDM9", "10.0.0.1", "=eyJ", "12025550123"] {
            prop_assert!(!shown.contains(marker), "{shown}");
        }
    }

    /// A line that is redacted again shows nothing that it did not show before.
    #[test]
    fn redacting_again_reveals_nothing(target in target()) {
        for policy in [Policy::default(), keyed()] {
            let once = policy.target(&target);
            let twice = policy.target(once.as_bytes());
            let parts = |text: &str| -> Vec<String> {
                text.split(['/', '&', ';', '=', '?', '#']).map(str::to_owned).collect()
            };
            let before = parts(&once);
            for part in parts(&twice) {
                let is_own = part.starts_with("[h:") || part == "[REDACTED]" || part == "[TRUNCATED]";
                prop_assert!(is_own || before.contains(&part), "{part} of {twice} is not in {once}");
            }
        }
    }

    /// However a word is encoded, what is shown of it is the same.
    #[test]
    fn escapes_hide_nothing_from_the_rules(word in "[A-Za-z0-9@._ -]{1,20}", rounds in 1usize..=3) {
        let encode = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
        let mut encoded = encode(&word);
        for _ in 1..rounds {
            encoded = encoded.replace('%', "%25");
        }
        let once = format!("/x?CallStatus={}&q={}", encode(&word), encode(&word));
        let more = format!("/x?CallStatus={encoded}&q={encoded}");
        let shown = Policy::default().target(once.as_bytes());
        prop_assert_eq!(&Policy::default().target(more.as_bytes()), &shown);
    }

    /// A value under a name that nobody knows is never shown, unless it is the SID of an event.
    #[test]
    fn unknown_names_show_no_value(name in "zz[a-z]{3,12}", value in "[ -~]{1,30}") {
        let value: String = value.replace(['&', ';', '?', '#'], "_");
        let shown = Policy::default().target(format!("/x?{name}={value}").as_bytes());
        prop_assert_eq!(shown, format!("/x?{name}=[REDACTED]"));
    }

    /// The variable segment of a template is masked whatever it is.
    #[test]
    fn template_variables_are_masked(value in "[A-Za-z0-9@._~%+-]{1,40}") {
        prop_assume!(value != "." && value != ".." && !value.to_lowercase().starts_with("%2"));
        let policy = crate::template_policy("/calls/{who}/status");
        let shown = policy.target(format!("/calls/{value}/status").as_bytes());
        prop_assert_eq!(shown, "/calls/[REDACTED]/status");
    }
}

/// Ten times the length takes about ten times the steps: beyond the limits, nothing is even read.
#[test]
fn what_is_beyond_the_limits_costs_nothing() {
    let long = |count: usize| ["/sms?", &"From=%2B12025550123&".repeat(count)].concat();
    let shown = Policy::default().target(long(100_000).as_bytes());
    assert!(shown.len() < 20_000 && shown.ends_with("&[TRUNCATED]"), "{}", shown.len());
    assert_eq!(shown, Policy::default().target(long(1_000).as_bytes()));
}

#[test]
fn what_the_operator_allows_still_passes_the_guard() {
    let policy = policy(&json!({"allow_params": ["From", "To", "Body"]}));
    for value in
        ["%2B12025550123", "12025550123", "jane%40example.com", "Jane+Roe", "1961-02-03", "219-09-9999"]
    {
        let shown = policy.target(format!("/x?From={value}&To={value}&Body={value}").as_bytes());
        assert_eq!(shown, "/x?From=[REDACTED]&To=[REDACTED]&Body=[REDACTED]", "{value}");
    }
}
