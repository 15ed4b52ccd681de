//! A form body, parsed once: the pairs that are signed, in the order in which they are signed.
//!
//! Spec twilio-signature, section 2.2. Names and values are decoded into one buffer with each value directly after
//! its name, so that a pair feeds the MAC as one piece and no copy of the signed text is ever made.

use std::cmp::Ordering;
use std::ops::Range;

use crate::percent::{Plus, decode_into};
use crate::reject::Reject;

/// The distinct pairs of a form body in code-point order.
pub(super) struct Form {
    text: Vec<u8>,
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone)]
struct Pair {
    whole: Range<usize>,
    name_length: usize,
}

impl Form {
    /// Parses a body. Broken escapes, text that is not UTF-8 and more than `max_params` pairs are refused.
    pub(super) fn parse(body: &[u8], max_params: usize) -> Result<Self, Reject> {
        let mut text = Vec::with_capacity(body.len());
        let mut pairs = Vec::new();
        for segment in body.split(|&b| b == b'&').filter(|segment| !segment.is_empty()) {
            if pairs.len() == max_params {
                return Err(Reject::TooManyParams);
            }
            let mut halves = segment.splitn(2, |&b| b == b'=');
            let start = text.len();
            decode_component(halves.next().unwrap_or_default(), &mut text)?;
            let name_length = text.len().saturating_sub(start);
            decode_component(halves.next().unwrap_or_default(), &mut text)?;
            pairs.push(Pair { whole: start..text.len(), name_length });
        }
        let mut form = Self { text, pairs };
        form.sort();
        Ok(form)
    }

    /// Each distinct pair, name and value glued together, in the order in which it is signed.
    pub(super) fn signed_pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pairs.iter().map(|pair| self.whole(pair))
    }

    /// The number of signed bytes.
    pub(super) fn signed_length(&self) -> usize {
        self.pairs.iter().map(|pair| pair.whole.len()).sum()
    }

    /// Each distinct name and value.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|pair| self.halves(pair))
    }

    /// The distinct values of a name.
    pub(super) fn values(&self, name: &[u8]) -> impl Iterator<Item = &[u8]> {
        self.pairs().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The same pairs in the order of their UTF-16 code units, which is how some signers sort; `None` where it is
    /// the same order. The two differ only between characters beyond U+FFFF and those from U+E000 to U+FFFF.
    pub(super) fn in_utf16_order(&self) -> Option<Self> {
        let has_astral = self.text.iter().any(|&b| b >= 0xf0);
        let has_high_bmp = self.text.iter().any(|&b| matches!(b, 0xee | 0xef));
        if !(has_astral && has_high_bmp) {
            return None;
        }
        let mut pairs = self.pairs.clone();
        pairs.sort_by(|a, b| {
            let ((a_name, a_value), (b_name, b_value)) = (self.halves(a), self.halves(b));
            utf16_order(a_name, b_name).then_with(|| utf16_order(a_value, b_value))
        });
        let same = pairs.iter().zip(&self.pairs).all(|(a, b)| a.whole == b.whole);
        (!same).then(|| Self { text: self.text.clone(), pairs })
    }

    fn sort(&mut self) {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.sort_unstable_by(|a, b| self.halves(a).cmp(&self.halves(b)));
        pairs.dedup_by(|a, b| self.halves(a) == self.halves(b));
        self.pairs = pairs;
    }

    fn whole(&self, pair: &Pair) -> &[u8] {
        self.text.get(pair.whole.clone()).unwrap_or_default()
    }

    fn halves(&self, pair: &Pair) -> (&[u8], &[u8]) {
        self.whole(pair).split_at_checked(pair.name_length).unwrap_or_default()
    }
}

fn decode_component(source: &[u8], text: &mut Vec<u8>) -> Result<(), Reject> {
    let start = text.len();
    decode_into(source, Plus::Space, text).map_err(|_| Reject::MalformedBody)?;
    let decoded = text.get(start..).unwrap_or_default();
    std::str::from_utf8(decoded).map(|_| ()).map_err(|_| Reject::MalformedBody)
}

fn utf16_order(a: &[u8], b: &[u8]) -> Ordering {
    let units = |text| std::str::from_utf8(text).unwrap_or_default().encode_utf16();
    units(a).cmp(units(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(body: &str) -> String {
        let form = Form::parse(body.as_bytes(), 1000).expect("a valid form");
        let text = form.signed_pieces().collect::<Vec<_>>().concat();
        assert_eq!(text.len(), form.signed_length());
        String::from_utf8(text).expect("forms are UTF-8")
    }

    #[test]
    fn pairs_are_sorted_and_distinct() {
        // Spec section 2.4.
        assert_eq!(canonical("b=&a=2&a=1&a=2"), "a1a2b");
        assert_eq!(canonical("a=1&_=2&A=3&10=4&9=5"), "104".to_owned() + "95A3_2a1");
    }

    #[test]
    fn empty_segments_vanish_and_empty_names_stay() {
        assert_eq!(canonical("&&a=1&&=x&"), "xa1");
        assert_eq!(canonical("a"), "a");
        assert_eq!(canonical(""), "");
    }

    #[test]
    fn pairs_with_equal_text_and_other_split_are_distinct() {
        assert_eq!(canonical("ab=c&a=bc"), "abcabc");
    }

    #[test]
    fn decoding() {
        assert_eq!(canonical("Body=a+b%2Bc%26d;e&x[]=1"), "Bodya b+c&d;ex[]1");
    }

    #[test]
    fn malformed_bodies_are_refused() {
        for bad in ["a=%", "a=%zz", "%4=b", "a=%ff", "a=%c0%af", "a=%ed%a0%80", "%e2%28=%a1"] {
            assert_eq!(Form::parse(bad.as_bytes(), 10).err(), Some(Reject::MalformedBody), "{bad}");
        }
        assert_eq!(Form::parse(b"a=\xff", 10).err(), Some(Reject::MalformedBody));
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        assert!(Form::parse(b"a=1&b=2", 2).is_ok());
        assert_eq!(Form::parse(b"a=1&b=2&c=3", 2).err(), Some(Reject::TooManyParams));
        assert_eq!(
            Form::parse(b"a=1&a=1&a=1", 2).err(),
            Some(Reject::TooManyParams),
            "counted before merging"
        );
    }

    #[test]
    fn utf16_order_differs_only_where_it_must() {
        let differs = Form::parse("\u{1f600}=1&\u{ff5e}=2".as_bytes(), 10).expect("valid");
        let other = differs.in_utf16_order().expect("another order");
        assert_eq!(other.signed_pieces().collect::<Vec<_>>().concat(), "\u{1f600}1\u{ff5e}2".as_bytes());
        assert!(Form::parse("\u{1f600}=1&a=2".as_bytes(), 10).expect("valid").in_utf16_order().is_none());
        assert!(
            Form::parse("a=\u{ff5e}&b=\u{1f600}".as_bytes(), 10).expect("valid").in_utf16_order().is_none()
        );
    }
}
