//! Redis fails, in every way and under every policy: what becomes of genuine requests, and that all is well again once Redis is.

use std::process::Child;
use std::time::Instant;

use crate::scene::{OnError, Scene, Way, replica};
use crate::support::redis::Redis;
use crate::support::{Result, eventually};

const PASSWORD: &str = "not told to anybody";

/// What is wrong with Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It does not run, and begins empty.
    Stopped,
    /// It accepts connections and answers nothing.
    Frozen,
    /// It wants a password that nobody gave us.
    Password,
    /// It has no memory left and may not forget anything.
    Full,
    /// It is a replica, which nobody may write to.
    ReadOnly,
    /// Somebody's script runs for ever.
    Busy,
}

impl Cause {
    const ALL: [Self; 6] =
        [Self::Stopped, Self::Frozen, Self::Password, Self::Full, Self::ReadOnly, Self::Busy];

    /// How that is counted: where several are named, whichever clock is first decides.
    const fn codes(self) -> &'static [&'static str] {
        match self {
            // Without redis_proxy nobody says why there is no connection.
            Self::Stopped => &["unavailable", "reset"],
            Self::Frozen => &["timeout", "unavailable", "reset"],
            Self::Password => &["denied"],
            Self::Full => &["full"],
            Self::ReadOnly | Self::Busy => &["unready"],
        }
    }

    /// Why a request is then refused, where it is.
    const fn refusal(self) -> &'static str {
        if matches!(self, Self::Full) { "store_full" } else { "store_unusable" }
    }

    async fn begin(self, redis: &mut Redis) -> Result<Option<Child>> {
        match self {
            Self::Stopped => redis.stop(),
            Self::Frozen => redis.freeze().await?,
            Self::Password => {
                redis.cli(&["config", "set", "requirepass", PASSWORD])?;
                // Connections that are open would stay signed in.
                redis.cli(&["-a", PASSWORD, "client", "kill", "type", "normal"])?;
            }
            Self::Full => {
                redis.cli(&["config", "set", "maxmemory-policy", "noeviction"])?;
                redis.cli(&["config", "set", "maxmemory", "1"])?;
            }
            Self::ReadOnly => drop(redis.cli(&["replicaof", "127.0.0.1", "1"])?),
            Self::Busy => {
                redis.cli(&["config", "set", "lua-time-limit", "1"])?;
                let script = redis.cli_command(&["eval", "while true do end", "0"])?.spawn()?;
                eventually("a busy Redis", async || {
                    redis.cli(&["ping"]).is_ok_and(|answer| answer.starts_with("BUSY")).then_some(())
                })
                .await?;
                return Ok(Some(script));
            }
        }
        Ok(None)
    }

    async fn end(self, redis: &mut Redis, begun: Option<Child>) -> Result<()> {
        match self {
            Self::Stopped => redis.restart().await?,
            Self::Frozen => redis.thaw()?,
            Self::Password => drop(redis.cli(&["-a", PASSWORD, "config", "set", "requirepass", ""])?),
            Self::Full => drop(redis.cli(&["config", "set", "maxmemory", "0"])?),
            Self::ReadOnly => drop(redis.cli(&["replicaof", "no", "one"])?),
            Self::Busy => drop(redis.cli(&["script", "kill"])?),
        }
        if let Some(mut script) = begun {
            script.wait()?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn under_deny_a_genuine_request_is_refused_whatever_is_wrong_with_redis() -> Result<()> {
    every_cause(OnError::Deny).await
}

#[tokio::test]
async fn under_local_the_own_store_decides_whatever_is_wrong_with_redis() -> Result<()> {
    every_cause(OnError::Local).await
}

#[tokio::test]
async fn under_allow_it_passes_whatever_is_wrong_with_redis() -> Result<()> {
    every_cause(OnError::Allow).await
}

/// One Envoy sees everything: it recovers without a restart, each time.
async fn every_cause(on_error: OnError) -> Result<()> {
    for way in Way::BOTH {
        // Who stands still costs as much time as that.
        let mut scene = Scene::start(1, |it| replica(it, on_error, way).waiting("3s")).await?;
        let (began, mut causes) = (Instant::now(), Cause::ALL);
        // Only so many lines are logged, so that each cause has to come first somewhere.
        let first = match on_error {
            OnError::Deny => 0,
            OnError::Local => 2,
            OnError::Allow => 4,
        };
        causes.rotate_left(first + usize::from(way == Way::Direct));
        scene.recovers("the start", 0).await?;
        for cause in causes {
            let what = format!("{cause:?}, {on_error:?}, {way:?}");
            let logged_before = scene.store_errors(0, on_error).len();
            let begun = cause.begin(&mut scene.redis).await?;
            if cause == Cause::Password {
                eventually("the end of connections", async || {
                    let open = scene.replicas[0].stat("cluster.redis.upstream_cx_active").await.ok()?;
                    (open == 0).then_some(())
                })
                .await?;
            }
            scene.fails(&what, 0, on_error, cause.refusal(), cause.codes()).await?;
            if cause == causes[0] {
                let logged = scene.store_errors(0, on_error).split_off(logged_before);
                assert!(!logged.is_empty(), "{what}");
                assert!(
                    logged.iter().all(|code| cause.codes().contains(&code.as_str())),
                    "{what}: {logged:?}"
                );
            }
            cause.end(&mut scene.redis, begun).await?;
            scene.recovers(&what, 0).await?;
        }
        let logged = scene.store_errors(0, on_error);
        let tens_of_seconds = usize::try_from(began.elapsed().as_secs() / 10)? + 1;
        let most = 2 * (3 + tens_of_seconds);
        assert!(logged.len() <= most, "three lines a worker, then one each ten seconds: {logged:?}");
        scene.assert_sound(&format!("{on_error:?}, {way:?}")).await?;
    }
    Ok(())
}
