//! A line to Redis that is late, cut or answered by somebody else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::Result;

/// What becomes of Redis's replies.
#[derive(Clone, Debug)]
pub enum Treatment {
    /// They arrive as they are.
    Faithful,
    /// They arrive so much later.
    Late(Duration),
    /// They arrive in packets of one byte.
    Bytewise,
    /// This arrives in place of each.
    Each(Bytes),
    /// This arrives in place of all that come together.
    Instead(Bytes),
    /// The same, and the connection ends.
    Last(Bytes),
    /// They arrive, and behind them this.
    Behind(Bytes),
}

/// The line. Dropping it cuts it.
pub struct Line {
    address: SocketAddr,
    server: Arc<Mutex<SocketAddr>>,
    treatment: Arc<Mutex<Treatment>>,
    task: JoinHandle<()>,
}

impl Line {
    /// A faithful one to this server.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (server, treatment) =
            (Arc::new(Mutex::new(server)), Arc::new(Mutex::new(Treatment::Faithful)));
        let task = tokio::spawn(accept(listener, Arc::clone(&server), Arc::clone(&treatment)));
        Ok(Self { address, server, treatment, task })
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it leads new connections there; those that are open stay where they are.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.server.lock().expect("no test thread failed") = server;
    }

    /// From now on replies are treated so.
    pub fn treat(&self, treatment: Treatment) {
        *self.treatment.lock().expect("no test thread failed") = treatment;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: Arc<Mutex<SocketAddr>>,
    treatment: Arc<Mutex<Treatment>>,
) {
    // Aborting the task drops this set, and the set its tasks.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let treatment = Arc::clone(&treatment);
        let server = *server.lock().expect("no test thread failed");
        connections.spawn(async move {
            near.set_nodelay(true)?;
            let (mut from_near, to_near) = near.into_split();
            let (from_far, mut to_far) = TcpStream::connect(server).await?.into_split();
            // Either end closes both.
            tokio::select! {
                ended = tokio::io::copy(&mut from_near, &mut to_far) => ended.map(|_| ()).map_err(Into::into),
                ended = reply(from_far, to_near, &treatment) => ended,
            }
        });
    }
}

async fn reply(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, treatment: &Mutex<Treatment>) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let (reply, treatment) = (&buffer[..read], treatment.lock().expect("no test thread failed").clone());
        match treatment {
            Treatment::Faithful => to.write_all(reply).await?,
            Treatment::Late(delay) => {
                tokio::time::sleep(delay).await;
                to.write_all(reply).await?;
            }
            Treatment::Bytewise => {
                for byte in reply {
                    to.write_all(&[*byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            Treatment::Each(bytes) => to.write_all(&bytes.repeat(replies(reply))).await?,
            Treatment::Instead(bytes) => to.write_all(&bytes).await?,
            Treatment::Last(bytes) => return Ok(to.write_all(&bytes).await?),
            Treatment::Behind(bytes) => to.write_all(&[reply, &bytes].concat()).await?,
        }
    }
}

/// How many replies of Redis to our scripts these are: a line, or a line that announces two.
fn replies(bytes: &[u8]) -> usize {
    let count = |line: &[u8]| bytes.windows(line.len()).filter(|part| *part == line).count();
    count(b"\r\n") - 2 * count(b"*2\r\n")
}
