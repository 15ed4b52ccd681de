//! Whom Redis is asked about: verified, fresh, eligible requests that the own store does not know.

use serde_json::json;

use crate::replicas::{PASSES, REPLAYED, answered, calls, deliver, expect, pass_under_way, site};
use crate::support::Result;
use crate::support::http::Request;
use crate::support::scenarios::{ACCOUNT, MESSAGE, TOKEN, event};
use crate::support::sendgrid::Sendgrid;
use crate::support::sign::{SIGNATURE, Twilio, now, rfc2822};
use crate::support::upstream::{Behaviour, Gate};
use crate::windows::captures;
use crate::windows::messages::{self, message};
use crate::windows::replaying;

/// Nothing is asked, and nothing is in Redis.
#[tokio::test]
async fn nobody_asks_about_what_is_refused_anyway_or_is_not_counted() -> Result<()> {
    let mut settings = replaying(json!([
        {"name": "sms", "match": {"path": "/sms"}, "verify": "twilio", "profile": "messaging"},
        {"name": "events", "match": {"path": "/events"}, "verify": "twilio", "profile": "event-streams"},
        {"name": "call", "match": {"path": "/call"}, "verify": "twilio", "profile": "call-status"},
        {"name": "voice", "match": {"path": "/voice"}, "verify": "twilio", "profile": "voice"},
        {"name": "media", "match": {"path": "/media"}, "verify": "twilio", "profile": "media-stream"},
        {"name": "mail", "match": {"path": "/mail"}, "verify": "sendgrid", "profile": "sendgrid-events"},
        {"name": "denied", "match": {"path": "/denied"}, "verify": "deny"},
        {
            "name": "none", "match": {"path": "/none"}, "verify": "twilio", "profile": "messaging",
            "replay": {"dedupe": {"eligible": "none"}},
        },
    ]));
    settings["sendgrid_keys"] = json!([{"value": Sendgrid::genuine().public_key(), "label": "events"}]);
    let site = site(&settings).await?;
    let (twilio, genuine) = (Twilio::new(TOKEN), Twilio::new(TOKEN).form("/sms", &MESSAGE));
    let at = |age: u64| rfc2822(now() - age);
    let sid = format!("CA{:032x}", 1);
    let call = |time: &str| {
        let parameters = [("AccountSid", ACCOUNT), ("CallSid", &sid), ("CallStatus", "completed")];
        twilio.form("/call", &[&parameters[..], &[("SequenceNumber", "1"), ("Timestamp", time)]].concat())
    };
    let voice = [("AccountSid", ACCOUNT), ("CallSid", &*sid), ("CallStatus", "in-progress")];
    let mail = Sendgrid::genuine().events("/mail", "[]");
    let old_mail = (now() - 80 * 3600).to_string();
    let requests = [
        ("unprotected", Request::post("/open", "text/plain", "x"), 200, "via_upstream"),
        ("denied", genuine.clone(), 403, "twilio_guard_denied"),
        ("unsigned", genuine.clone().without(SIGNATURE), 401, "twilio_guard_missing_signature"),
        ("another body", genuine.clone().body("Body=x"), 401, "twilio_guard_mismatch"),
        ("another token", Twilio::new("not the token").form("/sms", &MESSAGE), 401, "twilio_guard_mismatch"),
        (
            "another host",
            genuine.clone().authority("elsewhere.example"),
            403,
            "twilio_guard_host_not_accepted",
        ),
        ("a stale event", twilio.json("/events", &event("sent", 48 * 3600)), 408, "twilio_guard_stale"),
        ("a stale call", call(&at(3600)), 408, "twilio_guard_stale"),
        ("a call with no time", call("later"), 401, "twilio_guard_malformed_param"),
        (
            "stale mail",
            Sendgrid::genuine().post_at(&old_mail, "/mail", "application/json", "[]"),
            503,
            "twilio_guard_stale",
        ),
        ("changed mail", mail.body("[1]"), 401, "twilio_guard_mismatch"),
        ("voice", twilio.form("/voice", &voice), 200, "via_upstream"),
        ("a media stream", twilio.websocket("/media"), 101, "downstream_remote_disconnect"),
        ("not counted", twilio.form("/none", &MESSAGE), 200, "via_upstream"),
    ];
    for (what, request, status, details) in requests {
        let request =
            if what == "denied" { Request { target: "/denied".to_owned(), ..request } } else { request };
        for round in 0..4 {
            expect(&site, what, round % 2, &request, (status, details)).await?;
        }
    }
    for envoy in &site.envoys {
        assert_eq!((calls(envoy).await?, answered(envoy).await?), (0, 0));
    }
    assert_eq!(site.redis.as_ref().expect("a Redis").keys()?, [""; 0]);
    // The control: what is verified, fresh and eligible.
    expect(&site, "a message", 0, &genuine, PASSES).await?;
    assert_eq!(
        (answered(&site.envoys[0]).await?, site.redis.as_ref().expect("a Redis").keys()?.len()),
        (1, 1)
    );
    Ok(())
}

