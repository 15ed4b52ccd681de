//! Legal traffic, as Twilio and SendGrid send it: nothing of it is refused. Each request of a flow goes to the next door.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::replaying;
use super::site::Site;
use crate::support::client::{Client, Opened, Protocol};
use crate::support::guarded::Exchange;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, another_message, event};
use crate::support::sendgrid::Sendgrid;
use crate::support::sign::{Twilio, now, rfc2822};
use crate::support::upstream::{Behaviour, Gate};
use crate::support::{Result, eventually};

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
        {
            "name": "rp-all", "match": {"path": "/rp-all"}, "verify": "twilio", "profile": "messaging",
            "replay": {"dedupe": {"max_deliveries": 6}},
        },
        {
            "name": "ack", "match": {"path": "/ack"}, "verify": "twilio", "profile": "messaging",
            "replay": {"dedupe": {"on_replay": "acknowledge"}},
        },
    ])
}

/// The configuration that these flows need.
pub fn configuration() -> Value {
    let mut plugin = replaying(routes());
    plugin["sendgrid_keys"] = json!([
        {"value": Sendgrid::genuine().public_key(), "label": "a"},
        {"value": Sendgrid::stranger().public_key(), "label": "b"},
    ]);
    plugin
}

/// A request that arrived once and was answered.
pub fn assert_passed(what: &str, exchange: &Exchange) {
    assert!(exchange.response.accepted(), "{what}: {}", exchange.line.0);
    assert_eq!((exchange.line.field("verdict"), exchange.received.len()), ("verified", 1), "{what}");
}

/// A caller presses 9 to hear the menu again, and is sent around by `Redirect`; another says the same word to two `Gather`s.
pub async fn a_menu_may_be_heard_again_and_again(site: &Site) -> Result<()> {
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
                let exchange = site.send(Protocol::BOTH[round % 2], &request).await?;
                assert_passed(&format!("{what}, {path}, {round}"), &exchange);
            }
        }
    }
    assert_eq!(site.upstream.count(), 100);
    site.assert_none_refused().await
}

/// Fifty calls at once open one static URL: one signature for all.
pub async fn fifty_media_streams_to_one_url_are_open_at_once(site: &Site) -> Result<()> {
    let upgrade = Twilio::new(TOKEN).websocket("/media");
    let (mut open, doors) = (Vec::new(), site.doors());
    for number in 0..50 {
        let mut client = Client::connect(doors[number / 2 % doors.len()], Protocol::BOTH[number % 2]).await?;
        match client.open(&upgrade).await? {
            Opened::Tunnel(_, tunnel) => open.push((client, tunnel)),
            Opened::Refused(response) => panic!("stream {number}: {}", response.status),
        }
    }
    assert_eq!((open.len(), site.upstream.count()), (50, 50));
    drop(open);
    let lines = async || {
        (site.envoys.iter().map(|envoy| envoy.access_log().len()).sum::<usize>() == 50).then_some(())
    };
    eventually("the end of every stream", lines).await?;
    site.assert_none_refused().await
}

/// Each status is a callback of its own.
pub async fn each_status_of_a_call_and_of_a_message_passes(site: &Site) -> Result<()> {
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
            assert_passed(status, &site.send(Protocol::Http1, &twilio.form("/call", &parameters)).await?);
        }
        let sid = format!("SM{call:032}");
        for status in ["queued", "sent", "delivered", "read"] {
            let parameters = [("AccountSid", ACCOUNT), ("MessageSid", &sid), ("MessageStatus", status)];
            assert_passed(status, &site.send(Protocol::Http1, &twilio.form("/status", &parameters)).await?);
        }
    }
    assert_eq!(site.upstream.count(), 3 * 8);
    site.assert_none_refused().await
}

/// `rc=5`: five failures of one kind, and then the application takes it.
pub async fn the_sixth_try_passes_whatever_failed_before(site: &Site) -> Result<()> {
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
            site.upstream.script_next("/sms", vec![failure.clone(); 5]);
            for attempt in 0..5 {
                let exchange = site.send(protocol, &message).await?;
                assert_eq!(exchange.received.len(), 1, "{failure:?}, {attempt}: {}", exchange.line.0);
                assert!(!exchange.response.accepted());
            }
            let exchange = site.send(protocol, &message).await?;
            assert_passed(&format!("{failure:?}"), &exchange);
            let header = exchange.received_header("x-twilio-guard").ok_or("no header")?;
            assert!(header.ends_with("; replay=again"), "{header}");
        }
    }
    site.assert_none_refused().await
}

/// Twilio gives up waiting, closes, and tries again: five times, and the sixth is answered.
pub async fn a_client_that_left_before_the_answer_may_come_again(site: &Site) -> Result<()> {
    for protocol in Protocol::BOTH {
        let message = another_message();
        let gate = Gate::closed();
        site.upstream.script_next("/sms", vec![Behaviour::Hold(gate.clone()); 5]);
        for _ in 0..5 {
            site.leave("a try", protocol, &message).await?;
        }
        gate.open();
        assert_passed("the sixth", &site.send(protocol, &message).await?);
    }
    site.assert_none_refused().await
}

/// The primary URL fails, and Twilio takes the same message to the fallback URL, which says why.
pub async fn the_fallback_url_gets_what_the_primary_failed_on(site: &Site) -> Result<()> {
    let twilio = Twilio::new(TOKEN);
    let message =
        [("MessageSid", "SM00000000000000000000000000000077"), ("AccountSid", ACCOUNT), ("Body", "hello")];
    let failed =
        [&message[..], &[("ErrorCode", "11200"), ("ErrorUrl", "https://hooks.example.org/sms")]].concat();
    site.upstream.script_next("/sms", [Behaviour::Status(500)]);
    assert_eq!(site.send(Protocol::Http1, &twilio.form("/sms", &message)).await?.response.status, 500);
    assert_passed("another URL", &site.send(Protocol::Http1, &twilio.form("/fallback", &failed)).await?);
    // The same URL entered twice.
    assert_passed("the same URL", &site.send(Protocol::Http1, &twilio.form("/sms", &failed)).await?);
    site.assert_none_refused().await
}

