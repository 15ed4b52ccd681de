//! Requests that two servers could cut differently, and answers of another kind than the sender's.

use super::probe::Probe;
use super::{exchange, impatient, stranger, twilio};
use crate::guarded::{plugin, routes};
use crate::support::client::{self, Protocol};
use crate::support::config::WasmFilter;
use crate::support::hostile;
use crate::support::http::Request;
use crate::support::raw;
use crate::support::scenarios::MESSAGE;
use crate::support::sign::{FORM_TYPE, SIGNATURE};
use crate::support::{Result, module};

async fn probe() -> Result<Probe> {
    Probe::start(&plugin("none", routes())).await
}

/// A genuine form over HTTP/1.1 with these lines in its head in place of a length, and this body.
fn framed(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = raw::head(&twilio().form("/sms", &MESSAGE));
    let (head, _) = head.split_at(head.len() - 2);
    [head, lines.as_bytes(), b"\r\n\r\n", body].concat()
}

/// The body as one chunk; what follows is the next request to whoever believes the chunks.
fn one_chunk(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

#[tokio::test]
async fn ambiguous_framing_over_http1_reaches_nobody() -> Result<()> {
    let mut probe = probe().await?;
    let body = twilio().form("/sms", &MESSAGE).body;
    let chunks = one_chunk(&body);
    let length = format!("content-length: {}", body.len());
    let both = format!("{length}\r\ntransfer-encoding: chunked");
    let both_other_way = format!("transfer-encoding: chunked\r\n{length}");
    let zero = "content-length: 0\r\ntransfer-encoding: chunked";
    for lines in [
        &both,
        &both_other_way,
        zero,
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding : chunked",
        "content-length : 5",
        "x: y\r\n transfer-encoding: chunked\r\ncontent-length 5",
        "content-length: 5\r\ncontent-length: 6",
        "x: a\0b\r\ntransfer-encoding: chunked",
    ] {
        let response = exchange(probe.envoy.address(), framed(lines, &chunks)).await?;
        assert!((400..=501).contains(&response.status), "{lines:?}: {}", response.status);
        let line = probe.next_line().await?;
        assert_eq!(line.status(), response.status, "{lines:?}");
        probe.nothing_arrived(lines);
    }
    probe.finish().await
}

#[tokio::test]
async fn broken_chunks_reach_nobody() -> Result<()> {
    let mut probe = probe().await?;
    for chunks in [
        &b"zz\r\nBody"[..],
        b"-1\r\nBody",
        b"ffffffffffffffffff\r\nBody",
        b"4\r\nBodyXX0\r\n\r\n",
        b"4\r\nBody0\r\n\r\n",
        b"\r\nBody\r\n0\r\n\r\n",
        b"4\r\nBody\r\n0\r\nx: y\0\r\n\r\n",
        b"4\r\nBody\r\n0\r\nno field\r\n\r\n",
    ] {
        let response = exchange(probe.envoy.address(), framed("transfer-encoding: chunked", chunks)).await?;
        assert!((400..500).contains(&response.status), "{chunks:?}: {}", response.status);
        probe.turned_away(&String::from_utf8_lossy(chunks)).await?;
    }
    // What Envoy and every server read alike is no fault: upper-case digits, leading zeros, extensions.
    let body = twilio().form("/sms", &MESSAGE).body;
    for size in [format!("{:X}", body.len()), format!("000{:x}", body.len()), format!("{:x};a=b", body.len())]
    {
        let chunks = [size.as_bytes(), b"\r\n", &body, b"\r\n0\r\n\r\n"].concat();
        let response = exchange(probe.envoy.address(), framed("transfer-encoding: chunked", &chunks)).await?;
        probe.accepted(&size, &response, &body).await?;
    }
    probe.finish().await
}

/// A request hidden in the body of another one goes where that body goes: nowhere, or upstream as a verified body.
#[tokio::test]
async fn a_request_inside_a_body_is_never_a_request() -> Result<()> {
    let mut probe = probe().await?;
    let hidden = raw::with_length(&Request::post("/hidden", "text/plain", "a"));
    let hidden = String::from_utf8(hidden)?;
    for protocol in Protocol::BOTH {
        let forged = Request { body: hidden.clone().into(), ..stranger().form("/sms", &MESSAGE) };
        let response = client::send(probe.envoy.address(), protocol, &forged).await?;
        assert_eq!(response.status, 401);
        probe.turned_away("hidden in a forged body").await?;
        probe.accept("hidden in a genuine body", protocol, &twilio().json("/events", &hidden)).await?;
    }
    assert!(probe.upstream.requests().iter().all(|request| request.target != "/hidden"));
    probe.finish().await
}

#[tokio::test]
async fn fields_of_another_protocol_over_http2_reach_nobody() -> Result<()> {
    let filter = WasmFilter::new(module::path()?, &plugin("none", routes()));
    let mut probe = Probe::with(filter, impatient).await?;
    let genuine = twilio().form("/sms", &MESSAGE);
    let (_, signature) =
        genuine.headers.iter().find(|(name, _)| name == SIGNATURE).cloned().ok_or("no signature")?;
    let hidden = b"a\r\n\r\nGET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    for (name, value) in [
        ("transfer-encoding", &b"chunked"[..]),
        ("connection", b"close"),
        ("upgrade", b"websocket"),
        ("X-Upper", b"a"),
        ("x-crlf", hidden),
        ("x-nul", b"a\0b"),
        ("x name", b"a"),
        ("x:name", b"a"),
        ("", b"a"),
        (":path", b"/hidden"),
        (":status", b"200"),
        ("content-length", b"-1"),
    ] {
        let mut fields = hostile::fields("POST", b"/sms");
        fields.extend([
            ("content-type", FORM_TYPE.as_bytes()),
            (SIGNATURE, signature.as_bytes()),
            (name, value),
        ]);
        let response = hostile::send(probe.envoy.address(), &fields, &genuine.body).await;
        assert!(!response.is_ok_and(|response| response.accepted()), "{name}");
        probe.next_line().await?;
        probe.nothing_arrived(name);
    }
    for path in [&b"/sms HTTP/1.1\r\nx: y"[..], b"/sms /hidden", b"", b"sms", b"*"] {
        let mut fields = hostile::fields("POST", path);
        fields.extend([("content-type", FORM_TYPE.as_bytes()), (SIGNATURE, signature.as_bytes())]);
        let response = hostile::send(probe.envoy.address(), &fields, &genuine.body).await;
        assert!(!response.is_ok_and(|response| response.accepted()), "{path:?}");
        probe.next_line().await?;
        probe.nothing_arrived(&String::from_utf8_lossy(path));
    }
    probe.finish().await
}

