//! What answers in Redis's place is slow, cut short, or no Redis at all.

use std::time::Duration;

use bytes::Bytes;

use crate::line::{Line, Treatment};
use crate::scene::{OnError, Scene, Way, replica};
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::Upstream;
use crate::support::{Result, binary, since};

/// What a server may quote of what it was sent, and nobody may log.
const QUOTED: &str = "Wrvqkzxbnmtq";

/// The replica that waits for an answer for as long as it may take on a slow machine, and the one for what never comes.
const PATIENT: usize = 0;
const HASTY: usize = 1;

/// One application, one line to one Redis, two replicas.
async fn start(on_error: OnError, way: Way) -> Result<(Scene, Line)> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let line = Line::to(redis.address()).await?;
    let envoy = || replica(Replica::with_nodes(upstream.address(), &[line.address()]), on_error, way);
    let replicas = vec![envoy().start().await?, envoy().waiting("1s").start().await?];
    let scene = Scene::of(upstream, redis, replicas);
    scene.plant(QUOTED);
    for replica in [PATIENT, HASTY] {
        scene.recovers("the start", replica).await?;
    }
    Ok((scene, line))
}

/// Replies in place of the one to the script.
fn lines() -> Vec<(&'static str, String, &'static [&'static str])> {
    const MALFORMED: &[&str] = &["malformed"];
    vec![
        ("a text", "$2\r\nOK\r\n".into(), MALFORMED),
        ("a status", "+OK\r\n".into(), MALFORMED),
        ("a number", ":1\r\n".into(), MALFORMED),
        ("one number", "*1\r\n:0\r\n".into(), MALFORMED),
        ("three numbers", "*3\r\n:0\r\n:1\r\n:2\r\n".into(), MALFORMED),
        ("texts", "*2\r\n$1\r\n0\r\n$1\r\n1\r\n".into(), MALFORMED),
        ("an unknown verdict", "*2\r\n:6\r\n:1\r\n".into(), MALFORMED),
        ("a negative number", "*2\r\n:-1\r\n:1\r\n".into(), MALFORMED),
        ("too large a number", "*2\r\n:0\r\n:4294967296\r\n".into(), MALFORMED),
        ("nothing", "$-1\r\n".into(), MALFORMED),
        ("no list", "*-1\r\n".into(), MALFORMED),
        ("a long text", format!("${}\r\n{}\r\n", 20_000, "a".repeat(20_000)), MALFORMED),
        ("another error", format!("-ERR unknown command '{QUOTED}'\r\n"), &["refused"]),
        ("an error of no kind", format!("-{QUOTED}\r\n"), &["refused"]),
        ("loading", "-LOADING Redis is loading the dataset in memory\r\n".into(), &["unready"]),
        (
            "no right",
            "-NOPERM this user has no permissions to run the 'eval' command\r\n".into(),
            &["denied"],
        ),
    ]
}

/// What is no reply at all.
fn others() -> Vec<(&'static str, Treatment)> {
    let instead = |text: String| Treatment::Instead(Bytes::from(text));
    vec![
        (
            "HTTP",
            instead(format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-you-said: {QUOTED}\r\n\r\n")),
        ),
        ("zeros", Treatment::Instead(Bytes::from_static(&[0; 64]))),
        ("TLS", Treatment::Instead(Bytes::from_static(&[0x15, 3, 3, 0, 2, 2, 40]))),
        ("half a reply", instead("*2\r\n:0\r\n:12".into())),
        ("half a reply and the end", Treatment::Last(Bytes::from_static(b"*2\r\n:0\r\n:12"))),
        ("the end", Treatment::Last(Bytes::new())),
        ("an endless line", instead(format!("+{}", "a".repeat(64 * 1024)))),
        ("an endless line and the end", Treatment::Last(Bytes::from(format!("+{}", "a".repeat(64 * 1024))))),
        ("too late", Treatment::Late(Duration::from_secs(3))),
    ]
}

async fn garbage(on_error: OnError) -> Result<()> {
    const ANY: &[&str] = &["malformed", "reset", "unavailable", "timeout", "refused"];
    for way in Way::BOTH {
        let (mut scene, line) = start(on_error, way).await?;
        for (what, reply, codes) in lines() {
            let what = format!("{what}, {on_error:?}, {way:?}");
            line.treat(match way {
                Way::Kept => Treatment::Each(reply.into()),
                // On a connection of its own the call ends with the reply to QUIT.
                Way::Direct => Treatment::Instead(format!("{reply}+OK\r\n").into()),
            });
            scene.fails(&what, PATIENT, on_error, "store_unusable", codes).await?;
            line.treat(Treatment::Faithful);
            scene.recovers(&what, PATIENT).await?;
        }
        // Before, Envoy's own redis_proxy ends the process on what is no RESP (docs/replay-redis.md).
        let is_sound = way == Way::Direct || binary::minor()? >= since::SOUND_REDIS_PROXY;
        for (what, treatment) in others().into_iter().filter(|_| is_sound) {
            let what = format!("{what}, {on_error:?}, {way:?}");
            line.treat(treatment);
            scene.fails(&what, HASTY, on_error, "store_unusable", ANY).await?;
            line.treat(Treatment::Faithful);
            scene.recovers(&what, HASTY).await?;
        }
        if way == Way::Direct {
            line.treat(Treatment::Behind(Bytes::from_static(b"+OK\r\n")));
            scene.fails("more than the reply", PATIENT, on_error, "store_unusable", &["malformed"]).await?;
            line.treat(Treatment::Faithful);
            scene.recovers("more than the reply", PATIENT).await?;
        }
        for replica in [PATIENT, HASTY] {
            scene.store_errors(replica, on_error);
        }
        scene.assert_sound(&format!("{on_error:?}, {way:?}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn under_deny_what_is_no_answer_refuses() -> Result<()> {
    garbage(OnError::Deny).await
}

#[tokio::test]
async fn under_local_what_is_no_answer_leaves_it_to_the_own_store() -> Result<()> {
    garbage(OnError::Local).await
}

#[tokio::test]
async fn under_allow_what_is_no_answer_lets_pass() -> Result<()> {
    garbage(OnError::Allow).await
}

/// A reply that comes in pieces, or within the time that there is, is a reply.
#[tokio::test]
async fn a_slow_answer_is_an_answer() -> Result<()> {
    for way in Way::BOTH {
        let (mut scene, line) = start(OnError::Deny, way).await?;
        for treatment in [Treatment::Bytewise, Treatment::Late(Duration::from_millis(200))] {
            let what = format!("{treatment:?}, {way:?}");
            line.treat(treatment);
            let message = scene.message("/sms");
            scene.passes(&what, PATIENT, &message, "first").await?;
            scene.refused(&what, PATIENT, &message, 409, "replayed").await?;
        }
        scene.assert_sound(&format!("{way:?}")).await?;
    }
    Ok(())
}
