//! The query of a target (spec phi-redaction, sections 3 and 4.1).

use super::Policy;
use super::pair;
use super::{TRUNCATED, join};
use crate::percent::Plus;

/// In bytes. Beyond it, whole pairs are cut: half a number could escape detection.
const LONGEST: usize = 8192;
const MOST_PAIRS: usize = 256;

/// What may be seen of a query; empty where nothing is left of it.
pub(super) fn redact(policy: &Policy, query: &[u8]) -> String {
    let (kept, is_cut) = cut(query);
    let mut pieces = kept.split(|&b| is_separator(b)).filter(|piece| !piece.is_empty());
    let mut out = String::with_capacity(kept.len());
    for piece in pieces.by_ref().take(MOST_PAIRS) {
        join(&mut out, '&', |out| pair::write(policy, piece, Plus::Space, out));
    }
    if is_cut || pieces.next().is_some() {
        join(&mut out, '&', |out| out.push_str(TRUNCATED));
    }
    out
}

const fn is_separator(b: u8) -> bool {
    matches!(b, b'&' | b';' | b'?')
}

/// The query up to its limit, and whether something is missing.
fn cut(query: &[u8]) -> (&[u8], bool) {
    let Some(head) = query.get(..=LONGEST).filter(|_| query.len() > LONGEST) else { return (query, false) };
    let end = head.iter().rposition(|&b| is_separator(b)).unwrap_or(0);
    (head.get(..end).unwrap_or_default(), true)
}
