//! Legal traffic, as Twilio and SendGrid send it: nothing of it is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::replaying;
use crate::guarded::Outcome::Refused;
use crate::guarded::{Exchange, Guarded, assert_vm_alive, start};
use crate::support::client::{self, Client, Opened, Protocol};
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, TOKEN, another_message, event};
use crate::support::sendgrid::Sendgrid;
use crate::support::sign::{Twilio, now, rfc2822};
use crate::support::upstream::{Behaviour, Gate, Upstream};
use crate::support::{Result, eventually, module};

const CALL: &str = "CA00000000000000000000000000000001";

/// A route for each profile that these flows use.
fn routes() -> Value {
    json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
        {"name": "fallback", "match": {"path": "/fallback"}, "verify": "twilio", "profile": "messaging"},
        {"name": "status", "match": {"path": "/status"}, "verify": "twilio", "profile": "message-status"},
        {"name": "voice", "match": {"path": "/voice"}, "verify": "twilio", "profile": "voice"},
        {"name": "menu", "match": {"path": "/menu"}, "verify": "twilio"},
        {"name": "call", "match": {"path": "/call"}, "verify": "twilio", "profile": "call-status"},
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio", "profile": "media-stream"},
        {"name": "events", "match": {"path": "/events"}, "verify": "twilio", "profile": "event-streams"},
        {"name": "mail-a", "match": {"path": "/mail/a"}, "verify": "sendgrid", "profile": "sendgrid-events"},
        {"name": "mail-b", "match": {"path": "/mail/b"}, "verify": "sendgrid", "profile": "sendgrid-events"},
        {"name": "parse", "match": {"path": "/parse"}, "verify": "sendgrid", "profile": "inbound-parse"},
    ])
}

fn configuration() -> Value {
    let mut plugin = replaying(routes());
    plugin["sendgrid_keys"] = json!([
        {"value": Sendgrid::genuine().public_key(), "label": "a"},
        {"value": Sendgrid::stranger().public_key(), "label": "b"},
    ]);
    plugin
}

/// The end of a flow: nothing was refused, and no VM died.
async fn assert_none_refused(envoy: &Envoy) -> Result<()> {
    for line in envoy.access_log() {
        assert_ne!(line.field("verdict"), "refused", "{}", line.0);
    }
    assert_vm_alive(envoy).await
}

fn assert_passed(what: &str, exchange: &Exchange) {
    assert!(exchange.response.accepted(), "{what}: {}", exchange.line.0);
    assert_eq!((exchange.line.field("verdict"), exchange.received.len()), ("verified", 1), "{what}");
}

/// A caller presses 9 to hear the menu again, and is sent around by `Redirect`; another says the same word to two `Gather`s.
#[tokio::test]
async fn a_menu_may_be_heard_again_and_again() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let twilio = Twilio::new(TOKEN);
    let call = [("AccountSid", ACCOUNT), ("CallSid", CALL), ("CallStatus", "in-progress")];
    let pressed = [&call[..], &[("Digits", "9"), ("msg", "Gather End")]].concat();
    let partial = [&call[..], &[("SequenceNumber", "0"), ("UnstableSpeechResult", "yes")]].concat();
    for round in 0..10 {
        for path in ["/voice", "/menu"] {
            for (what, request) in [
                ("the menu", twilio.form(path, &call)),
                ("nine", twilio.form(path, &pressed)),
                ("nine, as GET", twilio.get(&format!("{path}?Digits=9&CallSid={CALL}&AccountSid={ACCOUNT}"))),
                ("a Redirect back", twilio.form(&format!("{path}?again=1"), &pressed)),
                ("a partial result of another Gather", twilio.form(path, &partial)),
            ] {
                let exchange = guarded.send(Protocol::BOTH[round % 2], &request).await?;
                assert_passed(&format!("{what}, {path}, {round}"), &exchange);
            }
        }
    }
    assert_eq!(guarded.upstream.count(), 100);
    assert_none_refused(&guarded.envoy).await
}

/// Fifty calls at once open one static URL: one signature for all.
#[tokio::test]
async fn fifty_media_streams_to_one_url_are_open_at_once() -> Result<()> {
    let (upstream, envoy) = start(&configuration()).await?;
    let upgrade = Twilio::new(TOKEN).websocket("/media");
    let mut open = Vec::new();
    for number in 0..50 {
        let mut client = Client::connect(envoy.address(), Protocol::BOTH[number % 2]).await?;
        match client.open(&upgrade).await? {
            Opened::Tunnel(_, tunnel) => open.push((client, tunnel)),
            Opened::Refused(response) => panic!("stream {number}: {}", response.status),
        }
    }
    assert_eq!((open.len(), upstream.count()), (50, 50));
    envoy.wait_for_stat("http.ingress.downstream_cx_upgrades_active", 25).await?;
    drop(open);
    envoy.wait_for_access_log(50).await?;
    assert_none_refused(&envoy).await
}

