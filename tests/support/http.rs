//! The request and response that all clients share, whatever the protocol.

use super::Result;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Name and value pairs in order, repeated names included.
pub type Fields = Vec<(HeaderName, HeaderValue)>;

/// A request as a test describes it. Header values are bytes.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method; a websocket is opened with GET, which HTTP/2 turns into an extended CONNECT.
    pub method: String,
    /// Path and query, sent as written.
    pub target: String,
    /// `Host` or `:authority`.
    pub authority: String,
    /// Further headers.
    pub headers: Fields,
    /// The whole body.
    pub body: Bytes,
    /// Sent after the body; makes the length undeclared.
    pub trailers: Fields,
    /// Whether the length is declared up front.
    pub declare_length: bool,
    /// Whether this opens a websocket.
    pub websocket: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            authority: "hooks.example.org".to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            trailers: Vec::new(),
            declare_length: true,
            websocket: false,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    pub fn post(target: &str, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self::new("POST", target).header("content-type", content_type).body(body)
    }

    /// A websocket upgrade.
    pub fn websocket(target: &str) -> Self {
        Self { websocket: true, ..Self::get(target).header("sec-websocket-version", "13") }
    }

    /// Adds a header, beside one of the same name.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(field(name, value.as_ref()));
        self
    }

    /// Removes a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    /// Replaces a header.
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the host.
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = authority.to_owned();
        self
    }

    /// Adds a trailer.
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push(field(name, value.as_ref()));
        self.undeclared_length()
    }

    /// Leaves the length open: chunked over HTTP/1.1, no `content-length` over HTTP/2.
    pub fn undeclared_length(mut self) -> Self {
        self.declare_length = false;
        self
    }
}

fn field(name: &str, value: &[u8]) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
        HeaderValue::from_bytes(value)
            .expect("a header value that the client may send (else use raw or hostile)"),
    )
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// The final status.
    pub status: u16,
    /// The headers, repeated names included.
    pub headers: HeaderMap,
    /// The whole body; of an accepted websocket, what the upstream echoed.
    pub body: Bytes,
    /// The trailers, where there were any.
    pub trailers: HeaderMap,
}

impl Response {
    /// Whether the request went through: a 2xx, or 101 for an upgrade.
    pub fn accepted(&self) -> bool {
        self.status == 101 || (200..300).contains(&self.status)
    }

    /// A header's first value, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON: what the upstream echoed.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .map_err(|error| format!("not JSON ({error}): {}", self.text()).into())
    }
}

/// A body that is fed while the request is under way.
pub struct FedBody {
    frames: mpsc::UnboundedReceiver<Result<Frame<Bytes>>>,
    length: Option<u64>,
}

/// The feeding end. Dropping it ends the body.
pub struct Feed(mpsc::UnboundedSender<Result<Frame<Bytes>>>);

impl FedBody {
    /// A body and its feed. A declared length becomes `content-length`; zero also ends the stream at the headers.
    pub fn new(length: Option<u64>) -> (Feed, Self) {
        let (sender, frames) = mpsc::unbounded_channel();
        (Feed(sender), Self { frames, length })
    }
}

impl Feed {
    /// Sends a piece of the body.
    pub fn data(&self, data: impl Into<Bytes>) {
        // Whether the other side still listens is seen from the response, not here.
        let _ = self.0.send(Ok(Frame::data(data.into())));
    }

    /// Sends the trailers.
    pub fn trailers(&self, fields: &Fields) {
        let _ = self.0.send(Ok(Frame::trailers(fields.iter().cloned().collect())));
    }

    /// Breaks the request off: the connection closes (HTTP/1.1) or the stream is reset (HTTP/2).
    pub fn abort(self) {
        let _ = self.0.send(Err("the test broke the request off".into()));
    }
}

impl Body for FedBody {
    type Data = Bytes;
    type Error = super::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        self.frames.poll_recv(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }

    fn is_end_stream(&self) -> bool {
        self.length == Some(0)
    }
}
