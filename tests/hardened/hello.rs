//! A ClientHello under the test's control, because no library still offers what has to be refused.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Result, within};

/// TLS 1.1, as the protocol writes it.
pub const TLS_1_1: [u8; 2] = [3, 2];

/// TLS 1.2.
pub const TLS_1_2: [u8; 2] = [3, 3];

/// `TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA`: for TLS 1.0 to 1.2, without authenticated encryption.
pub const CBC: [u8; 2] = [0xc0, 0x09];

/// `TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256`.
pub const GCM: [u8; 2] = [0xc0, 0x2b];

/// What a server answers first.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// It goes on, with this version.
    ServerHello([u8; 2]),
    /// It breaks off with this fatal alert.
    Alert(u8),
}

/// The alert `protocol_version`: the server knows none of the offered versions.
pub const PROTOCOL_VERSION: Answer = Answer::Alert(70);

/// The alert `handshake_failure`: nothing else that was offered is acceptable.
pub const HANDSHAKE_FAILURE: Answer = Answer::Alert(40);

/// Offers this version as the highest, and this suite alone.
pub async fn offer(address: SocketAddr, version: [u8; 2], suite: [u8; 2]) -> Result<Answer> {
    let extensions = [
        [0, 10].as_slice(), // supported_groups: P-256
        &sized(&sized(&[0, 23])),
        &[0, 11], // ec_point_formats: uncompressed
        &sized(&[1, 0]),
        &[0, 13], // signature_algorithms: ecdsa_secp256r1_sha256; TLS 1.1 ignores it
        &sized(&sized(&[4, 3])),
    ]
    .concat();
    let random = [7; 32];
    let body = [
        version.as_slice(),
        &random,
        &[0], // no session
        &sized(&suite),
        &[1, 0], // no compression
        &sized(&extensions),
    ]
    .concat();
    let handshake = [[1, 0].as_slice(), &sized(&body)].concat();
    let record = [[22, 3, 1].as_slice(), &sized(&handshake)].concat();
    within("an answer to a ClientHello", async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&record).await?;
        let mut header = [0; 5];
        stream.read_exact(&mut header).await?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        stream.read_exact(&mut payload).await?;
        match (header[0], payload.as_slice()) {
            (21, [2, alert]) => Ok(Answer::Alert(*alert)),
            (22, [2, _, _, _, major, minor, ..]) => Ok(Answer::ServerHello([*major, *minor])),
            other => Err(format!("neither an alert nor a ServerHello: {other:?}").into()),
        }
    })
    .await
}

/// Bytes after their length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short hello");
    [length.to_be_bytes().as_slice(), bytes].concat()
}
