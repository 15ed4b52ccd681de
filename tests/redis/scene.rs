//! Replicas before one application and one Redis, and what has to hold whatever becomes of Redis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::AhoCorasick;
use serde_json::Value;

use crate::support::Result;
use crate::support::client::{Client, Pending, Protocol};
use crate::support::envoy::Envoy;
use crate::support::eventually;
use crate::support::guarded::{Exchange, Outcome, assert_vm_alive, exchange, line_of};
use crate::support::http::Request;
use crate::support::redis::{Redis, Setup};
use crate::support::replay_redis::Replica;
use crate::support::scenarios::{ACCOUNT, TOKEN};
use crate::support::scenes::sid;
use crate::support::sign::{SIGNATURE, Twilio};
use crate::support::upstream::{Gate, Upstream};

/// What begins the name of each counter of answers.
pub const ANSWERS: &str = "wasmcustom.twilio_guard_replay_store.answer=";

/// Passes that Redis was told about.
pub const SETTLED: &str = "wasmcustom.twilio_guard_replay_settlements_shared";

/// Passes that it has to be told about once more.
pub const RETRIED: &str = "wasmcustom.twilio_guard_replay_settlements_retried";

/// How calls reach Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As shipped: through `redis_proxy`, which keeps its connections.
    Kept,
    /// Over a connection for each call.
    Direct,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Kept, Self::Direct];
}

/// What becomes of a request that Redis says nothing about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Deny,
    Local,
    Allow,
}

impl OnError {
    /// As the configuration writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Local => "local",
            Self::Allow => "allow",
        }
    }
}

/// A replica of this way and policy, with time enough on a busy machine.
pub fn replica(replica: Replica, on_error: OnError, way: Way) -> Replica {
    let replica = replica.patient().plugin(move |plugin| {
        store(plugin)["on_error"] = on_error.word().into();
    });
    if way == Way::Direct { replica.direct() } else { replica }
}

/// A Redis that knows after a restart what it knew before.
pub fn keeping() -> Setup {
    Setup::default().with(&["--appendonly", "yes", "--appendfsync", "always"])
}

/// An application, a Redis (or several), and replicas before them.
pub struct Scene<R = Redis> {
    pub upstream: Upstream,
    pub redis: R,
    pub replicas: Vec<Envoy>,
    number: AtomicUsize,
    planted: Mutex<Vec<String>>,
}

impl Scene {
    /// So many replicas, changed so.
    pub async fn start(count: usize, change: impl Fn(Replica) -> Replica) -> Result<Self> {
        Self::with(Setup::default(), count, change).await
    }

    /// The same with a Redis that is set up like this.
    pub async fn with(setup: Setup, count: usize, change: impl Fn(Replica) -> Replica) -> Result<Self> {
        let (upstream, redis) = (Upstream::start().await?, Redis::with(setup).await?);
        let replica = change(Replica::new(upstream.address(), &redis));
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(replica.start().await?);
        }
        Ok(Self::of(upstream, redis, replicas))
    }
}

impl<R> Scene<R> {
    /// Of these.
    pub fn of(upstream: Upstream, redis: R, replicas: Vec<Envoy>) -> Self {
        Self { upstream, redis, replicas, number: AtomicUsize::new(1), planted: Mutex::default() }
    }

    /// A message of its own, with markers that nothing may show.
    pub fn message(&self, target: &str) -> Request {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let (sid, from) = (sid("SM", 0xA11CE << 32 | number), format!("+4915{number:09}"));
        let text = format!("Kravxqzbt{number:05}");
        let params = [
            ("AccountSid", ACCOUNT),
            ("Body", &text),
            ("From", &from),
            ("MessageSid", &sid),
            ("To", "+1500"),
        ];
        let request = Twilio::new(TOKEN).form(target, &params);
        let signature = request.headers.iter().find(|(name, _)| name == SIGNATURE);
        let signature = signature.and_then(|(_, value)| value.to_str().ok()).expect("it is signed");
        let markers = [text, from.replace('+', ""), sid.clone(), signature.to_owned()];
        self.planted.lock().expect("no test thread failed").extend(markers);
        request
    }

    /// From now on nothing may show this.
    pub fn plant(&self, marker: &str) {
        self.planted.lock().expect("no test thread failed").push(marker.to_owned());
    }

    /// Sends a copy to a replica, over a connection of its own.
    pub async fn send(&self, replica: usize, request: &Request) -> Result<Exchange> {
        exchange(&self.upstream, &self.replicas[replica], Protocol::Http1, request).await
    }

    /// Sends a request that the application gets and does not answer yet.
    pub async fn begin(&self, replica: usize, request: &Request) -> Result<(Client, Pending)> {
        let (seen, length) = (self.upstream.count(), u64::try_from(request.body.len())?);
        let mut client = Client::connect(self.replicas[replica].address(), Protocol::Http1).await?;
        let (feed, pending) = client.start(request, Some(length)).await?;
        feed.data(request.body.clone());
        eventually("the request at the application", async || (self.upstream.count() > seen).then_some(()))
            .await?;
        Ok((client, pending))
    }

    /// Lets the application answer what it was sent by [`Self::begin`].
    pub async fn finish(
        &self,
        replica: usize,
        gate: &Gate,
        (client, pending): (Client, Pending),
    ) -> Result<()> {
        let lines = self.replicas[replica].access_log().len();
        gate.open();
        assert_eq!(pending.response().await?.status, 200);
        line_of(&self.replicas[replica], &client, lines).await?;
        Ok(())
    }

