//! Well-formed requests over HTTP/1.1 and HTTP/2, by hyper.

use super::http::{FedBody, Feed, Request, Response};
use super::{Result, within};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::Protocol as ConnectProtocol;
use hyper::header;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// The protocol of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge, without TLS.
    Http2,
}

impl Protocol {
    /// What every end-to-end case runs over.
    pub const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

/// What is sent through an accepted websocket; the upstream echoes it.
pub const PING: &[u8] = b"ping through the tunnel";

/// One connection. Dropping it closes the connection at once, whatever is under way.
pub struct Client {
    sender: Sender,
    connection: JoinHandle<()>,
    address: Option<SocketAddr>,
}

enum Sender {
    Http1(http1::SendRequest<FedBody>),
    Http2(http2::SendRequest<FedBody>),
}

/// A response that has not come yet. Dropping it gives it up.
pub struct Pending(JoinHandle<Result<hyper::Response<Incoming>>>);

/// An answer to a websocket upgrade.
pub enum Opened {
    /// The tunnel, and the status it was opened with (101, or 200 over HTTP/2).
    Tunnel(u16, TokioIo<Upgraded>),
    /// A refusal.
    Refused(Response),
}

/// Sends one request over a connection of its own.
pub async fn send(address: SocketAddr, protocol: Protocol, request: &Request) -> Result<Response> {
    Client::connect(address, protocol).await?.send(request).await
}

impl Client {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr, protocol: Protocol) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let own = stream.local_addr()?;
        let mut client = Self::over(stream, protocol).await?;
        client.address = Some(own);
        Ok(client)
    }

    /// Closes the connection at once, as dropping it does.
    pub fn close(&self) {
        self.connection.abort();
    }

    /// Our end of a connection that was opened by [`Self::connect`]: it says in the access log which line is whose.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a connection of our own")
    }

    /// Speaks over any stream of bytes.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        protocol: Protocol,
    ) -> Result<Self> {
        let stream = TokioIo::new(stream);
        // A connection's error also ends its requests, and is reported there.
        Ok(match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await?;
                let connection = tokio::spawn(async { drop(connection.with_upgrades().await) });
                Self { sender: Sender::Http1(sender), connection, address: None }
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                Self {
                    sender: Sender::Http2(sender),
                    connection: tokio::spawn(async { drop(connection.await) }),
                    address: None,
                }
            }
        })
    }

    /// Sends a request and reads the whole response. An accepted websocket is tried with one [`PING`].
    pub async fn send(&mut self, request: &Request) -> Result<Response> {
        if request.websocket {
            return match self.open(request).await? {
                Opened::Refused(response) => Ok(response),
                Opened::Tunnel(status, tunnel) => ping(status, tunnel).await,
            };
        }
        let length = u64::try_from(request.body.len())?;
        let (feed, pending) = self.start(request, request.declare_length.then_some(length)).await?;
        if !request.body.is_empty() {
            feed.data(request.body.clone());
        }
        if !request.trailers.is_empty() {
            feed.trailers(&request.trailers);
        }
        drop(feed);
        pending.response().await
    }

    /// Sends the head of a request; the test feeds the body (that of `request` is ignored).
    pub async fn start(&mut self, request: &Request, length: Option<u64>) -> Result<(Feed, Pending)> {
        let (feed, body) = FedBody::new(length);
        let request = self.head(request, body)?;
        let pending = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                let response = sender.send_request(request);
                tokio::spawn(async { Ok(response.await?) })
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                let response = sender.send_request(request);
                tokio::spawn(async { Ok(response.await?) })
            }
        };
        Ok((feed, Pending(pending)))
    }

    /// Opens a websocket and leaves the tunnel to the test.
    pub async fn open(&mut self, request: &Request) -> Result<Opened> {
        // An extended CONNECT has no length: its body is the tunnel.
        let (_feed, pending) = self.start(request, Some(0)).await?;
        let response = pending.head().await?;
        let status = response.status().as_u16();
        let tunnel = status == 101 || (matches!(self.sender, Sender::Http2(_)) && status == 200);
        if !tunnel {
            return Ok(Opened::Refused(read(response).await?));
        }
        let upgraded = within("the upgrade", async { Ok(hyper::upgrade::on(response).await?) }).await?;
        Ok(Opened::Tunnel(status, TokioIo::new(upgraded)))
    }

    fn head(&self, request: &Request, body: FedBody) -> Result<hyper::Request<FedBody>> {
        let mut builder = hyper::Request::builder();
        builder = match self.sender {
            Sender::Http1(_) => builder
                .method(request.method.as_str())
                .uri(&request.target)
                .header(header::HOST, &request.authority),
            Sender::Http2(_) => builder
                .version(hyper::Version::HTTP_2)
                .method(if request.websocket { "CONNECT" } else { request.method.as_str() })
                .uri(format!("http://{}{}", request.authority, request.target)),
        };
        if request.websocket {
            builder = match self.sender {
                Sender::Http1(_) => builder
                    .header(header::CONNECTION, "Upgrade")
                    .header(header::UPGRADE, "websocket")
                    .header(header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
                Sender::Http2(_) => builder.extension(ConnectProtocol::from_static("websocket")),
            };
        }
        if matches!(self.sender, Sender::Http1(_)) && !request.trailers.is_empty() {
            let names: Vec<_> = request.trailers.iter().map(|(name, _)| name.as_str()).collect();
            builder = builder.header(header::TRAILER, names.join(", "));
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        Ok(builder.body(body)?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl Pending {
    /// Whether the head of the response is there.
    pub fn is_ready(&self) -> bool {
        self.0.is_finished()
    }

    /// Reads the whole response.
    pub async fn response(self) -> Result<Response> {
        read(self.head().await?).await
    }

    async fn head(mut self) -> Result<hyper::Response<Incoming>> {
        within("a response", async { (&mut self.0).await? }).await
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(response: hyper::Response<Incoming>) -> Result<Response> {
    let (head, body) = response.into_parts();
    let body = within("a response body", async { Ok(body.collect().await?) }).await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok(Response { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
}

async fn ping(status: u16, mut tunnel: TokioIo<Upgraded>) -> Result<Response> {
    let mut echo = vec![0; PING.len()];
    within("the echo of a websocket", async {
        tunnel.write_all(PING).await?;
        tunnel.flush().await?;
        tunnel.read_exact(&mut echo).await?;
        tunnel.shutdown().await?;
        Ok(())
    })
    .await?;
    Ok(Response {
        status,
        headers: hyper::HeaderMap::new(),
        body: echo.into(),
        trailers: hyper::HeaderMap::new(),
    })
}
