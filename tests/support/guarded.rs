//! The usual set-up of these tests: an application behind an Envoy that has the module, and one account.

use serde_json::{Value, json};

use super::access_log::LogLine;
use super::client::{Client, Protocol};
use super::config::{EnvoyConfig, WasmFilter};
use super::envoy::Envoy;
use super::http::{Request, Response};
use super::module;
use super::scenarios::{ACCOUNT, TOKEN};
use super::upstream::{Recorded, Upstream};
use super::{Result, eventually};

/// A plugin configuration with the test account and these routes; other keys can be set on the value.
pub fn plugin(default: &str, routes: Value) -> Value {
    json!({
        "public_url": "https://hooks.example.org",
        "accounts": [{"sid": ACCOUNT, "auth_tokens": [{"value": TOKEN, "label": "current"}]}],
        "allow_inline_secrets": true,
        "default": default,
        "routes": routes,
        // The same bytes are sent again and again; the tests of replay windows say what they want instead.
        "replay": {"dedupe": {"eligible": "none"}},
    })
}

/// Routes for form, JSON, GET and WebSocket webhooks, without profiles.
pub fn routes() -> Value {
    json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio"},
        {"name": "events", "match": {"path": "/events"}, "verify": "twilio"},
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio"},
    ])
}

/// An upstream and an Envoy in front of it with this plugin configuration.
pub async fn start(plugin: &Value) -> Result<(Upstream, Envoy)> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, plugin);
    let envoy = Envoy::start(&EnvoyConfig::new(upstream.address()).filter(filter)).await?;
    Ok((upstream, envoy))
}

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrives once, with the verified header.
    Verified,
    /// It arrives once, without that header: its rule demands nothing.
    Unprotected,
    /// It is answered this status for this reason, and no byte of it arrives.
    Refused(u16, &'static str),
}

/// What became of a request, seen from outside.
#[derive(Debug)]
pub struct Exchange {
    /// What the client was answered.
    pub response: Response,
    /// What Envoy's access log says.
    pub line: LogLine,
    /// What the upstream received meanwhile.
    pub received: Vec<Recorded>,
}

impl Exchange {
    /// A header that the upstream received; `None` where it is absent or repeated.
    pub fn received_header(&self, name: &str) -> Option<&str> {
        let mut values = self.received.first()?.headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    }

    /// Has to have arrived as this pass of its capture.
    pub fn assert_pass(&self, what: &str, expected: &str) {
        let marks: Vec<_> = self.received.iter().map(Recorded::replay_mark).collect();
        assert_eq!(marks, [expected], "{what}: {}", self.line.0);
    }

    /// Compares with what was promised.
    pub fn assert(&self, what: &str, expected: Outcome) {
        let verdict = self.line.field("verdict");
        let header =
            self.received.first().is_some_and(|request| request.headers.contains_key("x-twilio-guard"));
        match expected {
            Outcome::Refused(status, code) => {
                assert_eq!(self.line.details(), format!("twilio_guard_{code}"), "{what}");
                assert_eq!((self.response.status, verdict), (status, "refused"), "{what}");
                assert!(self.received.is_empty(), "{what}: the upstream got {:?}", self.received);
            }
            Outcome::Verified | Outcome::Unprotected => {
                let word = if expected == Outcome::Verified { "verified" } else { "unprotected" };
                assert!(self.response.accepted(), "{what}: {}", self.line.0);
                assert_eq!((verdict, self.received.len()), (word, 1), "{what}");
                assert_eq!(header, expected == Outcome::Verified, "{what}: the verified header");
            }
        }
    }
}

/// Sends one request over a connection of its own and sees what becomes of it.
pub async fn exchange(
    upstream: &Upstream,
    envoy: &Envoy,
    protocol: Protocol,
    request: &Request,
) -> Result<Exchange> {
    let (lines, requests) = (envoy.access_log().len(), upstream.count());
    let mut client = Client::connect(envoy.address(), protocol).await?;
    let response = client.send(request).await?;
    let line = line_of(envoy, &client, lines).await?;
    Ok(Exchange { response, line, received: upstream.requests().split_off(requests) })
}

/// The line of the request that this client sent, once it is written, whatever is written late of earlier ones. So many lines were there
/// before: an earlier client may have had the same port.
pub async fn line_of(envoy: &Envoy, client: &Client, before: usize) -> Result<LogLine> {
    let own = client.address().to_string();
    eventually("the request's line in the access log", async || {
        envoy.access_log().into_iter().skip(before).find(|line| line.field("peer") == own)
    })
    .await
}

/// Waits until these proxies have seen so many connections of clients in all, and the end of each, and have written a line about every
/// request: nothing can come of them any more.
pub async fn at_rest(envoys: &[Envoy], listeners: &[&str], connections: u64) -> Result<()> {
    eventually(&format!("the end of {connections} connections and of their requests"), async || {
        let (mut seen, mut is_over) = (0, true);
        for envoy in envoys {
            let stats = envoy.stats_matching("http.").await.ok()?;
            let sum = |name: &str| -> u64 {
                let value = |listener| stats.get(&format!("http.{listener}.downstream_{name}"));
                listeners.iter().filter_map(value).sum()
            };
            seen += sum("cx_total");
            is_over &=
                sum("cx_active") == 0 && u64::try_from(envoy.access_log().len()).ok()? >= sum("rq_total");
        }
        (is_over && seen >= connections).then_some(())
    })
    .await
}

/// An upstream and an Envoy, for tests that send one request after the other.
pub struct Guarded {
    /// The application.
    pub upstream: Upstream,
    /// The proxy.
    pub envoy: Envoy,
}

impl Guarded {
    /// The usual set-up with this plugin configuration.
    pub async fn start(plugin: &Value) -> Result<Self> {
        let (upstream, envoy) = start(plugin).await?;
        Ok(Self { upstream, envoy })
    }

    /// Sends one request over a connection of its own and sees what becomes of it.
    pub async fn send(&self, protocol: Protocol, request: &Request) -> Result<Exchange> {
        exchange(&self.upstream, &self.envoy, protocol, request).await
    }

    /// Sends one request over each protocol and compares with what was promised.
    pub async fn expect(&self, what: &str, request: &Request, expected: Outcome) -> Result<()> {
        for protocol in Protocol::BOTH {
            self.send(protocol, request).await?.assert(&format!("{what}, {protocol:?}"), expected);
        }
        Ok(())
    }
}

/// That no VM died: nothing was reloaded, and no request failed in the filter.
pub async fn assert_vm_alive(envoy: &Envoy) -> Result<()> {
    for (name, value) in envoy.stats_matching("wasm").await? {
        assert!(!(name.contains("vm_reload") || name.contains("crash")) || value == 0, "{name} is {value}");
    }
    assert!(
        envoy.access_log().iter().all(|line| line.details() != "wasm_fail_stream"),
        "a request died in the VM"
    );
    Ok(())
}
