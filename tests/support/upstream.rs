//! The application behind the proxy: an HTTP/1.1 echo server that remembers everything it was sent, to the byte.

use super::tls::Identity;
use super::{Result, eventually};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: String,
    /// Path and query, raw.
    pub target: String,
    /// The headers, repeated names included.
    pub headers: HeaderMap,
    /// The body, once [`Self::complete`].
    pub body: Bytes,
    /// The trailers, once complete.
    pub trailers: HeaderMap,
    /// Whether the request has been read to its end.
    pub complete: bool,
}

impl Recorded {
    /// The word of the verified header on which pass of its capture this is; empty where there is none.
    pub fn replay_mark(&self) -> &str {
        let value = self.headers.get("x-twilio-guard").and_then(|value| value.to_str().ok());
        value.and_then(|value| value.rsplit_once("replay=")).map_or("", |(_, mark)| mark)
    }
}

/// What the upstream does instead of echoing.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers this status, with an empty body.
    Status(u16),
    /// Answers with this status, these headers and this body.
    Answer(u16, Vec<(String, String)>, Bytes),
    /// Closes the connection without an answer, once the request has been read.
    Reset,
    /// Answers as without a script, once the gate is open.
    Hold(Gate),
    /// Answers 302 to this location.
    Redirect(String),
    /// Answers with the request itself: target, headers and body.
    Mirror,
}

/// Holds responses back until the test opens it.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn pass(&self) {
        // The sender lives as long as this gate, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// The server. Dropping it closes its port and its connections.
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

/// A port that nobody else is given. Connections to it are refused until an upstream listens there.
pub struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// Takes a free one.
    pub fn reserve() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Default)]
struct Seen {
    connections: Mutex<usize>,
    bytes: Mutex<Vec<u8>>,
    requests: Mutex<Vec<Recorded>>,
    always: Mutex<HashMap<String, Behaviour>>,
    next: Mutex<HashMap<String, VecDeque<Behaviour>>>,
    otherwise: Mutex<Option<Behaviour>>,
}

