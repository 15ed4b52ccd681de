//! TLS towards the application: who it has to be, and that nobody else gets a byte.

use super::shipped::{APPLICATION, Authorities, Hardened, Setup};
use crate::support::client::Protocol;
use crate::support::upstream::Upstream;
use crate::support::{Result, scenarios};

#[tokio::test]
async fn a_verified_webhook_reaches_the_application_over_tls() -> Result<()> {
    let hardened = Hardened::start().await?;
    let response = hardened.send(Protocol::Http2, &scenarios::message()).await?;
    assert_eq!(response.status, 200);
    let received = hardened.upstream.wait_for(1).await?;
    assert_eq!(received[0].body, scenarios::message().body);
    let ssl = hardened.envoy.stats_matching("cluster.application.ssl.").await?;
    assert_eq!(ssl["cluster.application.ssl.handshake"], 1);
    assert!(ssl.keys().any(|name| name.contains("ssl.versions.TLSv1.3")), "{ssl:?}");
    Ok(())
}

#[tokio::test]
async fn an_upstream_of_another_authority_gets_no_byte() -> Result<()> {
    let authorities = Authorities::new()?;
    let upstream = Upstream::start_tls(&authorities.foreign.issue(APPLICATION)?).await?;
    refused(Hardened::before(upstream, authorities, Setup::default()).await?, "fail_verify_error").await
}

#[tokio::test]
async fn an_upstream_of_another_name_gets_no_byte() -> Result<()> {
    let authorities = Authorities::new()?;
    let upstream = Upstream::start_tls(&authorities.internal.issue("other.internal.example.org")?).await?;
    refused(Hardened::before(upstream, authorities, Setup::default()).await?, "fail_verify_san").await
}

/// A genuine webhook is answered 503, Envoy counts why, and the application got nothing.
async fn refused(hardened: Hardened, counter: &str) -> Result<()> {
    let response = hardened.send(Protocol::Http1, &scenarios::message()).await?;
    assert_eq!(response.status, 503);
    let line = hardened.json_log(1).await?.remove(0);
    // Connection failure, after the retry that the route allows.
    assert_eq!((&line["flags"], &line["verdict"]), (&"URX,UF".into(), &"verified".into()));
    let name = format!("cluster.application.ssl.{counter}");
    assert_eq!(hardened.envoy.stat(&name).await?, 2);
    assert_eq!((hardened.upstream.connections(), hardened.upstream.byte_count()), (2, 0));
    Ok(())
}
