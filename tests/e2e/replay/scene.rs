//! A proxy whose routes fail in many ways, chosen by a header: the signed request stays the same, to the byte.

use crate::guarded::{Exchange, Guarded, Outcome};
use crate::support::client::Protocol;
use crate::support::config::{EnvoyConfig, UPSTREAM, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::scenes::{add_clusters, add_routes};
use crate::support::upstream::{Port, Upstream};
use crate::support::{Result, eventually, module};
use crate::windows::messages::settings;

/// The proxy, its application, and a port that refuses connections.
pub(super) struct Scene {
    pub(super) guarded: Guarded,
    pub(super) closed: Port,
}

impl Scene {
    /// Starts one.
    pub(super) async fn start() -> Result<Self> {
        let upstream = Upstream::start().await?;
        let port = Port::reserve()?;
        let (open, closed) = (upstream.address(), port.address());
        let filter = WasmFilter::new(module::path()?, &settings());
        let config = EnvoyConfig::new(open)
            .filter(filter)
            .ingress(|listener| listener.edit(|manager| add_routes(manager, UPSTREAM)))
            .edit(move |bootstrap| add_clusters(bootstrap, open, closed));
        Ok(Self { guarded: Guarded { upstream, envoy: Envoy::start(&config).await? }, closed: port })
    }

    /// Sends a copy over a connection of its own.
    pub(super) async fn send(&self, request: &Request) -> Result<Exchange> {
        self.guarded.send(Protocol::Http1, request).await
    }

    /// Sends a copy, which has to be refused.
    pub(super) async fn refused(
        &self,
        what: &str,
        request: &Request,
        status: u16,
        code: &'static str,
    ) -> Result<()> {
        self.send(request).await?.assert(what, Outcome::Refused(status, code));
        Ok(())
    }

    /// Sends a copy, which has to arrive as this pass of its capture; not before its answer where the proxy gave up waiting.
    pub(super) async fn passes(&self, what: &str, request: &Request, expected: &str) -> Result<Exchange> {
        let Guarded { upstream, .. } = &self.guarded;
        let seen = upstream.count();
        let mut exchange = self.send(request).await?;
        eventually(what, async || (upstream.count() > seen).then_some(())).await?;
        exchange.received = upstream.requests().split_off(seen);
        exchange.assert_pass(what, expected);
        Ok(exchange)
    }
}
