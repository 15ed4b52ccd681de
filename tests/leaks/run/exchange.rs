//! How a request is sent.

use std::net::SocketAddr;

use super::Runner;
use crate::cases::{By, Case, bytes};
use crate::proxy::Filter;
use crate::support::client::{self, Client, Protocol};
use crate::support::envoy::Update;
use crate::support::http::{Request, Response};
use crate::support::raw::{self, RawConnection};
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, eventually, hostile};

impl Runner {
    /// Sends a request as its case says; `None` where it is not answered.
    pub(super) async fn exchange(
        &mut self,
        case: &Case,
        request: &Request,
        listener: &str,
    ) -> Result<Option<Response>> {
        let address = self.envoy.listener(listener);
        let answer = match case.by {
            By::Client(protocol) => client::send(address, protocol, request).await,
            By::Bytes(bytes) => {
                let mut connection = RawConnection::connect(address).await?;
                connection.write(bytes(request)).await?;
                connection.response_to(&request.method).await
            }
            By::RawFields => {
                let values = raw_fields(request);
                let fields: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_slice())).collect();
                hostile::send(address, &fields, &request.body).await
            }
            By::LeavesInBody(protocol) => {
                self.idle(listener).await?;
                let length = u64::try_from(request.body.len())?;
                let mut client = Client::connect(address, protocol).await?;
                let (feed, _pending) = client.start(request, Some(length)).await?;
                feed.data(request.body.slice(..request.body.len() / 2));
                self.arrived(listener).await?;
                feed.abort();
                return Ok(None);
            }
            By::WaitsInBody => {
                let length = request.body.len();
                let (first, rest) = request.body.split_at(length / 2);
                let mut connection = RawConnection::connect(address).await?;
                let head = raw::head(&request.clone().header("content-length", length.to_string()));
                // At once: between two writes the answer could come, and the connection go.
                connection.write([&head[..], first].concat()).await?;
                if self.proxy.filter == Filter::Absent {
                    connection.write(rest).await?;
                }
                connection.response().await
            }
            By::LeavesBeforeAnswer(protocol) => {
                let (_client, _pending) = self.held(address, protocol, request, &Gate::closed()).await?;
                return Ok(None);
            }
            By::DuringUpdate => {
                let gate = Gate::closed();
                let (_client, pending) = self.held(address, Protocol::Http1, request, &gate).await?;
                self.generation += 1;
                let update = self.envoy.update_listeners(&self.proxy.listeners(self.generation)?).await?;
                assert_eq!(update, Update::Applied);
                gate.open();
                pending.response().await
            }
        };
        match answer {
            Err(_) if case.status == 0 => Ok(None),
            answer => Ok(Some(answer?)),
        }
    }

    /// Sends a request that the application has, but does not answer before the gate opens.
    async fn held(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        request: &Request,
        gate: &Gate,
    ) -> Result<(Client, client::Pending)> {
        let before = self.upstream.count();
        self.upstream.script_next("/sms", [Behaviour::Hold(gate.clone())]);
        let mut client = Client::connect(address, protocol).await?;
        let (_, pending) = client.start(request, Some(0)).await?;
        let reached = async || (self.upstream.count() > before).then_some(());
        eventually("a request at the application", reached).await?;
        Ok((client, pending))
    }

    /// Waits until Envoy has the head of a request that is under way.
    async fn arrived(&self, listener: &str) -> Result<()> {
        eventually("the head of a request", async || (self.active(listener).await? > 0).then_some(())).await
    }

    /// Waits until no request is under way: Envoy logs one before it ends it.
    async fn idle(&self, listener: &str) -> Result<()> {
        eventually("the end of every request", async || (self.active(listener).await? == 0).then_some(()))
            .await
    }

    /// How many requests are under way.
    async fn active(&self, listener: &str) -> Option<u64> {
        let stats = self.envoy.stats_matching(&format!("http.{listener}")).await.ok()?;
        Some(
            stats.iter().filter(|(name, _)| name.ends_with("downstream_rq_active")).map(|(_, own)| own).sum(),
        )
    }
}

/// The request as HTTP/2 fields, each character of the target as one byte.
fn raw_fields(request: &Request) -> Vec<(&str, Vec<u8>)> {
    let mut fields = vec![(":method", request.method.as_bytes().to_vec())];
    fields.push((":authority", request.authority.as_bytes().to_vec()));
    if !request.target.is_empty() {
        fields.push((":scheme", b"http".to_vec()));
        fields.push((":path", bytes::latin1(&request.target)));
    }
    fields.extend(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes().to_vec())));
    fields
}
