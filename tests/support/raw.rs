//! HTTP/1.1 bytes under the test's control: one-byte chunks, half-sent bodies, `Expect`, repeated and non-UTF-8
//! fields. Only the sending side is raw; responses are parsed by hyper.

use super::http::{Fields, Request, Response};
use super::{Result, within};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// A connection on which the test writes bytes.
pub struct RawConnection<S = TcpStream> {
    stream: S,
}

impl RawConnection {
    /// Opens a connection.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // Each write is to leave as a packet of its own.
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> RawConnection<S> {
    /// Writes over any stream of bytes, such as TLS.
    pub fn over(stream: S) -> Self {
        Self { stream }
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// Writes bytes in packets of `size`.
    pub async fn write_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) -> Result<()> {
        for piece in bytes.as_ref().chunks(size) {
            self.stream.write_all(piece).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Reads an interim response such as `100 Continue`, up to its blank line.
    pub async fn interim(&mut self) -> Result<String> {
        let mut head = Vec::new();
        within("an interim response", async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await?);
            }
            Ok(())
        })
        .await?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    /// Reads one final response to a request that was written by hand. To a HEAD, say `HEAD`: its response has no
    /// body whatever its length says.
    pub async fn response_to(self, method: &str) -> Result<Response> {
        let request = hyper::Request::builder().method(method).uri("/").body(Empty::<bytes::Bytes>::new())?;
        let stream = ResponseOnly { stream: self.stream, asked: false, waiting: None };
        within("a response to raw bytes", async move {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let (head, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?;
            connection.abort();
            let trailers = body.trailers().cloned().unwrap_or_default();
            Ok(Response {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes(),
                trailers,
            })
        })
        .await
    }

    /// Reads one final response.
    pub async fn response(self) -> Result<Response> {
        self.response_to("GET").await
    }

    /// Ends the sending side, and reads whatever still comes until the other side closes too.
    pub async fn finish(mut self) -> Result<Vec<u8>> {
        self.stream.shutdown().await?;
        self.until_closed().await
    }

    /// Reads whatever still comes until the other side closes, be it by a reset because it left something unread.
    pub async fn until_closed(mut self) -> Result<Vec<u8>> {
        let mut rest = Vec::new();
        within("the end of a connection", async {
            match self.stream.read_to_end(&mut rest).await {
                Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
                _ => Ok(()),
            }
        })
        .await?;
        Ok(rest)
    }
}

/// A request head: request line, `Host`, the headers as given, blank line.
pub fn head(request: &Request) -> Vec<u8> {
    let mut bytes =
        format!("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, request.authority);
    if request.websocket {
        bytes.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    let mut bytes = bytes.into_bytes();
    push_fields(&mut bytes, &request.headers);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// A request with its body, of declared length.
pub fn with_length(request: &Request) -> Vec<u8> {
    let mut bytes = head(&request.clone().header("content-length", request.body.len().to_string()));
    bytes.extend_from_slice(&request.body);
    bytes
}

/// A request in chunks of `size` bytes, with its trailers.
pub fn chunked(request: &Request, size: usize) -> Vec<u8> {
    let mut bytes = head(&request.clone().header("transfer-encoding", "chunked"));
    for chunk in request.body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n");
    push_fields(&mut bytes, &request.trailers);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn push_fields(bytes: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}

/// The connection as hyper sees it while it reads the response: what it writes (a stand-in for the request that was
/// written by hand) is dropped, and what it reads is held back until then, since a response must not come first.
struct ResponseOnly<S> {
    stream: S,
    asked: bool,
    waiting: Option<Waker>,
}

impl<S: AsyncRead + Unpin> AsyncRead for ResponseOnly<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.asked {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ResponseOnly<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.asked = true;
        self.waiting.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
