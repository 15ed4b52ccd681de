//! `envoy/quickstart.yaml` keeps what the demo's table promises, over HTTP/1.1 and HTTP/2.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed expectation must fail its test"
)]

mod support;

use std::net::SocketAddr;
use support::client::{self, Protocol};
use support::config::EnvoyConfig;
use support::envoy::Envoy;
use support::quickstart::{self, Addresses};
use support::upstream::Upstream;
use support::{Result, access_log, eventually, module, scenarios};

#[tokio::test]
async fn every_row_of_the_demo_holds_over_both_protocols() -> Result<()> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    for protocol in Protocol::BOTH {
        let upstream = Upstream::start().await?;
        let addresses = Addresses { listener: free, admin: free, upstream: upstream.address() };
        let bootstrap = quickstart::bootstrap(addresses, module::path()?)?;
        let config = EnvoyConfig::new(upstream.address()).envs(scenarios::environment()).concurrency(2);
        let envoy = Envoy::launch(tempfile::tempdir()?, &bootstrap, &config).await?;
        for (row, scenario) in scenarios::all().into_iter().enumerate() {
            scenario.prepare(&upstream);
            let received = upstream.count();
            let response = client::send(envoy.address(), protocol, &scenario.request).await?;
            let line = eventually("the access log", async || {
                access_log::lines(&envoy.stdout()).into_iter().nth(row)
            })
            .await?;
            assert!(
                scenario.expected.holds(&response, line.details(), upstream.count() - received),
                "{protocol:?}, {}: expected {}, got {} ({})",
                scenario.name,
                scenario.expected,
                response.status,
                line.0
            );
        }
        let log = envoy.log();
        let explained = scenarios::explanation(&log).ok_or("nothing is explained")?;
        assert!(explained.contains(r#""would_match":["scheme"]"#), "{explained}");
        assert_eq!(envoy.stat("wasm.twilio_guard.vm_reload_success").await?, 0);
    }
    Ok(())
}

/// The SharedKey alone may be absent.
#[tokio::test]
async fn it_starts_without_a_shared_key_and_not_without_a_key_of_its_routes() -> Result<()> {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let upstream = Upstream::start().await?;
    let addresses = Addresses { listener: free, admin: free, upstream: upstream.address() };
    let bootstrap = quickstart::bootstrap(addresses, module::path()?)?;
    for (left_out, complaint) in [
        ("TWILIO_SHARED_KEY", None),
        ("TWILIO_AUTH_TOKEN", Some("accounts[0].auth_tokens[0].env")),
        ("SENDGRID_PUBLIC_KEY", Some("sendgrid_keys[0].env")),
    ] {
        let variables = scenarios::environment().into_iter().filter(|(name, _)| *name != left_out);
        let config = EnvoyConfig::new(upstream.address()).envs(variables);
        match (Envoy::launch(tempfile::tempdir()?, &bootstrap, &config).await, complaint) {
            (Ok(envoy), None) => {
                let request = scenarios::message();
                assert_eq!(client::send(envoy.address(), Protocol::Http1, &request).await?.status, 200);
            }
            (Err(error), Some(path)) => assert!(error.log.contains(path), "{left_out}: {error}"),
            (Ok(_), Some(_)) => panic!("{left_out}: it started"),
            (Err(error), None) => return Err(error.into()),
        }
    }
    Ok(())
}
