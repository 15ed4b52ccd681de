//! Requests under SendGrid's scheme.

use crate::case::{Case, Keys, SENDGRID_SIGNATURE, SENDGRID_TIMESTAMP, Scheme, Signed};
use crate::der;
use crate::form;
use crate::peer::{Peer, latin1};
use crate::support::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use p256::ecdsa::SigningKey;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use serde_json::json;

const TIMESTAMP: &str = "1700555010";

/// A key on another curve, and its signature over the timestamp and a body.
pub struct Foreign {
    key: String,
    signature: String,
    body: Vec<u8>,
}

/// Such keys, made by the peer.
pub fn foreign_keys(rng: &mut Rng, peer: &mut Peer) -> Result<Vec<Foreign>> {
    let bodies: Vec<(&str, Vec<u8>)> = ["SECP256K1", "SECP384R1", "SECP521R1", "SECP224R1"]
        .into_iter()
        .flat_map(|curve| [curve; 8])
        .map(|curve| (curve, body(rng)))
        .collect();
    let questions: Vec<_> = bodies
        .iter()
        .map(|(curve, body)| {
            let message = latin1(&[TIMESTAMP.as_bytes(), body].concat());
            json!({"do": "sign", "curve": curve, "scalar": format!("{:032x}", rng.u128(1..)), "message": message})
        })
        .collect();
    peer.send(&questions)?;
    let answers: Vec<[String; 2]> = peer.receive(questions.len())?;
    let foreign = bodies.into_iter().zip(answers);
    Ok(foreign.map(|((_, body), [key, signature])| Foreign { key, signature, body }).collect())
}

