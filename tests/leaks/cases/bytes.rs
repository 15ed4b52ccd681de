//! Requests as bytes that no client library would send.

use crate::support::http::Request;
use crate::support::raw;

/// Each character as one byte.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).expect("a character of one byte")).collect()
}

/// A body of undeclared length.
pub fn in_chunks(request: &Request) -> Vec<u8> {
    raw::chunked(request, 512)
}

/// A head without `Host`.
pub fn without_host(request: &Request) -> Vec<u8> {
    let head = String::from_utf8_lossy(&raw::head(request)).into_owned();
    head.replacen(&format!("Host: {}\r\n", request.authority), "", 1).into_bytes()
}

/// A head of HTTP/1.0.
pub fn http_1_0(request: &Request) -> Vec<u8> {
    String::from_utf8_lossy(&raw::head(request)).replacen(" HTTP/1.1\r\n", " HTTP/1.0\r\n", 1).into_bytes()
}

/// A head whose target has each character as one byte.
pub fn raw_target(request: &Request) -> Vec<u8> {
    let mut head = format!("{} ", request.method).into_bytes();
    head.extend(latin1(&request.target));
    head.extend_from_slice(b" HTTP/1.1\r\nHost: hooks.example.org\r\n\r\n");
    head
}

/// A body in chunks that has a length as well.
pub fn two_framings(request: &Request) -> Vec<u8> {
    raw::chunked(&request.clone().header("content-length", "5"), 16)
}

/// A head that promises chunks, and then something else.
pub fn broken_body(request: &Request) -> Vec<u8> {
    let mut bytes = raw::head(&request.clone().header("transfer-encoding", "chunked"));
    bytes.extend_from_slice(&request.body);
    bytes
}

/// CONNECT, whose target is an authority.
pub fn connect(request: &Request) -> Vec<u8> {
    raw::head(&Request { target: "hooks.example.org:443".to_owned(), ..request.clone() })
}
