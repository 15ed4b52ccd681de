//! Signatures whose encoding is hostile, and valid ones at the edges of what is valid.

use crate::peer::latin1;
use crate::tally::Class;
use fastrand::Rng;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{RecoveryId, Signature as Ecdsa, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePublicKey as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt;
use twilio_guard::native::NativeVerifier;
use twilio_guard::p256::{PublicKey, Signature, Verifier as _};

/// No class: the strict parser refuses nothing that `cryptography` accepts, and lets nothing more through.
pub const CLASSES: &[Class<Case>] = &[];

/// A number of the size of the group's order, big endian.
pub type Number = [u8; 32];

/// The order of the group, and the field's prime (FIPS 186-4, D.1.2.3).
const ORDER: Number = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const PRIME: Number = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
];

/// A signature, and what it is said to sign.
pub struct Case {
    pub kind: &'static str,
    key: Vec<u8>,
    signature: Vec<u8>,
    message: Vec<u8>,
}

impl Case {
    /// The case for the peer: `ecdsa` for the whole verdict, `encoding` for that on the signature's form alone.
    pub fn question(&self, verdict: &str) -> Value {
        json!({
            "do": verdict,
            "key": latin1(&self.key),
            "signature": latin1(&self.signature),
            "message": latin1(&self.message),
        })
    }

    /// Our verdict: the strict parser, then the native verifier.
    pub fn judge(&self) -> &'static str {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.key);
        let key = PublicKey::from_base64(&text).expect("the keys are well-formed");
        let Some(signature) = Signature::from_der(&self.signature) else { return "malformed" };
        match NativeVerifier.verify(&key, &signature, [&self.message, b""]) {
            Ok(true) => "accepts",
            Ok(false) => "mismatch",
            Err(_) => "unavailable",
        }
    }

    /// The verdict of our strict parser alone.
    pub fn judge_encoding(&self) -> &'static str {
        if Signature::from_der(&self.signature).is_some() { "accepts" } else { "malformed" }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (key, signature, message) = (hex(&self.key), hex(&self.signature), hex(&self.message));
        write!(f, "{}: key {key}, signature {signature}, message {message}", self.kind)
    }
}

/// Keys of this run.
pub struct Signers(Vec<SigningKey>);

impl Signers {
    pub fn new(rng: &mut Rng) -> Self {
        Self((0..4).map(|_| signing_key(rng)).collect())
    }

    pub fn case(&self, rng: &mut Rng) -> Case {
        let message: Vec<u8> = (0..rng.usize(..60)).map(|_| rng.u8(..)).collect();
        let key = &self.0[rng.usize(..self.0.len())];
        let (r, s) = sign(key, &message);
        let own = spki(key.verifying_key());
        if rng.u8(..6) == 0 {
            let (kind, key, r, s) = edge(rng, &message);
            return Case { kind, key, signature: encode(&r, &s), message };
        }
        let (kind, signature) = hostile(rng, &r, &s);
        Case { kind, key: own, signature, message }
    }
}

pub fn signing_key(rng: &mut Rng) -> SigningKey {
    loop {
        let scalar: Number = std::array::from_fn(|_| rng.u8(..));
        if let Ok(key) = SigningKey::from_slice(&scalar) {
            return key;
        }
    }
}

/// The two numbers of a signature over the SHA-256 of a message.
pub fn sign(key: &SigningKey, message: &[u8]) -> (Number, Number) {
    let signature: Ecdsa = key.sign_prehash(&Sha256::digest(message)).expect("a hash of the right length");
    let (r, s) = signature.split_bytes();
    (r.into(), s.into())
}

pub fn spki(key: &VerifyingKey) -> Vec<u8> {
    key.to_public_key_der().expect("a public key").into_vec()
}

