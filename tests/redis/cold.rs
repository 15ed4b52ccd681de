//! `cold_start: strict`: a Redis that is younger than a window lets only pass what is provably younger than itself.

use serde_json::{Value, json};

use crate::replicas::{PASSES, REPLAYED, at, expect, site_of};
use crate::support::http::Request;
use crate::support::replay_redis::Replica;
use crate::support::scenarios::{ACCOUNT, TOKEN};
use crate::support::sign::{Twilio, now, rfc2822};
use crate::support::{Result, eventually};
use crate::windows::messages::message;
use crate::windows::replaying;
use crate::windows::site::Site;

const COLD: (u16, &str) = (503, "twilio_guard_cold_start");

/// Two replicas with a Redis that nobody has used yet.
async fn strict() -> Result<(Site, Replica)> {
    let settings = replaying(json!([
        {"name": "sms", "match": {"path_prefix": "/sms"}, "verify": "twilio", "profile": "messaging"},
        {"name": "call", "match": {"path_prefix": "/call"}, "verify": "twilio", "profile": "call-status"},
        {"name": "voice", "match": {"path_prefix": "/voice"}, "verify": "twilio", "profile": "voice"},
        {
            "name": "short", "match": {"path_prefix": "/short"}, "verify": "twilio", "profile": "messaging",
            "replay": {"dedupe": {"window": "2s", "lease": "2s"}},
        },
    ]));
    let strict = |plugin: &mut Value| plugin["replay"]["cold_start"] = "strict".into();
    site_of(&settings, |replica| replica.plugin(strict)).await
}

/// A status of a call, at this time.
fn call(number: usize, time: u64) -> Request {
    let sid = format!("CA{number:032x}");
    let time = rfc2822(time);
    let parameters = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &sid),
        ("CallStatus", "completed"),
        ("SequenceNumber", "3"),
        ("Timestamp", &time),
    ];
    Twilio::new(TOKEN).form("/call", &parameters)
}

/// Sends a request until it is refused no more.
async fn once_it_passes(site: &Site, replica: usize, request: &Request) -> Result<()> {
    let passes = async || at(site, replica, request).await.ok().filter(|line| line.status() == 200);
    eventually("a pass", passes).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_redis_lets_pass_only_what_is_younger_than_itself() -> Result<()> {
    let (mut site, replica) = strict().await?;
    for replica in [0, 1] {
        expect(&site, "no time", replica, &message("/sms", 1), COLD).await?;
        expect(&site, "older than Redis", replica, &call(1, now() - 120), COLD).await?;
    }
    assert_eq!(site.upstream.count(), 0);
    // What is not counted needs no memory.
    let sid = format!("CA{:032x}", 9);
    let voice = [("AccountSid", ACCOUNT), ("CallSid", &*sid), ("CallStatus", "in-progress")];
    expect(&site, "not counted", 0, &Twilio::new(TOKEN).form("/voice", &voice), PASSES).await?;
    // Redis has been remembering since the first question; what is signed for later than that is younger.
    let young = call(2, now() + 5);
    expect(&site, "younger than Redis", 0, &young, PASSES).await?;
    expect(&site, "a copy", 1, &young, REPLAYED).await?;
    // A new replica knows nothing, but Redis does: its age counts.
    site.envoys[1] = replica.start().await?;
    expect(&site, "a copy at a new replica", 1, &young, REPLAYED).await?;
    expect(&site, "at a new replica", 1, &call(3, now() + 5), PASSES).await?;
    expect(&site, "no time", 1, &message("/sms", 1), COLD).await?;
    assert_eq!(site.upstream.count(), 3);
    site.assert_alive().await
}

#[tokio::test]
async fn once_redis_is_a_window_old_everything_passes_and_a_new_replica_need_not_wait() -> Result<()> {
    let (mut site, replica) = strict().await?;
    let copy = message("/short", 1);
    expect(&site, "a new Redis", 0, &copy, COLD).await?;
    once_it_passes(&site, 0, &copy).await?;
    assert_eq!(site.upstream.count(), 1);
    site.envoys[0] = replica.start().await?;
    expect(&site, "a new replica", 0, &message("/short", 2), PASSES).await?;
    expect(&site, "a longer window", 0, &message("/sms", 3), COLD).await?;
    site.assert_alive().await
}

/// With `allow`, a capture passes once more where a Redis that forgot meets a replica that never heard of it. Not so here.
#[tokio::test]
async fn a_redis_that_forgot_lets_no_old_capture_pass() -> Result<()> {
    let (mut site, _) = strict().await?;
    expect(&site, "a new Redis", 0, &call(1, now()), COLD).await?;
    let time = now() + 3;
    let delivered = call(2, time);
    expect(&site, "delivered", 0, &delivered, PASSES).await?;
    // Until its time has come, an empty Redis could be older than it.
    let its_time = async || (now() > time).then_some(());
    eventually("the capture's time", its_time).await?;
    site.redis.as_mut().expect("a Redis").restart().await?;
    let cold = async || at(&site, 1, &delivered).await.ok().filter(|line| line.details() == COLD.1);
    eventually("an answer from Redis", cold).await?;
    expect(&site, "its own delivery", 0, &delivered, REPLAYED).await?;
    assert_eq!(site.upstream.count(), 1);
    site.assert_alive().await
}
