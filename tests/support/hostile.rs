//! HTTP/2 requests whose fields no client library would send, such as raw bytes in `:path`.
//!
//! An ordinary h2 client makes a stand-in request; between it and the socket, the header block of every HEADERS frame
//! that it sends is replaced by the hostile one. Settings, flow control and the response stay the library's.

use super::client::{Client, Protocol};
use super::http::{Request, Response};
use super::{Result, within};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;

/// A header field, pseudo-headers included, as raw bytes.
pub type RawField<'a> = (&'a str, &'a [u8]);

/// The fields of a POST or GET to start from; a test replaces or adds what it needs.
pub fn fields<'a>(method: &'a str, path: &'a [u8]) -> Vec<RawField<'a>> {
    vec![
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":authority", b"hooks.example.org"),
        (":path", path),
    ]
}

/// Sends one request with exactly these fields, in this order, over a connection of its own.
pub async fn send(address: SocketAddr, fields: &[RawField<'_>], body: &[u8]) -> Result<Response> {
    let block = literal_block(fields)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (from_proxy, to_proxy) = stream.into_split();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (from_client, to_client) = tokio::io::split(far);
    let sending = tokio::spawn(replace_headers(from_client, to_proxy, block));
    let receiving = tokio::spawn(pass_on(from_proxy, to_client));
    // Whether the stand-in has a body decides where its stream ends, so it has the same body.
    let stand_in = Request::new("POST", "/").body(body.to_vec());
    let response = within("a response to hostile fields", async {
        Client::over(near, Protocol::Http2).await?.send(&stand_in).await
    })
    .await;
    sending.abort();
    receiving.abort();
    response
}

async fn replace_headers(
    mut client: ReadHalf<DuplexStream>,
    mut proxy: OwnedWriteHalf,
    block: Vec<u8>,
) -> Result<()> {
    let mut preface = [0; PREFACE];
    client.read_exact(&mut preface).await?;
    proxy.write_all(&preface).await?;
    loop {
        let mut head = [0; FRAME_HEAD];
        client.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length)?];
        client.read_exact(&mut payload).await?;
        if head[3] == HEADERS {
            payload.clone_from(&block);
            head[..3].copy_from_slice(&u32::try_from(payload.len())?.to_be_bytes()[1..]);
        }
        proxy.write_all(&head).await?;
        proxy.write_all(&payload).await?;
    }
}

async fn pass_on(mut proxy: OwnedReadHalf, mut client: WriteHalf<DuplexStream>) -> Result<()> {
    // The client has to learn of any end, also of one by reset.
    let copied = tokio::io::copy(&mut proxy, &mut client).await;
    client.shutdown().await?;
    copied?;
    Ok(())
}

/// HPACK (RFC 7541, 6.2.2): each field as a literal without indexing, name and value uncompressed.
fn literal_block(fields: &[RawField<'_>]) -> Result<Vec<u8>> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        push_string(&mut block, name.as_bytes())?;
        push_string(&mut block, value)?;
    }
    Ok(block)
}

/// RFC 7541, 5.1 and 5.2: a length with a 7-bit prefix, then the bytes.
fn push_string(block: &mut Vec<u8>, string: &[u8]) -> Result<()> {
    const PREFIX: usize = 127;
    if string.len() < PREFIX {
        block.push(u8::try_from(string.len())?);
    } else {
        block.push(127);
        let mut rest = string.len() - PREFIX;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128)? | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest)?);
    }
    block.extend_from_slice(string);
    Ok(())
}
