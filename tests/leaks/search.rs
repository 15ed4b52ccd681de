//! Finds markers in whatever was written, in every spelling that a sink may give them.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::marker::Marker;
use crate::support::Result;

/// How much of a word is enough: a value that was cut must not escape.
const WINDOW: usize = 8;

/// How often text is percent-decoded: a sink may have encoded what had been encoded before.
const ROUNDS: usize = 4;

/// Searches for all markers at once.
pub struct Finder {
    /// In any letter case: the marker itself, each window of a word, and its hexadecimal form.
    plain: AhoCorasick,
    plain_owners: Vec<usize>,
    /// As written: base64, which depends on where the marker begins in the encoded text.
    base64: AhoCorasick,
    base64_owners: Vec<usize>,
}

impl Finder {
    /// For these markers, which are then named by their position.
    pub fn new(markers: &[Marker]) -> Result<Self> {
        let needles: BTreeSet<_> = markers.iter().map(|marker| &marker.needle).collect();
        assert_eq!(needles.len(), markers.len(), "two markers are equal");
        let (mut plain, mut base64) = (Vec::new(), Vec::new());
        for (owner, marker) in markers.iter().enumerate() {
            let needle = marker.needle.as_bytes();
            plain.push((needle.to_vec(), owner));
            plain.push((needle.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect(), owner));
            if needle.iter().all(u8::is_ascii_alphabetic) {
                plain.extend(needle.windows(WINDOW).map(|window| (window.to_vec(), owner)));
            }
            base64.extend((0..3).map(|offset| (encoded_at(needle, offset), owner)));
        }
        let (plain, plain_owners): (Vec<_>, _) = plain.into_iter().unzip();
        let (base64, base64_owners): (Vec<_>, _) = base64.into_iter().unzip();
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard);
        Ok(Self {
            base64: builder.build(base64)?,
            base64_owners,
            plain: builder.ascii_case_insensitive(true).build(plain)?,
            plain_owners,
        })
    }

    /// The markers that occur in this output, raw, decoded or encoded.
    pub fn find(&self, output: &[u8]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for text in spellings(output) {
            let plain = self.plain.find_overlapping_iter(&text);
            found.extend(plain.map(|hit| self.plain_owners[hit.pattern().as_usize()]));
            let base64 = self.base64.find_overlapping_iter(&text);
            found.extend(base64.map(|hit| self.base64_owners[hit.pattern().as_usize()]));
        }
        found
    }
}

/// The part of a base64 text that a needle alone decides when so many bytes (modulo three) stand before it.
fn encoded_at(needle: &[u8], offset: usize) -> Vec<u8> {
    let text = STANDARD_NO_PAD.encode([&b"\0\0"[..offset], needle].concat()).into_bytes();
    let first = (offset * 8).div_ceil(6);
    let last = (offset + needle.len()) * 8 / 6;
    text[first..last].to_vec()
}

/// The output itself; the same with JSON's escapes resolved; and all that repeated percent-decoding makes of these.
fn spellings(output: &[u8]) -> Vec<Vec<u8>> {
    let mut all = vec![output.to_vec()];
    let unescaped = json_unescaped(output);
    if unescaped != output {
        all.push(unescaped);
    }
    for start in 0..all.len() {
        let mut text = all[start].clone();
        for _ in 0..ROUNDS {
            let decoded: Vec<u8> = percent_encoding::percent_decode(&text).collect();
            if decoded == text {
                break;
            }
            all.push(decoded.clone());
            text = decoded;
        }
    }
    all
}

/// `\u002b` and `\/` as JSON writers put them, anywhere in a text that is no JSON as a whole.
fn json_unescaped(output: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(output.len());
    let mut rest = output;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.first()) {
            (b'\\', Some(b'u')) if after.len() > 4 => {
                let digits = str::from_utf8(&after[1..5]).unwrap_or_default();
                match u8::from_str_radix(digits, 16) {
                    Ok(character) => {
                        text.push(character);
                        rest = &after[5..];
                    }
                    Err(_) => text.push(byte),
                }
            }
            (b'\\', Some(_)) => {}
            _ => text.push(byte),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{Planter, escaped};

    fn markers() -> Vec<Marker> {
        let mut planter = Planter::new("the searcher");
        planter.word("a word");
        planter.phone("a phone number");
        planter.finish()
    }

    /// Every spelling in which a sink could print a marker is one that the search finds, so that finding nothing
    /// means something.
    #[test]
    fn every_spelling_is_found() -> Result<()> {
        let markers = markers();
        let finder = Finder::new(&markers)?;
        for (index, marker) in markers.iter().enumerate() {
            let needle = &marker.needle;
            let json: String = needle.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
            let hexadecimal: String = needle.bytes().map(|byte| format!("{byte:02X}")).collect();
            let mut spellings = vec![
                needle.clone(),
                needle.to_uppercase(),
                format!("/a?b=%2B{needle}&c"),
                escaped(needle, 1),
                escaped(needle, 2).to_lowercase(),
                escaped(needle, 3),
                json,
                hexadecimal,
            ];
            for before in ["", "a", "ab", "abc"] {
                spellings.push(STANDARD_NO_PAD.encode(format!("{before}{needle} and more")));
                spellings.push(STANDARD_NO_PAD.encode(format!("{before}{needle}")));
            }
            for spelling in spellings {
                let output = format!("before {spelling} after");
                assert_eq!(finder.find(output.as_bytes()), BTreeSet::from([index]), "{output}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_cut_word_is_found() -> Result<()> {
        let markers = markers();
        let finder = Finder::new(&markers)?;
        for part in markers[0].needle.as_bytes().windows(WINDOW) {
            assert_eq!(finder.find(part), BTreeSet::from([0]), "{part:?}");
        }
        Ok(())
    }

    #[test]
    fn what_is_not_a_marker_is_not_found() -> Result<()> {
        let finder = Finder::new(&markers())?;
        for output in ["", "[REDACTED]", "GET /sms?From=[REDACTED]&Body=%zz%2", "\\u00", "\\", "%"] {
            assert_eq!(finder.find(output.as_bytes()), BTreeSet::new(), "{output}");
        }
        Ok(())
    }
}