    /// Sends a copy, which has to arrive as this pass of its capture.
    pub async fn passes(&self, what: &str, replica: usize, request: &Request, mark: &str) -> Result<()> {
        let exchange = self.send(replica, request).await?;
        exchange.assert_pass(what, mark);
        Ok(())
    }

    /// Sends a copy, which has to be refused.
    pub async fn refused(
        &self,
        what: &str,
        replica: usize,
        request: &Request,
        status: u16,
        code: &'static str,
    ) -> Result<()> {
        self.send(replica, request).await?.assert(what, Outcome::Refused(status, code));
        Ok(())
    }

    /// Sends genuine requests until one passes with Redis's word: at once, or within the moments that connections need. Then Redis knows
    /// everything that it could not be told before.
    pub async fn recovers(&self, what: &str, replica: usize) -> Result<()> {
        eventually(&format!("recovery after {what}"), async || {
            let exchange = self.send(replica, &self.message("/sms")).await.ok()?;
            exchange.received.first().filter(|request| request.replay_mark() == "first").map(drop)
        })
        .await?;
        Replica::nothing_waits(&self.replicas[replica]).await
    }

    /// How often the store of a replica answered with one of these codes.
    pub async fn answers(&self, replica: usize, codes: &[&str]) -> Result<u64> {
        let answers = self.replicas[replica].stats_matching(ANSWERS).await?;
        let counted = |(name, count): (&String, &u64)| {
            codes.iter().any(|code| name == &format!("{ANSWERS}{code}")).then_some(*count)
        };
        Ok(answers.iter().filter_map(counted).sum())
    }

    /// Redis gives no usable answer: sends a message and its copy, and sees that the policy decides, and that the store error is
    /// counted under one of these codes.
    pub async fn fails(
        &self,
        what: &str,
        replica: usize,
        on_error: OnError,
        refusal: &'static str,
        codes: &[&str],
    ) -> Result<()> {
        let answered = self.answers(replica, &["answered"]).await?;
        let counted = self.answers(replica, codes).await?;
        let message = self.message("/sms");
        if on_error == OnError::Deny {
            for copy in ["a message", "its copy"] {
                self.refused(&format!("{what}: {copy}"), replica, &message, 503, refusal).await?;
            }
        } else {
            self.passes(what, replica, &message, "unshared").await?;
            // The own store knows it.
            self.refused(&format!("{what}: a copy"), replica, &message, 409, "replayed").await?;
        }
        assert_eq!(self.answers(replica, &["answered"]).await?, answered, "{what}");
        let now = self.answers(replica, codes).await?;
        let all = self.replicas[replica].stats_matching(ANSWERS).await?;
        assert!(now > counted, "{what}: not counted as one of {codes:?}: {all:?}");
        Ok(())
    }

    /// How many connections clients have opened to a replica.
    pub async fn connections(&self, replica: usize) -> Result<u64> {
        self.replicas[replica].stat("http.ingress.downstream_cx_total").await
    }

    /// Of how many passes this replica has told Redis.
    pub async fn settled(&self, replica: usize) -> Result<u64> {
        self.replicas[replica].stat(SETTLED).await
    }

    /// Sends a copy like [`Self::send`], and waits until Redis knows what became of its pass.
    pub async fn send_and_settle(&self, replica: usize, request: &Request) -> Result<Exchange> {
        let before = self.settled(replica).await?;
        let exchange = self.send(replica, request).await?;
        self.replicas[replica].wait_for_stat(SETTLED, before + 1).await?;
        Replica::nothing_waits(&self.replicas[replica]).await?;
        Ok(exchange)
    }

    /// The replicas live, no VM died, and nothing of any message is in a log.
    pub async fn assert_sound(&mut self, what: &str) -> Result<()> {
        for replica in &mut self.replicas {
            assert!(replica.is_running(), "{what}: Envoy died");
        }
        let markers = AhoCorasick::new(self.planted.lock().expect("no test thread failed").iter())?;
        for replica in &self.replicas {
            assert_vm_alive(replica).await?;
            let log: Vec<_> = replica.access_log().into_iter().map(|line| line.0).collect();
            let written = [replica.log(), replica.stdout(), log.join("\n")].concat();
            let found = markers.find(&written).map(|found| &written.as_bytes()[found.range()]);
            assert_eq!(found.map(String::from_utf8_lossy), None, "{what}: in a log");
        }
        Ok(())
    }

    /// The lines about store errors of a replica, each of which says what it may and nothing else.
    pub fn store_errors(&self, replica: usize, on_error: OnError) -> Vec<String> {
        let lines = self.replicas[replica].module_lines();
        let errors = lines.iter().filter(|line| line["event"] == "replay_store_error");
        errors
            .map(|line| {
                let fields: Vec<_> = line.as_object().expect("an object").keys().collect();
                assert_eq!(fields, ["code", "event", "lines_dropped_before", "on_error"], "{line}");
                assert_eq!(line["on_error"], on_error.word());
                line["code"].as_str().expect("a text").to_owned()
            })
            .collect()
    }
}

/// What the configuration says of Redis.
pub fn store(plugin: &mut Value) -> &mut Value {
    &mut plugin["replay"]["store"]["redis"]
}
