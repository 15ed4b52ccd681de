//! What becomes of one request after the other, seen from outside: the answer, the access log, the upstream.

use serde_json::Value;

use super::twilio;
use crate::guarded::assert_vm_alive;
use crate::support::access_log::LogLine;
use crate::support::client::{self, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::{Request, Response};
use crate::support::scenarios::{self, ACCOUNT};
use crate::support::upstream::{Recorded, Upstream};
use crate::support::{Result, module};

/// A guarded Envoy that is sent one request at a time. Whatever reaches the upstream is accounted for: a refused
/// request must leave its counts where the last accepted one left them, and so must the end of the test.
pub(super) struct Probe {
    pub(super) upstream: Upstream,
    pub(super) envoy: Envoy,
    lines: usize,
    reached: Reached,
}

/// All that an upstream can notice of its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reached {
    requests: usize,
    connections: usize,
    bytes: usize,
}

impl Reached {
    fn of(upstream: &Upstream) -> Self {
        Self { requests: upstream.count(), connections: upstream.connections(), bytes: upstream.byte_count() }
    }
}

impl Probe {
    /// Starts with this plugin configuration.
    pub(super) async fn start(plugin: &Value) -> Result<Self> {
        Self::with(WasmFilter::new(module::path()?, plugin), |config| config).await
    }

    /// Starts with this filter, and a changed configuration around it.
    pub(super) async fn with(
        filter: WasmFilter,
        change: impl FnOnce(EnvoyConfig) -> EnvoyConfig,
    ) -> Result<Self> {
        let upstream = Upstream::start().await?;
        let envoy = Envoy::start(&change(EnvoyConfig::new(upstream.address()).filter(filter))).await?;
        Ok(Self { upstream, envoy, lines: 0, reached: Reached::default() })
    }

    /// Sends a request that has to arrive as it is, with the header that says so.
    pub(super) async fn accept(
        &mut self,
        what: &str,
        protocol: Protocol,
        request: &Request,
    ) -> Result<Recorded> {
        let response = client::send(self.envoy.address(), protocol, request).await?;
        let what = format!("{what}, {protocol:?}");
        self.accepted(&what, &response, &request.body).await
    }

    /// Sends a request that has to be refused.
    pub(super) async fn refuse(
        &mut self,
        what: &str,
        protocol: Protocol,
        request: &Request,
        (status, code): (u16, &str),
    ) -> Result<()> {
        let response = client::send(self.envoy.address(), protocol, request).await?;
        self.refused(&format!("{what}, {protocol:?}"), &response, (status, code)).await
    }

    /// That the request of this answer arrived as it was sent.
    pub(super) async fn accepted(
        &mut self,
        what: &str,
        response: &Response,
        body: &[u8],
    ) -> Result<Recorded> {
        let line = self.next_line().await?;
        assert_eq!(response.status, 200, "{what}: {}", line.0);
        assert_eq!(line.field("verdict"), "verified", "{what}: {}", line.0);
        let recorded = self.arrived(what).await?;
        let says: Vec<_> =
            recorded.headers.get_all("x-twilio-guard").iter().map(|value| value.as_bytes()).collect();
        let route = line.field("route");
        let proof = format!("scheme=twilio; account={ACCOUNT}; key=current; route={route}; replay=unchecked");
        assert_eq!(says, [proof.as_bytes()], "{what}");
        assert_eq!(recorded.body, body, "{what}: the body has to arrive whole");
        Ok(recorded)
    }

    /// That one more request arrived.
    pub(super) async fn arrived(&mut self, what: &str) -> Result<Recorded> {
        let recorded = self.upstream.wait_for(self.reached.requests + 1).await?;
        assert_eq!(recorded.len(), self.reached.requests + 1, "{what}");
        self.reached = Reached::of(&self.upstream);
        recorded.into_iter().next_back().ok_or_else(|| "no request".into())
    }

    /// That this answer is a refusal for that reason, and nothing arrived.
    pub(super) async fn refused(
        &mut self,
        what: &str,
        response: &Response,
        (status, code): (u16, &str),
    ) -> Result<()> {
        let line = self.next_line().await?;
        assert_eq!(line.details(), format!("twilio_guard_{code}"), "{what}: {}", line.0);
        assert_eq!((response.status, line.status()), (status, status), "{what}: {}", line.0);
        assert!(response.text().starts_with("Request refused. Request id: "), "{what}: {}", response.text());
        assert_eq!(response.header("www-authenticate").is_some(), status == 401, "{what}");
        assert_eq!(line.field("verdict"), "refused", "{what}: {}", line.0);
        self.nothing_arrived(what);
        Ok(())
    }

    /// That the proxy itself turned the request of the next line away (its filters may not even have seen it).
    pub(super) async fn turned_away(&mut self, what: &str) -> Result<LogLine> {
        let line = self.next_line().await?;
        assert!((400..500).contains(&line.status()), "{what}: {}", line.0);
        self.nothing_arrived(what);
        Ok(line)
    }

    /// That the upstream noticed nothing since the last accepted request.
    pub(super) fn nothing_arrived(&self, what: &str) {
        assert_eq!(Reached::of(&self.upstream), self.reached, "{what}: something reached the upstream");
    }

    /// The next line of the access log.
    pub(super) async fn next_line(&mut self) -> Result<LogLine> {
        let mut lines = self.envoy.wait_for_access_log(self.lines + 1).await?;
        self.lines += 1;
        Ok(lines.swap_remove(self.lines - 1))
    }

    /// Takes what has arrived as it is: for a test that has looked at it in its own way.
    pub(super) fn settle(&mut self) {
        self.reached = Reached::of(&self.upstream);
    }

    /// The end of a test: nothing came late, the next genuine request is served, and no VM died on the way.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.nothing_arrived("at the end");
        for protocol in Protocol::BOTH {
            let genuine = twilio().form("/sms", &scenarios::MESSAGE);
            self.accept("the genuine request at the end", protocol, &genuine).await?;
        }
        assert_vm_alive(&self.envoy).await
    }
}