#[tokio::test]
async fn each_status_of_a_call_and_of_a_message_passes() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let twilio = Twilio::new(TOKEN);
    for call in 0..3 {
        let sid = format!("CA{call:032}");
        let statuses = ["initiated", "ringing", "in-progress", "completed"];
        for (number, status) in ["0", "1", "2", "3"].into_iter().zip(statuses) {
            let time = rfc2822(now());
            let parameters = [
                ("AccountSid", ACCOUNT),
                ("CallSid", &sid),
                ("CallStatus", status),
                ("SequenceNumber", number),
                ("Timestamp", &time),
                ("CallbackSource", "call-progress-events"),
            ];
            assert_passed(status, &guarded.send(Protocol::Http1, &twilio.form("/call", &parameters)).await?);
        }
        let sid = format!("SM{call:032}");
        for status in ["queued", "sent", "delivered", "read"] {
            let parameters = [("AccountSid", ACCOUNT), ("MessageSid", &sid), ("MessageStatus", status)];
            assert_passed(
                status,
                &guarded.send(Protocol::Http1, &twilio.form("/status", &parameters)).await?,
            );
        }
    }
    assert_eq!(guarded.upstream.count(), 3 * 8);
    assert_none_refused(&guarded.envoy).await
}

/// `rc=5`: five failures of one kind, and then the application takes it.
#[tokio::test]
async fn the_sixth_try_passes_whatever_failed_before() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    for failure in [
        Behaviour::Status(500),
        Behaviour::Status(502),
        Behaviour::Status(503),
        Behaviour::Status(504),
        Behaviour::Status(408),
        Behaviour::Status(425),
        Behaviour::Status(429),
        Behaviour::Reset,
    ] {
        for protocol in Protocol::BOTH {
            let message = another_message();
            guarded.upstream.script_next("/sms", vec![failure.clone(); 5]);
            for attempt in 0..5 {
                let exchange = guarded.send(protocol, &message).await?;
                assert_eq!(exchange.received.len(), 1, "{failure:?}, {attempt}: {}", exchange.line.0);
                assert!(!exchange.response.accepted());
            }
            let exchange = guarded.send(protocol, &message).await?;
            assert_passed(&format!("{failure:?}"), &exchange);
            let header = exchange.received_header("x-twilio-guard").ok_or("no header")?;
            assert!(header.ends_with("; replay=again"), "{header}");
        }
    }
    assert_none_refused(&guarded.envoy).await
}

/// What nobody got is as if it had not come, however often: the application is down, or a filter behind this one says no.
#[tokio::test]
async fn a_request_that_reached_nobody_may_come_again_without_end() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let address = guarded.upstream.address();
    let message = another_message();
    let Guarded { upstream, envoy } = guarded;
    drop(upstream);
    for attempt in 0..20 {
        let response = client::send(envoy.address(), Protocol::BOTH[attempt % 2], &message).await?;
        assert_eq!(response.status, 503);
    }
    envoy.wait_for_access_log(20).await?;
    let upstream = Upstream::start_at(address).await?;
    let guarded = Guarded { upstream, envoy };
    assert_passed("the application is back", &guarded.send(Protocol::Http1, &message).await?);
    let again = guarded.send(Protocol::Http1, &message).await?;
    again.assert("delivered by now", Refused(409, "replayed"));

    let envoy = Envoy::start(&limited(guarded.upstream.address())?).await?;
    let guarded = Guarded { envoy, ..guarded };
    assert_passed("within the limit", &guarded.send(Protocol::Http1, &another_message()).await?);
    let message = another_message();
    for _ in 0..10 {
        assert_eq!(guarded.send(Protocol::Http1, &message).await?.response.status, 429);
    }
    assert_none_refused(&guarded.envoy).await
}

