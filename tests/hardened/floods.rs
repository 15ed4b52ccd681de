//! The two limits: connections before TLS, and verified requests behind the filter.

use super::shipped::{Hardened, MANAGER, Setup, bucket};
use crate::support::client::Protocol;
use crate::support::sign::SIGNATURE;
use crate::support::{Result, scenarios};

#[tokio::test]
async fn verified_requests_over_the_limit_are_answered_429_and_counted() -> Result<()> {
    let limit = format!("{MANAGER}/http_filters/1/typed_config/token_bucket");
    let hardened = Hardened::with(Setup::default().change(limit, bucket(2))).await?;
    let genuine = scenarios::another_message;
    let forged = || scenarios::message().without(SIGNATURE);
    let mut statuses = Vec::new();
    for request in [forged(), forged(), genuine(), genuine(), genuine(), forged()] {
        let response = hardened.send(Protocol::Http1, &request).await?;
        assert!(response.headers.contains_key("strict-transport-security"), "{response:?}");
        statuses.push(response.status);
    }
    // A forged request costs no token.
    assert_eq!(statuses, [401, 401, 200, 200, 429, 401]);
    assert_eq!(hardened.upstream.count(), 2);
    let stats = hardened.envoy.stats_matching("webhooks.http_local_rate_limit").await?;
    assert_eq!(stats["webhooks.http_local_rate_limit.ok"], 2);
    assert_eq!(stats["webhooks.http_local_rate_limit.rate_limited"], 1);
    let line = hardened.json_log(6).await?.remove(4);
    assert_eq!((&line["verdict"], &line["details"]), (&"verified".into(), &"local_rate_limited".into()));
    Ok(())
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_counted() -> Result<()> {
    let limit = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/token_bucket";
    let hardened = Hardened::with(Setup::default().change(limit, bucket(2))).await?;
    for _ in 0..2 {
        assert_eq!(hardened.send(Protocol::Http2, &scenarios::another_message()).await?.status, 200);
    }
    for _ in 0..2 {
        assert!(hardened.send(Protocol::Http2, &scenarios::another_message()).await.is_err());
    }
    assert_eq!(hardened.envoy.stat("local_rate_limit.connections.rate_limited").await?, 2);
    assert_eq!(hardened.upstream.count(), 2);
    Ok(())
}
