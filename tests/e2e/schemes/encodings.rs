//! Signatures in hostile encodings: the host's arithmetic and the `p256` crate come to the same verdict, whatever is sent.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use p256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::guarded::{Guarded, assert_vm_alive};
use crate::support::Result;
use crate::support::client::{Client, Protocol};
use crate::support::http::Request;
use crate::support::sendgrid::{SIGNATURE, Sendgrid, TIMESTAMP, encode, public_key};

use super::vectors::{native_plan, native_verdict};
use super::{mail, sendgrid_plugin};

/// How many signatures are sent over one connection of each protocol.
const CASES: usize = 400;

/// When everything here was signed: always then, so that each run is like the other. What is verified is stale by now.
const TIME: &str = "1700555010";

/// What the extreme signatures sign.
const EXTREME: &str = "extreme";

/// The order of the group (FIPS 186-4, D.1.2.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A number of one byte.
fn small(number: u8) -> [u8; 32] {
    std::array::from_fn(|at| if at == 31 { number } else { 0 })
}

/// The order less that much.
fn below_order(distance: u8) -> [u8; 32] {
    let mut number = ORDER;
    number[31] -= distance;
    number
}

/// Signatures of extreme numbers, among them points whose x is beyond the order. Each is valid under the key that it
/// yields, for the fixed time and this body.
fn extremes() -> Vec<(Signature, VerifyingKey)> {
    let hash = Sha256::new().chain_update(TIME).chain_update(EXTREME).finalize();
    let first = |r: &dyn Fn(u8) -> [u8; 32], s: [u8; 32], is_x_reduced: bool| {
        // Not every number is the x of a point.
        (1..).find_map(|number| {
            let signature = Signature::from_scalars(r(number), s).expect("in range");
            let id = RecoveryId::new(s[31].is_multiple_of(2), is_x_reduced);
            let key = VerifyingKey::recover_from_prehash(&hash, &signature, id).ok()?;
            Some((signature, key))
        })
    };
    let mut found = vec![first(&below_order, small(1), false), first(&below_order, below_order(1), false)];
    for is_x_reduced in [false, true] {
        for s in [small(1), small(2), below_order(1)] {
            found.push(first(&small, s, is_x_reduced));
        }
    }
    found.into_iter().map(|found| found.expect("one of them is a point")).collect()
}