/// The own store comes first: what it knows costs no call, whatever it knows.
#[tokio::test]
async fn nobody_asks_about_what_the_own_store_refuses() -> Result<()> {
    let site = site(&messages::settings()).await?;
    let [first, second] = &site.envoys[..] else { panic!("two replicas") };

    // Delivered here.
    let delivered = message("/sms/1", 1);
    expect(&site, "delivered", 0, &delivered, PASSES).await?;
    let so_far = calls(first).await?;
    assert_eq!((so_far, answered(first).await?), (2, 1), "one question, one settlement");
    for _ in 0..10 {
        expect(&site, "a copy", 0, &delivered, REPLAYED).await?;
    }
    assert_eq!(calls(first).await?, so_far);

    // Delivered by the other one: Redis is asked once, and its answer is kept. There is nothing to settle.
    for _ in 0..10 {
        expect(&site, "a copy elsewhere", 1, &delivered, REPLAYED).await?;
    }
    assert_eq!((calls(second).await?, answered(second).await?), (1, 1));

    // Under way here.
    let (gate, copy) = (Gate::closed(), message("/sms/2", 2));
    site.upstream.script("/sms/2", Behaviour::Hold(gate.clone()));
    let under_way = pass_under_way(&site, 0, &copy).await?;
    let so_far = calls(first).await?;
    for _ in 0..10 {
        expect(&site, "under way", 0, &copy, (503, "twilio_guard_in_flight")).await?;
    }
    assert_eq!(calls(first).await?, so_far);
    deliver(&site, &gate, under_way).await?;
    site.settled().await?;

    // Exhausted here.
    let copy = message("/tries/3", 3);
    site.upstream.script("/tries/3", Behaviour::Status(500));
    for _ in 0..3 {
        expect(&site, "it fails", 0, &copy, (500, "via_upstream")).await?;
    }
    let so_far = calls(first).await?;
    for _ in 0..10 {
        expect(&site, "exhausted", 0, &copy, (409, "twilio_guard_attempts_exhausted")).await?;
    }
    assert_eq!(calls(first).await?, so_far);
    Ok(())
}

/// Attempts of the other replica are known to Redis alone, so it is asked, and refuses.
#[tokio::test]
async fn a_replica_that_never_saw_a_capture_is_told_that_it_is_exhausted() -> Result<()> {
    let site = site(&captures::settings()).await?;
    let copy = message("/messaging", 1);
    site.upstream.script("/messaging", Behaviour::Status(500));
    for _ in 0..6 {
        expect(&site, "it fails", 0, &copy, (500, "via_upstream")).await?;
    }
    for _ in 0..3 {
        expect(&site, "exhausted", 1, &copy, (409, "twilio_guard_attempts_exhausted")).await?;
    }
    assert_eq!(site.upstream.count(), 6);
    Ok(())
}