/// Envoy writes every local answer to a gRPC request as gRPC does: HTTP status 200, the refusal in `grpc-status`
/// (16, unauthenticated, for 401) and the text in `grpc-message`. It is a refusal all the same.
#[tokio::test]
async fn a_refused_grpc_request_is_answered_as_grpc_does_and_reaches_nobody() -> Result<()> {
    let mut probe = probe().await?;
    for protocol in Protocol::BOTH {
        for content_type in ["application/grpc", "application/grpc+proto"] {
            let message = || Request::post("/events", content_type, &b"\0\0\0\0\x01x"[..]);
            for (request, code) in [
                (twilio().url_only(message()), "unsigned_body"),
                (twilio().url_only(message()).undeclared_length(), "unsigned_body"),
                (message(), "missing_signature"),
            ] {
                let response = client::send(probe.envoy.address(), protocol, &request).await?;
                let line = probe.next_line().await?;
                assert_eq!(line.details(), format!("twilio_guard_{code}"), "{}", line.0);
                assert_eq!(response.header("grpc-status"), Some("16"), "{protocol:?}: {response:?}");
                assert_eq!(response.status, 200);
                probe.nothing_arrived(content_type);
            }
        }
    }
    probe.finish().await
}

#[tokio::test]
async fn http1_heads_that_envoy_does_not_read_reach_nobody() -> Result<()> {
    let mut probe = probe().await?;
    let genuine = String::from_utf8(raw::with_length(&twilio().form("/sms", &MESSAGE)))?;
    let (_, rest) = genuine.split_once("\r\n").ok_or("no request line")?;
    for line in [
        "POST /sms HTTP/1.0",
        "POST /sms HTTP/2.0",
        "POST /sms HTTP/1.1x",
        "POST /s ms HTTP/1.1",
        "POST /sms#/other HTTP/1.1",
        "POST sms HTTP/1.1",
        "POST",
        "\u{1}\u{2}",
        "x-first: a",
        ": a",
    ] {
        let response = exchange(probe.envoy.address(), format!("{line}\r\n{rest}")).await?;
        assert!((400..500).contains(&response.status), "{line:?}: {}", response.status);
        probe.turned_away(line).await?;
    }
    probe.finish().await
}
