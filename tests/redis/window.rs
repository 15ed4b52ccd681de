//! What one replica lets through, the others refuse.

use crate::support::client::{self, Protocol};
use crate::support::redis::Redis;
use crate::support::replay_redis::Replica;
use crate::support::upstream::Upstream;
use crate::support::{Result, scenarios};

#[tokio::test]
async fn the_second_replica_refuses_what_the_first_delivered() -> Result<()> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let replica = Replica::new(upstream.address(), &redis).patient();
    let (first, second) = (replica.start().await?, replica.start().await?);
    let request = scenarios::message();
    let response = client::send(first.address(), Protocol::Http1, &request).await?;
    assert!(response.accepted(), "{response:?}");
    Replica::settled(&first, 1).await?;
    let response = client::send(second.address(), Protocol::Http1, &request).await?;
    let line = second.wait_for_access_log(1).await?.remove(0);
    assert_eq!((response.status, line.details()), (409, "twilio_guard_replayed"), "{}", line.0);
    assert_eq!(upstream.count(), 1);
    Ok(())
}

/// Where only the body is held: the head goes upstream while Redis is asked, the body of a copy never does.
#[tokio::test]
async fn the_window_holds_where_only_bodies_are_held() -> Result<()> {
    let (upstream, redis) = (Upstream::start().await?, Redis::start().await?);
    let replica =
        Replica::new(upstream.address(), &redis).patient().plugin(|plugin| plugin["hold"] = "body".into());
    let (first, second) = (replica.start().await?, replica.start().await?);
    let request = scenarios::message();
    assert_eq!(client::send(first.address(), Protocol::Http1, &request).await?.status, 200);
    Replica::settled(&first, 1).await?;
    for (envoy, status) in [(&second, 409), (&first, 409), (&second, 409)] {
        assert_eq!(client::send(envoy.address(), Protocol::Http1, &request).await?.status, status);
    }
    let bodies = upstream.requests().iter().filter(|request| !request.body.is_empty()).count();
    assert_eq!(bodies, 1);
    Ok(())
}