/// With a rate limit of one request behind the filter.
fn limited(upstream: std::net::SocketAddr) -> Result<EnvoyConfig> {
    let filter = WasmFilter::new(module::path()?, &configuration());
    Ok(EnvoyConfig::new(upstream).filter(filter).ingress(|ingress| {
        ingress.edit(|manager| {
            let limit = json!({
                "name": "limit",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
                    "stat_prefix": "limit",
                    "token_bucket": {"max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "3600s"},
                    "filter_enabled": {"default_value": {"numerator": 100}},
                    "filter_enforced": {"default_value": {"numerator": 100}},
                },
            });
            manager["http_filters"].as_array_mut().expect("filters").insert(1, limit);
        })
    }))
}

/// Twilio gives up waiting, closes, and tries again: five times, and the sixth is answered.
#[tokio::test]
async fn a_client_that_left_before_the_answer_may_come_again() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    for protocol in Protocol::BOTH {
        let message = another_message();
        let gate = Gate::closed();
        guarded.upstream.script_next("/sms", vec![Behaviour::Hold(gate.clone()); 5]);
        for _ in 0..5 {
            let (lines, received) = (guarded.envoy.access_log().len(), guarded.upstream.count());
            let mut client = Client::connect(guarded.envoy.address(), protocol).await?;
            let length = u64::try_from(message.body.len())?;
            let (feed, pending) = client.start(&message, Some(length)).await?;
            feed.data(message.body.clone());
            drop(feed);
            guarded.upstream.wait_for(received + 1).await?;
            drop((pending, client));
            guarded.envoy.wait_for_access_log(lines + 1).await?;
        }
        gate.open();
        assert_passed("the sixth", &guarded.send(protocol, &message).await?);
    }
    assert_none_refused(&guarded.envoy).await
}

/// Envoy gives up waiting for the application (`timeout`, `per_try_timeout`), or tries again by itself.
#[tokio::test]
async fn what_envoy_gave_up_waiting_for_may_come_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &configuration());
    let config = EnvoyConfig::new(upstream.address()).filter(filter).ingress(|ingress| {
        ingress.edit(|manager| {
            manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["timeout"] = "0.1s".into();
        })
    });
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };
    let message = another_message();
    let gate = Gate::closed();
    guarded.upstream.script_next("/sms", vec![Behaviour::Hold(gate.clone()); 5]);
    for _ in 0..5 {
        assert_eq!(guarded.send(Protocol::Http1, &message).await?.response.status, 504);
    }
    gate.open();
    assert_passed("the sixth", &guarded.send(Protocol::Http1, &message).await?);

    let mut retrying = config;
    retrying = retrying.ingress(|ingress| {
        ingress.edit(|manager| {
            let route = &mut manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"];
            route["timeout"] = "15s".into();
            route["retry_policy"] = json!({"retry_on": "5xx", "num_retries": 2});
        })
    });
    let guarded = Guarded { envoy: Envoy::start(&retrying).await?, ..guarded };
    let message = another_message();
    guarded.upstream.script_next("/sms", vec![Behaviour::Status(500); 2]);
    let exchange = guarded.send(Protocol::Http1, &message).await?;
    assert_eq!((exchange.response.status, exchange.received.len()), (200, 3), "one pass, in three tries");
    let again = guarded.send(Protocol::Http1, &message).await?;
    again.assert("delivered", Refused(409, "replayed"));
    Ok(())
}

/// The primary URL fails, and Twilio takes the same message to the fallback URL, which says why.
#[tokio::test]
async fn the_fallback_url_gets_what_the_primary_failed_on() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let twilio = Twilio::new(TOKEN);
    let message =
        [("MessageSid", "SM00000000000000000000000000000077"), ("AccountSid", ACCOUNT), ("Body", "hello")];
    let failed =
        [&message[..], &[("ErrorCode", "11200"), ("ErrorUrl", "https://hooks.example.org/sms")]].concat();
    guarded.upstream.script_next("/sms", [Behaviour::Status(500)]);
    assert_eq!(guarded.send(Protocol::Http1, &twilio.form("/sms", &message)).await?.response.status, 500);
    assert_passed("another URL", &guarded.send(Protocol::Http1, &twilio.form("/fallback", &failed)).await?);
    // The same URL entered twice.
    assert_passed("the same URL", &guarded.send(Protocol::Http1, &twilio.form("/sms", &failed)).await?);
    assert_none_refused(&guarded.envoy).await
}