/// A post with a signature of a hostile encoding; some leave it valid.
fn hostile(rng: &mut Rng) -> (&'static str, Request) {
    let body: String = (0..rng.usize(1..60)).map(|_| rng.alphanumeric()).collect();
    let sender = Sendgrid::genuine();
    let good = sender.sign(TIME, body.as_bytes());
    let der = good.to_der().as_bytes().to_vec();
    let at = rng.usize(..der.len());
    let s_at = 4 + usize::from(der[3]);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut der = der.clone();
        change(&mut der);
        der
    };
    // The outer length follows, so that only the change itself is wrong.
    let resized = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut der = changed(change);
        der[1] = u8::try_from(der.len() - 2).expect("a short signature");
        der
    };
    let (r, s) = good.split_scalars();
    let byte = rng.u8(..);
    let (kind, bytes) = match rng.u8(..17) {
        0 | 1 => ("valid", der),
        2 => ("valid, n-s", Signature::from_scalars(r, -*s).expect("in range").to_der().as_bytes().to_vec()),
        3 => ("swapped", Signature::from_scalars(s, r).expect("in range").to_der().as_bytes().to_vec()),
        4 => {
            let number = |rng: &mut Rng| std::array::from_fn::<u8, 32, _>(|_| rng.u8(..0xf0));
            let random = Signature::from_scalars(number(rng), number(rng)).expect("in range");
            ("random numbers", random.to_der().as_bytes().to_vec())
        }
        5 => ("a bit flipped", changed(&|der| der[at] ^= 1 << (byte % 8))),
        6 => ("a byte inserted", changed(&|der| der.insert(at, byte))),
        7 => ("a byte inserted, length adapted", resized(&|der| der.insert(at.max(2), byte))),
        8 => (
            "a byte removed",
            changed(&|der| {
                der.remove(at);
            }),
        ),
        9 => ("truncated", der[..at].to_vec()),
        10 => ("bytes after the end", [&der[..], &[byte, 0][..rng.usize(1..=2)]].concat()),
        11 => {
            let padded = resized(&|der| {
                der.insert(4, 0);
                der[3] += 1;
            });
            ("r not minimal", padded)
        }
        12 => {
            let padded = resized(&|der| {
                der.insert(s_at + 2, 0);
                der[s_at + 1] += 1;
            });
            ("s not minimal", padded)
        }
        13 => {
            let long = resized(&|der| der.insert(3, 0x81));
            ("a length in long form", long)
        }
        14 => {
            let limit = [vec![0], ORDER.to_vec()].concat();
            let limit = [vec![1], vec![0], limit][rng.usize(..3)].clone();
            let integer = [vec![2, u8::try_from(limit.len()).expect("short")], limit].concat();
            let content = if rng.bool() {
                [&integer, &der[s_at..]].concat()
            } else {
                [&der[2..s_at], &integer].concat()
            };
            let length = u8::try_from(content.len()).expect("short");
            ("a number at a limit", [vec![0x30, length], content].concat())
        }
        15 => ("raw numbers", good.to_bytes().to_vec()),
        _ => ("random bytes", (0..rng.usize(..80)).map(|_| rng.u8(..)).collect()),
    };
    let mut text = STANDARD.encode(bytes);
    let kind = match rng.u8(..24) {
        0 => {
            text = text.trim_end_matches('=').to_owned();
            "base64 without padding"
        }
        1 => {
            text = text.replace('+', "-").replace('/', "_");
            "base64 for URLs"
        }
        2 => {
            text.insert(text.len() / 2, ' ');
            "a blank in base64"
        }
        _ => kind,
    };
    let request = Request::post("/mail", "application/json", body);
    (kind, request.header(SIGNATURE, text).header(TIMESTAMP, TIME))
}

#[tokio::test]
async fn the_host_and_the_p256_crate_agree_on_every_encoding() -> Result<()> {
    let extremes = extremes();
    let mut plugin = sendgrid_plugin(mail());
    let keys = plugin["sendgrid_keys"].as_array_mut().ok_or("no list")?;
    keys.extend(extremes.iter().map(|(_, key)| json!({"value": public_key(key)})));
    let guarded = Guarded::start(&plugin).await?;
    let mut rng = Rng::with_seed(0x5e9d_621d);
    let mut cases = vec![("valid", Sendgrid::genuine().post_at(TIME, "/mail", "application/json", "[]"))];
    for (body, times) in [(EXTREME, 8), ("another body", 4)] {
        cases.extend(extremes.iter().take(times).map(|(signature, _)| {
            let request = Request::post("/mail", "application/json", body);
            ("extreme", request.header(SIGNATURE, encode(signature)).header(TIMESTAMP, TIME))
        }));
    }
    cases.extend(std::iter::repeat_with(|| hostile(&mut rng)).take(CASES));
    let plan = native_plan(&plugin);
    let expected: Vec<_> = cases.iter().map(|(_, request)| native_verdict(&plan, request)).collect();
    assert!(expected[1..9].iter().all(|verdict| *verdict == "verified"), "{expected:?}");
    for protocol in Protocol::BOTH {
        let before = guarded.envoy.access_log().len();
        let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
        for (kind, request) in &cases {
            let status = client.send(request).await?.status;
            assert!([503, 401].contains(&status), "{kind}: {status}");
        }
        let lines = guarded.envoy.wait_for_access_log(before + cases.len()).await?;
        let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
        for ((kind, request), (line, expected)) in cases.iter().zip(lines[before..].iter().zip(&expected)) {
            assert_eq!(line.field("reason").replace("stale", "verified"), *expected, "{kind}: {request:?}");
            *verdicts.entry(expected).or_default() += 1;
        }
        // Each verdict was reached often, so that agreement means something.
        for verdict in ["verified", "mismatch", "malformed_signature"] {
            assert!(verdicts.get(verdict).is_some_and(|&count| count > 40), "{verdicts:?}");
        }
    }
    assert_eq!(guarded.upstream.count(), 0);
    assert_vm_alive(&guarded.envoy).await
}