/// A valid signature whose numbers are short, at an end of their range, or whose point has an x beyond the order. Its
/// key is the one that such a signature belongs to.
fn edge(rng: &mut Rng, message: &[u8]) -> (&'static str, Vec<u8>, Number, Number) {
    let prehash = Sha256::digest(message);
    loop {
        let number = |rng: &mut Rng| -> Number {
            let zeros = [0, 1, 2, 16, 24, 31][rng.usize(..6)];
            let mut number: Number = std::array::from_fn(|at| if at < zeros { 0 } else { rng.u8(..) });
            match rng.u8(..8) {
                0 => number[zeros] |= 0x80,
                1 => number = minus(&ORDER, &small(1 + rng.u8(..3))),
                2 => number = small(1 + rng.u8(..3)),
                _ => {}
            }
            number
        };
        let (mut r, s) = (number(rng), number(rng));
        let is_x_reduced = rng.u8(..3) == 0;
        if is_x_reduced {
            // Only numbers below the prime less the order, which has 127 bits, are such an x.
            r[..17].fill(0);
        }
        let Ok(signature) = Ecdsa::from_scalars(r, s) else { continue };
        let id = RecoveryId::new(rng.bool(), is_x_reduced);
        if let Ok(key) = VerifyingKey::recover_from_prehash(&prehash, &signature, id) {
            let kind = if is_x_reduced { "valid, x beyond the order" } else { "valid, edge of a range" };
            return (kind, spki(&key), r, s);
        }
    }
}

/// One of the ways to write a valid signature wrongly; some leave it valid.
pub fn hostile(rng: &mut Rng, r: &Number, s: &Number) -> (&'static str, Vec<u8>) {
    let good = encode(r, s);
    let at = rng.usize(..good.len());
    let (r_int, s_int) = (integer(&minimal(r)), integer(&minimal(s)));
    let sequence = |items: &[&[u8]]| element(0x30, &items.concat());
    match rng.u8(..28) {
        0..4 => ("valid", good),
        4 => ("valid, n-s", encode(r, &minus(&ORDER, s))),
        5 => ("r and s swapped", encode(s, r)),
        6 => ("bit flipped", changed(&good, |der| der[at] ^= 1 << rng.u8(..8))),
        7 => ("byte inserted", changed(&good, |der| der.insert(at, rng.u8(..)))),
        8 => (
            "byte removed",
            changed(&good, |der| {
                der.remove(at);
            }),
        ),
        9 => ("truncated", good[..at].to_vec()),
        10 => ("bytes after the end", [&good[..], &[0, 0x30, rng.u8(..)][..rng.usize(1..=3)]].concat()),
        11 => {
            ("element added inside", sequence(&[&r_int, &s_int, [&[5, 0][..], &[2, 1, 0]][rng.usize(..2)]]))
        }
        12 => {
            let lead = if rng.bool() { r_int[2..].to_vec() } else { Vec::new() };
            (
                "integer missing",
                if lead.is_empty() { sequence(&[&r_int]) } else { sequence(&[&lead, &s_int]) },
            )
        }
        13 => {
            let padded = |number: &Number| integer(&[&[0][..], &minimal(number)].concat());
            let other = if rng.bool() { padded(s) } else { s_int };
            ("integer not minimal", sequence(&[&padded(r), &other]))
        }
        14 => {
            ("integer negative", sequence(&[&integer(&changed(&minimal(r), |der| der[0] |= 0x80)), &s_int]))
        }
        15 => {
            let unsigned = |number: &Number| {
                integer(&number.iter().copied().skip_while(|&b| b == 0).collect::<Vec<u8>>())
            };
            ("integer without its sign byte", sequence(&[&unsigned(r), &unsigned(s)]))
        }
        16 => (
            "integer zero",
            if rng.bool() {
                sequence(&[&integer(&[0]), &s_int])
            } else {
                sequence(&[&r_int, &integer(&[0])])
            },
        ),
        17 => (
            "integer empty",
            if rng.bool() { sequence(&[&integer(&[]), &s_int]) } else { sequence(&[&r_int, &integer(&[])]) },
        ),
        18 => {
            let modulus = if rng.bool() { &ORDER } else { &PRIME };
            let large = |number: &Number| integer(&plus(number, modulus));
            (
                "integer plus a modulus",
                if rng.bool() { sequence(&[&large(r), &s_int]) } else { sequence(&[&r_int, &large(s)]) },
            )
        }
        19 => {
            let limit = [ORDER, PRIME, minus(&ORDER, &small(1)), small(1)][rng.usize(..4)];
            ("integer at a limit", if rng.bool() { encode(&limit, s) } else { encode(r, &limit) })
        }
        20 => {
            let long = |element: &[u8]| [&[element[0], 0x81], &element[1..]].concat();
            let (r_int, s_int, outer) = match rng.u8(..3) {
                0 => (long(&r_int), s_int, false),
                1 => (r_int, long(&s_int), false),
                _ => (r_int, s_int, true),
            };
            let whole = sequence(&[&r_int, &s_int]);
            ("length in long form", if outer { long(&whole) } else { whole })
        }
        21 => ("length indefinite", [&[0x30, 0x80][..], &r_int, &s_int, &[0, 0]].concat()),
        22 => (
            "length overflowing",
            changed(&good, |der| drop(der.splice(1..2, [0x84, 0xff, 0xff, 0xff, 0xff]))),
        ),
        23 => (
            "tag changed",
            changed(&good, |der| {
                der[[0, 2, 4 + usize::from(good[3])][rng.usize(..3)]] =
                    [0x02, 0x03, 0x04, 0x0a, 0x10, 0x31, 0xb0][rng.usize(..7)]
            }),
        ),
        24 => ("nested", element(0x30, &good)),
        25 => ("raw r and s", [r.as_slice(), s].concat()),
        26 => ("huge integer", sequence(&[&integer(&vec![0x7f; rng.usize(33..60)]), &s_int])),
        _ => ("random bytes", (0..rng.usize(..80)).map(|_| rng.u8(..)).collect()),
    }
}