/// Senders that try for hours try more often than six times: Inbound Parse 36 times in 72 hours, Event Streams without a
/// fixed number in four.
#[tokio::test]
async fn senders_that_try_for_hours_are_never_told_that_it_was_enough() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    let batch = Twilio::new(TOKEN).json("/events", &event("delivered", 0));
    let events = Sendgrid::genuine().events("/mail/a", "[{\"event\":\"delivered\"}]");
    let mail = Sendgrid::genuine().post("/parse", "multipart/form-data; boundary=x", "--x--\r\n");
    for (path, request) in [("/events", batch), ("/mail/a", events), ("/parse", mail)] {
        guarded.upstream.script_next(path, vec![Behaviour::Status(503); 60]);
        for attempt in 0..60 {
            let exchange = guarded.send(Protocol::BOTH[attempt % 2], &request).await?;
            assert_eq!(exchange.received.len(), 1, "{path}, {attempt}: {}", exchange.line.0);
        }
        assert_passed(path, &guarded.send(Protocol::Http1, &request).await?);
    }
    assert_none_refused(&guarded.envoy).await
}

/// Two webhooks of one SendGrid account get the same events in the same second, each signed with its own key.
#[tokio::test]
async fn two_sendgrid_webhooks_may_be_sent_the_same_events() -> Result<()> {
    let guarded = Guarded::start(&configuration()).await?;
    for (sender, path) in [(Sendgrid::genuine(), "/mail/a"), (Sendgrid::stranger(), "/mail/b")] {
        let request = sender.events(path, "[{\"event\":\"open\"}]");
        guarded.upstream.script_next(path, [Behaviour::Status(503)]);
        assert_eq!(guarded.send(Protocol::Http1, &request).await?.response.status, 503);
        assert_passed(path, &guarded.send(Protocol::Http1, &request).await?);
    }
    assert_none_refused(&guarded.envoy).await
}

/// `rp=all`: Twilio also tries again after a 4xx, which the filter takes for a delivery. Such a route says so.
#[tokio::test]
async fn where_4xx_answers_are_retried_max_deliveries_allows_it() -> Result<()> {
    let mut plugin = configuration();
    plugin["routes"][0]["replay"] = json!({"dedupe": {"max_deliveries": 6}});
    let guarded = Guarded::start(&plugin).await?;
    let message = another_message();
    guarded.upstream.script_next("/sms", vec![Behaviour::Status(404); 5]);
    for _ in 0..5 {
        assert_eq!(guarded.send(Protocol::Http1, &message).await?.response.status, 404);
    }
    assert_passed("the sixth", &guarded.send(Protocol::Http1, &message).await?);
    assert_none_refused(&guarded.envoy).await
}

/// Requests at a steady rate, each another one, over several windows of two seconds, on two workers.
#[tokio::test]
async fn a_steady_rate_of_distinct_messages_is_never_refused() -> Result<()> {
    const RATE: u32 = 200;
    const SECONDS: u32 = 6;
    let mut plugin = configuration();
    plugin["replay"] =
        json!({"dedupe": {"window": "2s", "lease": "2s"}, "store": {"local": {"capacity": 1024}}});
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &plugin);
    let config = EnvoyConfig::new(upstream.address()).filter(filter).concurrency(2);
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };
    let sent = sustain(&guarded, RATE, SECONDS).await?;
    assert_eq!(guarded.upstream.count(), sent);
    assert_eq!(guarded.envoy.stat("wasmcustom.twilio_guard_replay_evictions").await?, 0);
    assert_none_refused(&guarded.envoy).await
}

/// Sends that many distinct messages a second, over four connections; each must be answered 200.
pub(super) async fn sustain(guarded: &Guarded, rate: u32, seconds: u32) -> Result<usize> {
    const SENDERS: u32 = 4;
    let mut senders = tokio::task::JoinSet::new();
    let began = Instant::now();
    for sender in 0..SENDERS {
        let address = guarded.envoy.address();
        senders.spawn(async move {
            let protocol = Protocol::BOTH[usize::try_from(sender % 2)?];
            let mut client = Client::connect(address, protocol).await?;
            let count = rate * seconds / SENDERS;
            for number in 0..count {
                // The pace is the load, nothing waits for it.
                let due = began + Duration::from_secs(1) * (number * SENDERS + sender) / rate;
                tokio::time::sleep_until(due.into()).await;
                let request: Request = another_message();
                let response = client.send(&request).await?;
                assert_eq!(response.status, 200);
            }
            Ok::<_, crate::support::Error>(usize::try_from(count)?)
        });
    }
    let mut sent = 0;
    while let Some(done) = senders.join_next().await {
        sent += done??;
    }
    let received = eventually("every message at the upstream", async || {
        (guarded.upstream.count() >= sent).then(|| guarded.upstream.count())
    });
    received.await?;
    Ok(sent)
}
