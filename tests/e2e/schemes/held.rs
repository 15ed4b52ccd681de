//! Requests that wait for their bodies keep memory: how much is bounded for each worker, and it comes back.

use std::net::SocketAddr;

use crate::guarded::Outcome::Verified;
use crate::guarded::{Guarded, assert_vm_alive, plugin, routes};
use crate::support::client::{Client, Pending, Protocol};
use crate::support::http::{Feed, Request};
use crate::support::scenarios::{TOKEN, message};
use crate::support::sign::{FORM_TYPE, SIGNATURE, Twilio};
use crate::support::{Result, eventually, within};

/// What one worker may keep, and the longest target by default.
const BUDGET: usize = 64 << 20;
const TARGET: usize = 32 << 10;

const CONNECTIONS: usize = 21;
const STREAMS: usize = 100;

/// A client who opens forms and never sends their bodies.
struct Idler {
    client: Client,
    streams: Vec<(Feed, Pending)>,
}

impl Idler {
    async fn open(address: SocketAddr, target: &str, streams: usize) -> Result<Self> {
        let mut idler =
            Self { client: Client::connect(address, Protocol::Http2).await?, streams: Vec::new() };
        for _ in 0..streams {
            idler.open_one(target).await?;
        }
        Ok(idler)
    }

    async fn open_one(&mut self, target: &str) -> Result<()> {
        let head = Request::post(target, FORM_TYPE, "").header(SIGNATURE, "A".repeat(27) + "=");
        self.streams.push(self.client.start(&head, None).await?);
        Ok(())
    }

    fn answered(&self) -> usize {
        self.streams.iter().filter(|(_, pending)| pending.is_ready()).count()
    }
}

#[tokio::test]
async fn a_worker_that_keeps_enough_refuses_further_forms_at_once_and_recovers() -> Result<()> {
    let mut plugin = plugin("none", routes());
    // Nobody's time is to run out meanwhile.
    plugin["limits"] = serde_json::json!({"body_timeout": "5m"});
    let guarded = Guarded::start(&plugin).await?;
    let address = guarded.envoy.address();
    guarded.expect("before", &message(), Verified).await?;
    let before = guarded.envoy.access_log().len();

    let path = "/sms?q=";
    let target = format!("{path}{}", "a".repeat(TARGET - path.len()));
    let mut idlers = Vec::new();
    for _ in 0..CONNECTIONS {
        idlers.push(Idler::open(address, &target, STREAMS).await?);
    }
    // Whoever is answered is answered at once; all others are held.
    let answered = eventually("every stream held or answered", async || {
        let answered: usize = idlers.iter().map(Idler::answered).sum();
        let active = guarded.envoy.stat("http.ingress.downstream_rq_active").await.ok()?;
        (usize::try_from(active).ok()? + answered == CONNECTIONS * STREAMS).then_some(answered)
    })
    .await?;
    let held = CONNECTIONS * STREAMS - answered;
    assert!((BUDGET / (TARGET + 4096)..=BUDGET / TARGET).contains(&held), "{held} held");
    assert!(answered > 0);

    // What is left over is filled with short ones, until those are refused too.
    let mut last = Idler::open(address, "/sms", 0).await?;
    while last.answered() == 0 {
        assert!(last.streams.len() < STREAMS, "there is always room");
        last.open_one("/sms").await?;
        let opened = u64::try_from(held + last.streams.len())?;
        eventually("held or answered", async || {
            let active = guarded.envoy.stat("http.ingress.downstream_rq_active").await.ok()?;
            (last.answered() > 0 || active >= opened).then_some(())
        })
        .await?;
    }
    for protocol in Protocol::BOTH {
        let exchange = within("an answer at once", async {
            let response = Client::connect(address, protocol).await?.send(&message()).await?;
            Ok(response)
        });
        assert_eq!(exchange.await?.status, 503, "{protocol:?}");
        // A request without a body waits for nothing.
        let get = Twilio::new(TOKEN).get("/events?a=b");
        assert_eq!(Client::connect(address, protocol).await?.send(&get).await?.status, 200, "{protocol:?}");
    }
    let ends = answered + last.answered() + 4;
    let lines = guarded.envoy.wait_for_access_log(before + ends).await?.split_off(before);
    let (overloaded, others): (Vec<_>, Vec<_>) =
        lines.iter().partition(|line| line.details() == "twilio_guard_overloaded");
    assert!(overloaded.iter().all(|line| line.status() == 503) && overloaded.len() > answered + 2);
    assert!(others.len() == 2 && others.iter().all(|line| line.field("verdict") == "verified"), "{others:?}");
    assert_vm_alive(&guarded.envoy).await?;

    // The clients leave, and the memory is there again: for others, and for as many once more.
    let everybody = before + CONNECTIONS * STREAMS + last.streams.len() + 4;
    drop((idlers, last));
    guarded.envoy.wait_for_access_log(everybody).await?;
    guarded.expect("afterwards", &message(), Verified).await?;
    guarded.envoy.wait_until_idle().await?;
    let again = Idler::open(address, &target, STREAMS).await?;
    guarded.envoy.wait_for_stat("http.ingress.downstream_rq_active", u64::try_from(STREAMS)?).await?;
    assert_eq!(again.answered(), 0);
    guarded.expect("beside", &message(), Verified).await?;
    assert_vm_alive(&guarded.envoy).await
}