/// A poisoned lock means another test thread already failed; its data is still what the report needs.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Upstream {
    /// Starts on a free port.
    pub async fn start() -> Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0)), None).await
    }

    /// Starts on a port that was kept for it.
    pub fn start_on(port: Port) -> Result<Self> {
        Self::serve(port.socket.listen(1024)?, None)
    }

    /// Starts on a free port and speaks TLS with this certificate. Bytes are counted after decryption.
    pub async fn start_tls(identity: &Identity) -> Result<Self> {
        Self::start_tls_at(SocketAddr::from(([127, 0, 0, 1], 0)), identity).await
    }

    /// Starts at an address and speaks TLS with this certificate.
    pub async fn start_tls_at(address: SocketAddr, identity: &Identity) -> Result<Self> {
        Self::listen(address, Some(identity.acceptor()?)).await
    }

    async fn listen(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self> {
        Self::serve(TcpListener::bind(address).await?, tls)
    }

    fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) -> Result<Self> {
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let server = tokio::spawn(accept(listener, tls, Arc::clone(&seen)));
        Ok(Self { address, seen, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request whose head has arrived, in that order.
    pub fn requests(&self) -> Vec<Recorded> {
        lock(&self.seen.requests).clone()
    }

    /// How many request heads have arrived.
    pub fn count(&self) -> usize {
        lock(&self.seen.requests).len()
    }

    /// How many TCP connections were accepted.
    pub fn connections(&self) -> usize {
        *lock(&self.seen.connections)
    }

    /// Every byte received on any connection, counted before any parsing.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.seen.bytes).clone()
    }

    /// How many bytes were received.
    pub fn byte_count(&self) -> usize {
        lock(&self.seen.bytes).len()
    }

    /// Waits for the n-th complete request and returns all that are there.
    pub async fn wait_for(&self, requests: usize) -> Result<Vec<Recorded>> {
        eventually(&format!("{requests} complete requests at the upstream"), async || {
            let seen = self.requests();
            (seen.iter().filter(|request| request.complete).count() >= requests).then_some(seen)
        })
        .await
    }

    /// From now on, requests for this path (without query) are treated so.
    pub fn script(&self, path: &str, behaviour: Behaviour) {
        lock(&self.seen.always).insert(path.to_owned(), behaviour);
    }

    /// From now on, requests for paths without a script are treated so, and no longer echoed. Upgrades are opened.
    pub fn otherwise(&self, behaviour: Behaviour) {
        *lock(&self.seen.otherwise) = Some(behaviour);
    }

    /// The next requests for this path are treated so, one after the other; then as before.
    pub fn script_next(&self, path: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.seen.next).entry(path.to_owned()).or_default().extend(behaviours);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Seen {
    fn behaviour(&self, path: &str) -> Option<Behaviour> {
        let next = lock(&self.next).get_mut(path).and_then(VecDeque::pop_front);
        next.or_else(|| lock(&self.always).get(path).cloned())
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, seen: Arc<Seen>) {
    // Connections belong to the server: aborting it drops this set, and the set its tasks.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        *lock(&seen.connections) += 1;
        let (tls, seen) = (tls.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            // An error here is a broken handshake or connection, which the other side sees as well.
            match tls {
                None => serve(stream, seen).await,
                Some(tls) => serve(tls.accept(stream).await?, seen).await,
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, seen: Arc<Seen>) -> Result<()> {
    let stream = TokioIo::new(Recording { stream, seen: Arc::clone(&seen) });
    let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
    Ok(connection.with_upgrades().await?)
}

async fn answer(
    mut request: hyper::Request<Incoming>,
    seen: Arc<Seen>,
) -> Result<hyper::Response<Full<Bytes>>> {
    let index = record_head(&request, &seen);
    let scripted = seen.behaviour(request.uri().path());
    if scripted.is_none() && request.headers().contains_key(header::UPGRADE) {
        return open_tunnel(request, &seen, index);
    }
    let otherwise = lock(&seen.otherwise).clone();
    let body = request.body_mut().collect().await?;
    let recorded = {
        let mut requests = lock(&seen.requests);
        let recorded = requests.get_mut(index).ok_or("the record is gone")?;
        recorded.trailers = body.trailers().cloned().unwrap_or_default();
        recorded.body = body.to_bytes();
        recorded.complete = true;
        recorded.clone()
    };
    let behaviour = match scripted {
        Some(Behaviour::Hold(gate)) => {
            gate.pass().await;
            otherwise
        }
        scripted => scripted.or(otherwise),
    };
    let (status, headers, body) = match behaviour {
        None | Some(Behaviour::Hold(_)) => (200, Vec::new(), echo(&recorded)),
        Some(Behaviour::Status(status)) => (status, Vec::new(), Bytes::new()),
        Some(Behaviour::Answer(status, headers, body)) => (status, headers, body),
        Some(Behaviour::Redirect(location)) => (302, vec![("location".to_owned(), location)], Bytes::new()),
        Some(Behaviour::Mirror) => (200, Vec::new(), mirror(&recorded)),
        Some(Behaviour::Reset) => return Err("the script closes this connection".into()),
    };
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body))?)
}

fn record_head(request: &hyper::Request<Incoming>, seen: &Seen) -> usize {
    let mut requests = lock(&seen.requests);
    requests.push(Recorded {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
        body: Bytes::new(),
        trailers: HeaderMap::new(),
        complete: false,
    });
    requests.len() - 1
}

/// The echo: method, path, headers as a list of pairs, length of the body.
fn echo(recorded: &Recorded) -> Bytes {
    let headers: Vec<_> = recorded
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    serde_json::json!({
        "method": recorded.method,
        "path": recorded.target,
        "headers": headers,
        "body_length": recorded.body.len(),
    })
    .to_string()
    .into()
}

/// The echo, and behind it the body.
fn mirror(recorded: &Recorded) -> Bytes {
    [echo(recorded), recorded.body.clone()].concat().into()
}

/// Accepts an upgrade and echoes whatever comes through it.
fn open_tunnel(
    mut request: hyper::Request<Incoming>,
    seen: &Seen,
    index: usize,
) -> Result<hyper::Response<Full<Bytes>>> {
    let protocol = request.headers().get(header::UPGRADE).cloned().ok_or("no upgrade")?;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(tunnel) = upgrade.await {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(tunnel));
            // Ends when either side closes.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    });
    if let Some(recorded) = lock(&seen.requests).get_mut(index) {
        recorded.complete = true;
    }
    Ok(hyper::Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, protocol)
        .body(Full::default())?)
}

/// A connection that keeps every byte it reads.
struct Recording<S> {
    stream: S,
    seen: Arc<Seen>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recording<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(read) = buffer.filled().get(before..) {
            lock(&self.seen.bytes).extend_from_slice(read);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recording<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
