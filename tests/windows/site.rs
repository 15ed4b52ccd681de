//! An application behind several doors that count a capture together.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::client::{Client, Opened, Protocol};
use crate::support::config::{EnvoyConfig, INGRESS, Listener, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::guarded::{self, Exchange, assert_vm_alive, line_of};
use crate::support::http::Request;
use crate::support::module;
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::Upstream;
use crate::support::{Result, eventually};

const OTHER: &str = "other";

/// One proxy with several listeners, or several with one Redis, before one application.
pub struct Site {
    /// The application.
    pub upstream: Upstream,
    /// The proxies.
    pub envoys: Vec<Envoy>,
    /// What they share, where there are several.
    pub redis: Option<Redis>,
    /// Their listeners.
    listeners: &'static [&'static str],
    turn: AtomicUsize,
}

impl Site {
    /// One proxy of two workers, whose two listeners have one namespace.
    pub async fn of_one_proxy(settings: &Value) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let filter = WasmFilter::new(module::path()?, settings);
        let config = EnvoyConfig::new(upstream.address())
            .concurrency(2)
            .filter(filter.clone())
            .listener(Listener::new(OTHER).filter(filter));
        let envoys = vec![Envoy::start(&config).await?];
        Ok(Self { upstream, envoys, redis: None, listeners: &[INGRESS, OTHER], turn: AtomicUsize::new(0) })
    }

    /// One proxy of one worker.
    pub async fn alone(settings: &Value) -> Result<Self> {
        let (upstream, envoy) = guarded::start(settings).await?;
        Ok(Self::of_proxies(upstream, vec![envoy], None))
    }

    /// Proxies of one listener each.
    pub fn of_proxies(upstream: Upstream, envoys: Vec<Envoy>, redis: Option<Redis>) -> Self {
        Self { upstream, envoys, redis, listeners: &[INGRESS], turn: AtomicUsize::new(0) }
    }

    /// Where requests can be sent.
    pub fn doors(&self) -> Vec<SocketAddr> {
        let doors =
            |envoy: &Envoy| self.listeners.iter().map(|name| envoy.listener(name)).collect::<Vec<_>>();
        self.envoys.iter().flat_map(doors).collect()
    }

    /// The proxy whose turn it is, and its door.
    fn next(&self) -> (&Envoy, SocketAddr) {
        let doors = self.doors();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % doors.len();
        (&self.envoys[turn / self.listeners.len()], doors[turn])
    }

    /// Waits until whatever became of requests is known behind each door.
    pub async fn settled(&self) -> Result<()> {
        match &self.redis {
            Some(redis) => Replica::all_settled(redis).await,
            None => Ok(()),
        }
    }

    /// Sends a copy to a door. What came of it, once that is known everywhere; 0 where the connection ended without an answer.
    pub async fn copy(&self, door: SocketAddr, protocol: Protocol, request: &Request) -> Result<u16> {
        self.copy_by(&mut Client::connect(door, protocol).await?, request).await
    }

    /// The same by a client that was opened for it.
    pub async fn copy_by(&self, client: &mut Client, request: &Request) -> Result<u16> {
        let seen = self.upstream.count();
        let status = send_by(client, request).await?;
        if self.upstream.count() > seen {
            self.settled().await?;
        }
        Ok(status)
    }

    /// Sends a copy each way: each door, both protocols.
    pub async fn everywhere(&self, request: &Request) -> Result<Vec<u16>> {
        let mut statuses = Vec::new();
        for door in self.doors() {
            for protocol in Protocol::BOTH {
                statuses.push(self.copy(door, protocol, request).await?);
            }
        }
        Ok(statuses)
    }

    /// Sends one request over a connection of its own, to each door in turn, and sees what becomes of it.
    pub async fn send(&self, protocol: Protocol, request: &Request) -> Result<Exchange> {
        let (envoy, door) = self.next();
        let (lines, requests) = (envoy.access_log().len(), self.upstream.count());
        let mut client = Client::connect(door, protocol).await?;
        let response = client.send(request).await?;
        let line = line_of(envoy, &client, lines).await?;
        self.settled().await?;
        Ok(Exchange { response, line, received: self.upstream.requests().split_off(requests) })
    }

    /// Sends a whole request to the next door, and leaves once it is upstream or answered.
    pub async fn leave(&self, what: &str, protocol: Protocol, request: &Request) -> Result<()> {
        let (envoy, door) = self.next();
        let (seen, lines) = (self.upstream.count(), envoy.access_log().len());
        let mut client = Client::connect(door, protocol).await?;
        let length = u64::try_from(request.body.len())?;
        let (feed, pending) = client.start(request, request.declare_length.then_some(length)).await?;
        feed.data(request.body.clone());
        drop(feed);
        let is_over = async || (self.upstream.count() > seen || pending.is_ready()).then_some(());
        eventually(what, is_over).await?;
        drop(pending);
        client.close();
        line_of(envoy, &client, lines).await?;
        self.settled().await
    }

    /// Waits until nothing can come any more of so many connections, each of which was closed.
    pub async fn at_rest(&self, connections: usize) -> Result<()> {
        guarded::at_rest(&self.envoys, self.listeners, u64::try_from(connections)?).await
    }

    /// That no VM died.
    pub async fn assert_alive(&self) -> Result<()> {
        for envoy in &self.envoys {
            assert_vm_alive(envoy).await?;
        }
        Ok(())
    }

    /// That no request was refused, and no VM died.
    pub async fn assert_none_refused(&self) -> Result<()> {
        for line in self.envoys.iter().flat_map(Envoy::access_log) {
            assert_ne!(line.field("verdict"), "refused", "{}", line.0);
        }
        self.assert_alive().await
    }
}

/// Sends a request. Its status; 0 where the connection ended without an answer.
pub async fn send_to(address: SocketAddr, protocol: Protocol, request: &Request) -> Result<u16> {
    send_by(&mut Client::connect(address, protocol).await?, request).await
}

async fn send_by(client: &mut Client, request: &Request) -> Result<u16> {
    if request.websocket {
        return Ok(match client.open(request).await? {
            Opened::Tunnel(..) => 101,
            Opened::Refused(response) => response.status,
        });
    }
    Ok(client.send(request).await.map_or(0, |response| response.status))
}