/// Senders that try for hours try more often than six times: Inbound Parse 36 times in 72 hours, Event Streams without a
/// fixed number in four.
pub async fn senders_that_try_for_hours_are_never_told_that_it_was_enough(site: &Site) -> Result<()> {
    let batch = Twilio::new(TOKEN).json("/events", &event("delivered", 0));
    let events = Sendgrid::genuine().events("/mail/a", "[{\"event\":\"delivered\"}]");
    let mail = Sendgrid::genuine().post("/parse", "multipart/form-data; boundary=x", "--x--\r\n");
    for (path, request) in [("/events", batch), ("/mail/a", events), ("/parse", mail)] {
        site.upstream.script_next(path, vec![Behaviour::Status(503); 60]);
        for attempt in 0..60 {
            let exchange = site.send(Protocol::BOTH[attempt % 2], &request).await?;
            assert_eq!(exchange.received.len(), 1, "{path}, {attempt}: {}", exchange.line.0);
        }
        assert_passed(path, &site.send(Protocol::Http1, &request).await?);
    }
    site.assert_none_refused().await
}

/// Two webhooks of one SendGrid account get the same events in the same second, each signed with its own key.
pub async fn two_sendgrid_webhooks_may_be_sent_the_same_events(site: &Site) -> Result<()> {
    for (sender, path) in [(Sendgrid::genuine(), "/mail/a"), (Sendgrid::stranger(), "/mail/b")] {
        let request = sender.events(path, "[{\"event\":\"open\"}]");
        site.upstream.script_next(path, [Behaviour::Status(503)]);
        assert_eq!(site.send(Protocol::Http1, &request).await?.response.status, 503);
        assert_passed(path, &site.send(Protocol::Http1, &request).await?);
    }
    site.assert_none_refused().await
}

/// `rp=all`: Twilio also tries again after a 4xx, which the filter takes for a delivery. Such a route says so.
pub async fn where_4xx_answers_are_retried_max_deliveries_allows_it(site: &Site) -> Result<()> {
    let message = Twilio::new(TOKEN).form("/rp-all", &MESSAGE);
    site.upstream.script_next("/rp-all", vec![Behaviour::Status(404); 5]);
    for _ in 0..5 {
        assert_eq!(site.send(Protocol::Http1, &message).await?.response.status, 404);
    }
    assert_passed("the sixth", &site.send(Protocol::Http1, &message).await?);
    site.assert_none_refused().await
}

/// The application took it, and the answer was lost on its way to Twilio, which tries again. Such a route says so, and all is well
/// without a second delivery.
pub async fn a_lost_answer_is_made_up_for(site: &Site) -> Result<()> {
    let message = Twilio::new(TOKEN).form("/ack", &MESSAGE);
    assert_passed("delivered", &site.send(Protocol::Http1, &message).await?);
    for protocol in Protocol::BOTH {
        let again = site.send(protocol, &message).await?;
        assert_eq!((again.response.status, again.received.len()), (200, 0), "{}", again.line.0);
    }
    site.assert_alive().await
}

/// A test for each flow, at the site that `$start` makes for their configuration.
macro_rules! test_legal_flows {
    ($start:path) => {
        $crate::windows::legal::test_legal_flows! { $start:
            a_menu_may_be_heard_again_and_again,
            fifty_media_streams_to_one_url_are_open_at_once,
            each_status_of_a_call_and_of_a_message_passes,
            the_sixth_try_passes_whatever_failed_before,
            a_client_that_left_before_the_answer_may_come_again,
            the_fallback_url_gets_what_the_primary_failed_on,
            senders_that_try_for_hours_are_never_told_that_it_was_enough,
            two_sendgrid_webhooks_may_be_sent_the_same_events,
            where_4xx_answers_are_retried_max_deliveries_allows_it,
            a_lost_answer_is_made_up_for,
        }
    };
    ($start:path: $($flow:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $flow() -> $crate::support::Result<()> {
            let configuration = $crate::windows::legal::configuration();
            $crate::windows::legal::$flow(&$start(&configuration).await?).await
        }
    )+};
}
pub(crate) use test_legal_flows;

/// Sends that many distinct messages a second, over four connections; each must be answered 200. Never more: what a slow machine is
/// late with is not caught up, or it would be another load.
pub async fn sustain(site: &Site, rate: u32, seconds: u32) -> Result<usize> {
    const SENDERS: u32 = 4;
    let mut senders = tokio::task::JoinSet::new();
    let (began, doors) = (Instant::now(), site.doors());
    let period = Duration::from_secs(1) * SENDERS / rate;
    for sender in 0..SENDERS {
        let address = doors[usize::try_from(sender / 2)? % doors.len()];
        senders.spawn(async move {
            let protocol = Protocol::BOTH[usize::try_from(sender % 2)?];
            let mut client = Client::connect(address, protocol).await?;
            let count = rate * seconds / SENDERS;
            // The pace is the load, nothing waits for it.
            let mut pace = tokio::time::interval_at((began + period * sender / SENDERS).into(), period);
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for _ in 0..count {
                pace.tick().await;
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
        (site.upstream.count() >= sent).then(|| site.upstream.count())
    });
    received.await?;
    Ok(sent)
}
