//! Random parameters, their many encodings, and the text that a signer makes of them.

use fastrand::Rng;
use std::collections::BTreeSet;

pub type Params = Vec<(String, String)>;

/// Pieces of names and values: plain, reserved in forms and URLs, control characters, text whose case, composition or
/// order is a trap, and text that looks encoded.
const PIECES: &[&str] = &[
    "a",
    "b",
    "Z",
    "_",
    "0",
    "9",
    "10",
    "hello",
    " ",
    "  ",
    "+",
    "%",
    "&",
    "=",
    ";",
    "[",
    "]",
    ".",
    "/",
    "?",
    "#",
    "'",
    "\"",
    "\\",
    "<",
    "\0",
    "\r\n",
    "\t",
    "\u{7f}",
    "é",
    "e\u{301}",
    "ß",
    "İ",
    "ı",
    "日本",
    "\u{1f600}",
    "\u{10ffff}",
    "\u{e000}",
    "\u{ff5e}",
    "\u{fffd}",
    "\u{feff}",
    "\u{200f}",
    "%41",
    "%zz",
    "bodySHA256",
];

/// Names that sort in an unexpected order, repeat, nest, or are prefixes of each other.
const NAMES: &[&str] =
    &["Body", "From", "To", "MessageSid", "a", "ab", "A", "_", "10", "9", "x[]", "x[a]", "a.b", "a b", ""];

/// A text of up to `most` pieces.
pub fn text(rng: &mut Rng, most: usize) -> String {
    (0..rng.usize(..=most)).map(|_| PIECES[rng.usize(..PIECES.len())]).collect()
}

/// Up to `most` parameters.
pub fn params(rng: &mut Rng, most: usize) -> Params {
    let mut params: Params = Vec::new();
    for _ in 0..rng.usize(..=most) {
        let name = match rng.u8(..10) {
            0..6 => NAMES[rng.usize(..NAMES.len())].to_owned(),
            6 if !params.is_empty() => params[rng.usize(..params.len())].0.clone(),
            _ => text(rng, 3),
        };
        params.push((name, text(rng, 4)));
    }
    params
}

/// The distinct pairs, sorted by code point, names and values glued together.
pub fn canonical(params: &[(String, String)]) -> String {
    params.iter().collect::<BTreeSet<_>>().into_iter().map(|(name, value)| format!("{name}{value}")).collect()
}

/// The same, sorted by UTF-16 code unit.
pub fn canonical_utf16(params: &[(String, String)]) -> String {
    let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
    let mut params: Vec<_> = params.iter().collect::<BTreeSet<_>>().into_iter().collect();
    params.sort_by_key(|(name, value)| (units(name), units(value)));
    params.into_iter().map(|(name, value)| format!("{name}{value}")).collect()
}

/// One of the spellings of a form: pairs shuffled and repeated, escapes in both cases or where none are needed, raw
/// UTF-8, empty segments, `=` left out.
pub fn encode(rng: &mut Rng, params: &[(String, String)]) -> Vec<u8> {
    let is_tidy = rng.bool();
    let mut pairs: Params = params.to_vec();
    if !is_tidy {
        rng.shuffle(&mut pairs);
        if !pairs.is_empty() && rng.u8(..3) == 0 {
            pairs.push(pairs[rng.usize(..pairs.len())].clone());
        }
    }
    let mut body = Vec::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            body.push(b'&');
        }
        if !is_tidy && rng.u8(..10) == 0 {
            body.push(b'&');
        }
        encode_text(rng, name, is_tidy, &mut body);
        // A bare `&&` would be no pair at all, which is the same to the signer.
        if is_tidy || !value.is_empty() || rng.bool() {
            body.push(b'=');
        }
        encode_text(rng, value, is_tidy, &mut body);
    }
    body
}

fn encode_text(rng: &mut Rng, text: &str, is_tidy: bool, out: &mut Vec<u8>) {
    let mut bytes = [0; 4];
    for character in text.chars() {
        let is_plain = character.is_ascii_alphanumeric() || "*-._".contains(character);
        let can_be_raw = is_plain || (!is_tidy && !"&=+% ".contains(character));
        let is_raw = can_be_raw && (is_plain || rng.bool()) && (is_tidy || rng.u8(..12) > 0);
        // The bytes of one character are written alike, but for a rare one.
        let is_mixed = !is_tidy && !character.is_ascii() && rng.u8(..150) == 0;
        if character == ' ' && (is_tidy || rng.bool()) {
            out.push(b'+');
            continue;
        }
        for byte in character.encode_utf8(&mut bytes).bytes() {
            if is_raw != (is_mixed && rng.bool()) {
                out.push(byte);
            } else {
                let escape =
                    if is_tidy || rng.bool() { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                out.extend_from_slice(escape.as_bytes());
            }
        }
    }
}

/// A form body with something in it that cannot be decoded, and the parameters that a lenient decoder reads.
pub fn broken(rng: &mut Rng) -> (Vec<u8>, Params) {
    const BROKEN: &[(&str, &str)] = &[
        ("%", "%"),
        ("%4", "%4"),
        ("%zz", "%zz"),
        ("%%41", "%A"),
        ("%u0041", "%u0041"),
        ("%ff", "\u{fffd}"),
        ("%c0%af", "\u{fffd}\u{fffd}"),
        ("%ed%a0%80", "\u{fffd}\u{fffd}\u{fffd}"),
        ("%e2%28", "\u{fffd}("),
        ("\u{80}", "\u{fffd}"),
    ];
    let mut params = params(rng, 4);
    let mut body = encode(rng, &params);
    let (written, read) = BROKEN[rng.usize(..BROKEN.len())];
    let (name, value) = if rng.bool() { ("q", written) } else { (written, "q") };
    // The marker U+0080 stands for that byte alone.
    let pair: Vec<u8> = format!("&{name}={value}").chars().flat_map(|c| u8::try_from(c).ok()).collect();
    body.extend_from_slice(&pair);
    let decoded = |text: &str| if text == written { read.to_owned() } else { text.to_owned() };
    params.push((decoded(name), decoded(value)));
    (body, params)
}