/// The DER of a signature.
pub fn encode(r: &Number, s: &Number) -> Vec<u8> {
    element(0x30, &[integer(&minimal(r)), integer(&minimal(s))].concat())
}

fn minimal(number: &Number) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|&byte| byte == 0).collect();
    if digits.first().is_none_or(|&first| first >= 0x80) {
        [&[0], digits.as_slice()].concat()
    } else {
        digits
    }
}

fn integer(content: &[u8]) -> Vec<u8> {
    element(0x02, content)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short element");
    let length: &[u8] = if length < 0x80 { &[length] } else { &[0x81, length] };
    [&[tag], length, content].concat()
}

fn changed(der: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut der = der.to_vec();
    change(&mut der);
    der
}

fn small(number: u8) -> Number {
    std::array::from_fn(|at| if at == 31 { number } else { 0 })
}

fn minus(a: &Number, b: &Number) -> Number {
    let mut difference = *a;
    let mut borrow = false;
    for at in (0..32).rev() {
        let (digit, first) = a[at].overflowing_sub(b[at]);
        let (digit, second) = digit.overflowing_sub(u8::from(borrow));
        difference[at] = digit;
        borrow = first || second;
    }
    difference
}

/// The sum as the content of an integer: a leading byte for the carry, or for the sign.
fn plus(a: &Number, b: &Number) -> Vec<u8> {
    let mut sum = [0; 33];
    let mut carry = 0u16;
    for at in (0..32).rev() {
        carry += u16::from(a[at]) + u16::from(b[at]);
        sum[at + 1] = u8::try_from(carry & 0xff).expect("a byte");
        carry >>= 8;
    }
    sum[0] = u8::try_from(carry).expect("one bit");
    if sum[0] == 0 && sum[1] < 0x80 { sum[1..].to_vec() } else { sum.to_vec() }
}
