//! What happens to a request after it was signed.

use crate::case::{Case, FORM, SIGNATURE};
use fastrand::Rng;

/// One change, mostly of a single byte.
pub fn tamper(rng: &mut Rng, case: &mut Case) {
    match rng.u8(..16) {
        0..4 => one_byte(rng, &mut case.target),
        4..8 => one_byte(rng, &mut case.body),
        8..11 => {
            if let Some((_, value)) = case.headers.iter_mut().find(|(name, _)| *name == SIGNATURE) {
                one_byte(rng, value);
            }
        }
        11 => {
            let mut token = case.keys.tokens[0].clone().into_bytes();
            one_byte(rng, &mut token);
            case.keys.tokens[0] = String::from_utf8_lossy(&token).into_owned();
        }
        12 => case.method = (if case.method == "GET" { "POST" } else { "GET" }).to_owned(),
        13 => case.body.extend_from_slice(b"&x=1"),
        14 => case.set("content-type", [FORM, "application/json", "text/plain"][rng.usize(..3)]),
        _ => {
            // A pair that is there already changes nothing that is signed.
            let first = case.body.split(|&b| b == b'&').next().unwrap_or_default().to_vec();
            case.body.extend_from_slice(&[b"&", first.as_slice()].concat());
        }
    }
}

fn one_byte(rng: &mut Rng, text: &mut Vec<u8>) {
    const TELLING: &[u8] = b"\0\t\n #%&+;=?/'~\x80\xff[]@:";
    let byte = if rng.bool() { TELLING[rng.usize(..TELLING.len())] } else { rng.u8(..) };
    let at = rng.usize(..=text.len());
    match rng.u8(..4) {
        0 => text.insert(at, byte),
        1 if at < text.len() => drop(text.remove(at)),
        2 if at < text.len() => text[at] ^= 1 << rng.u8(..8),
        _ if at < text.len() => text[at] = byte,
        _ => text.push(byte),
    }
}