/// A share of the run, a name, and what makes such a case.
type Kind = (u8, &'static str, fn(&Sender, &mut Rng) -> Case);

/// SendGrid, with some keys.
pub struct Sender {
    keys: Vec<SigningKey>,
    foreign: Vec<Foreign>,
}

impl Sender {
    pub fn new(rng: &mut Rng, foreign: Vec<Foreign>) -> Self {
        Self { keys: (0..4).map(|_| der::signing_key(rng)).collect(), foreign }
    }

    /// The next case.
    pub fn case(&self, rng: &mut Rng) -> Case {
        let kinds: &[Kind] = &[
            (25, "sendgrid", |sender, rng| sender.genuine(rng).0),
            (20, "sendgrid, tampered", Self::tampered),
            (16, "sendgrid, base64", Self::base64),
            (16, "sendgrid, der", Self::der),
            (14, "sendgrid, timestamp", Self::timestamp),
            (10, "sendgrid, key", Self::key),
            (8, "sendgrid, headers", Self::headers),
            (5, "sendgrid, other curve", Self::other_curve),
        ];
        let mut at = rng.u8(..kinds.iter().map(|(share, ..)| *share).sum::<u8>());
        for (share, kind, make) in kinds {
            if at < *share {
                return Case { kind, ..make(self, rng) };
            }
            at -= share;
        }
        unreachable!("the shares add up")
    }

    fn genuine(&self, rng: &mut Rng) -> (Case, &SigningKey) {
        let body = body(rng);
        self.signed(rng, TIMESTAMP, body)
    }

    /// A request with a signature over this timestamp and body, and the key that signed it.
    fn signed(&self, rng: &mut Rng, timestamp: &str, body: Vec<u8>) -> (Case, &SigningKey) {
        let key = &self.keys[rng.usize(..self.keys.len())];
        let (r, s) = der::sign(key, &[timestamp.as_bytes(), &body].concat());
        let public_key = STANDARD.encode(der::spki(key.verifying_key()));
        (request(public_key, &STANDARD.encode(der::encode(&r, &s)), timestamp, body), key)
    }

    fn tampered(&self, rng: &mut Rng) -> Case {
        let (mut case, _) = self.genuine(rng);
        match rng.u8(..6) {
            0..3 if !case.body.is_empty() => {
                let at = rng.usize(..case.body.len());
                case.body[at] ^= 1 << rng.u8(..8);
            }
            3 => case.body.push(b'\n'),
            4 => case.set(SENDGRID_TIMESTAMP, "1700555011"),
            _ => {
                let mut text = case.value(SENDGRID_SIGNATURE).expect("signed").to_vec();
                let at = rng.usize(..text.len());
                text[at] = b"AQz09+/=-_ ,\n"[rng.usize(..13)];
                case.set(SENDGRID_SIGNATURE, text);
            }
        }
        case
    }

    /// The same DER in another text.
    fn base64(&self, rng: &mut Rng) -> Case {
        let (mut case, _) = self.genuine(rng);
        let text = String::from_utf8_lossy(case.value(SENDGRID_SIGNATURE).expect("signed")).into_owned();
        let at = rng.usize(..=text.len());
        let spelled = match rng.u8(..10) {
            0 => text.trim_end_matches('=').to_owned(),
            1 => text.replace('+', "-").replace('/', "_"),
            2 => format!(
                "{}{}{}",
                &text[..at],
                [" ", "\t", "!", "-", "\r\n", "."][rng.usize(..6)],
                &text[at..]
            ),
            3 => format!(" {text}"),
            4 => format!("{text} "),
            5 => format!("{text}="),
            6 => format!("{text}AAAA"),
            7 | 8 => other_trailing_bits(&text),
            _ => text.to_ascii_uppercase(),
        };
        case.set(SENDGRID_SIGNATURE, spelled);
        case
    }

    fn der(&self, rng: &mut Rng) -> Case {
        let body = body(rng);
        let (mut case, key) = self.signed(rng, TIMESTAMP, body.clone());
        let (r, s) = der::sign(key, &[TIMESTAMP.as_bytes(), &body].concat());
        case.set(SENDGRID_SIGNATURE, STANDARD.encode(der::hostile(rng, &r, &s).1));
        case
    }

    /// Signed over a timestamp of another shape, or with bytes moved between it and the body.
    fn timestamp(&self, rng: &mut Rng) -> Case {
        const SHAPES: &[&str] = &[
            "",
            "170055501",
            "17005550100",
            "0",
            "+170055501",
            "-170055501",
            "1700555.10",
            "17005550 1",
            "0x65d0f8",
            "abcdefghij",
            "1e9",
        ];
        let body = body(rng);
        let shape = SHAPES[rng.usize(..SHAPES.len())];
        match rng.u8(..4) {
            0 | 1 => self.signed(rng, shape, body).0,
            2 => {
                let (mut case, _) = self.signed(rng, TIMESTAMP, body);
                let whole = [TIMESTAMP.as_bytes(), &case.body].concat();
                let split = rng.usize(..=whole.len().min(16));
                case.set(SENDGRID_TIMESTAMP, &whole[..split]);
                case.body = whole[split..].to_vec();
                case
            }
            _ => {
                let (mut case, _) = self.signed(rng, TIMESTAMP, body);
                case.set(
                    SENDGRID_TIMESTAMP,
                    [" 1700555010", "1700555010 ", "\u{661}700555010"][rng.usize(..3)],
                );
                case
            }
        }
    }

    /// The signer's key in another text, or another key.
    fn key(&self, rng: &mut Rng) -> Case {
        let (mut case, key) = self.genuine(rng);
        let der = der::spki(key.verifying_key());
        let text = STANDARD.encode(&der);
        case.keys.public_key = match rng.u8(..9) {
            0 => STANDARD.encode(der::spki(self.keys[rng.usize(..self.keys.len())].verifying_key())),
            1 => format!("{}\n{}", &text[..64], &text[64..]),
            2 => format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"),
            3 => compressed(&der, key),
            4 => STANDARD.encode([&der[..], b"\0"].concat()),
            5 => {
                let mut off_curve = der;
                off_curve[90] ^= 1;
                STANDARD.encode(off_curve)
            }
            6 => format!("{text}\n"),
            7 => STANDARD.encode(&der[26..]),
            _ => text.trim_end_matches('=').to_owned(),
        };
        case
    }

    fn headers(&self, rng: &mut Rng) -> Case {
        let (mut case, _) = self.genuine(rng);
        let signature = case.value(SENDGRID_SIGNATURE).expect("signed").to_vec();
        match rng.u8(..7) {
            0 => case.headers.push((SENDGRID_SIGNATURE, signature)),
            1 => case.headers.push((SENDGRID_SIGNATURE, b"AAAA".to_vec())),
            2 => case.headers.push((SENDGRID_TIMESTAMP, TIMESTAMP.into())),
            3 => case.headers.retain(|(name, _)| *name != SENDGRID_SIGNATURE),
            4 => case.headers.retain(|(name, _)| *name != SENDGRID_TIMESTAMP),
            5 => case.set(SENDGRID_SIGNATURE, ""),
            _ => case.method = ["GET", "PUT"][rng.usize(..2)].to_owned(),
        }
        case
    }

    fn other_curve(&self, rng: &mut Rng) -> Case {
        let Foreign { key, signature, body } = &self.foreign[rng.usize(..self.foreign.len())];
        request(key.clone(), signature, TIMESTAMP, body.clone())
    }
}

fn request(public_key: String, signature: &str, timestamp: &str, body: Vec<u8>) -> Case {
    Case {
        kind: "",
        scheme: Scheme::Sendgrid,
        public_url: "https://hooks.example.org".to_owned(),
        authority: "hooks.example.org".to_owned(),
        method: "POST".to_owned(),
        target: b"/sendgrid/events".to_vec(),
        headers: vec![(SENDGRID_SIGNATURE, signature.into()), (SENDGRID_TIMESTAMP, timestamp.into())],
        body,
        keys: Keys { public_key, ..Keys::default() },
        signed: Signed::default(),
    }
}

fn body(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..14) {
        0 => Vec::new(),
        1 => b"--x\r\ncontent-type: image/png\r\n\r\n\x89PNG\xff\xfe\r\n--x--\r\n".to_vec(),
        _ => format!("[{}]\r\n", json!({"event": "delivered", "reason": form::text(rng, 5)})).into(),
    }
}

/// Base64 whose last digit has bits that no byte takes, where there are such bits.
fn other_trailing_bits(text: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=');
    let last = digits.chars().last().and_then(|last| ALPHABET.find(last)).expect("base64");
    let other = if digits.len() == text.len() { last } else { last ^ 1 };
    format!("{}{}{}", &digits[..digits.len() - 1], &ALPHABET[other..=other], &text[digits.len()..])
}

/// The key with its point in compressed form.
fn compressed(der: &[u8], key: &SigningKey) -> String {
    let point = key.verifying_key().as_affine().to_sec1_point(true);
    let mut short = der[..26].to_vec();
    // The lengths of the whole and of the bit string.
    short[1] = 0x39;
    short[24] = 0x22;
    short.extend_from_slice(point.as_bytes());
    STANDARD.encode(short)
}
