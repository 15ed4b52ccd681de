//! Legal traffic, as Twilio and SendGrid send it: nothing of it is refused.

use serde_json::json;

use crate::guarded::Guarded;
use crate::guarded::Outcome::Refused;
use crate::support::client::{self, Protocol};
use crate::support::config::{EnvoyConfig, UPSTREAM, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::scenarios::another_message;
use crate::support::scenes::{add_routes, under};
use crate::support::upstream::{Behaviour, Gate, Port, Upstream};
use crate::support::{Result, module};
use crate::windows::legal::{assert_passed, configuration, sustain, test_legal_flows};
use crate::windows::site::Site;

test_legal_flows!(Site::alone);

/// What nobody got is as if it had not come, however often: the application is down, or a filter behind this one says no.
#[tokio::test]
async fn a_request_that_reached_nobody_may_come_again_without_end() -> Result<()> {
    let port = Port::reserve()?;
    let filter = WasmFilter::new(module::path()?, &configuration());
    let envoy = Envoy::start(&EnvoyConfig::new(port.address()).filter(filter)).await?;
    let message = another_message();
    for attempt in 0..20 {
        let response = client::send(envoy.address(), Protocol::BOTH[attempt % 2], &message).await?;
        assert_eq!(response.status, 503);
    }
    envoy.wait_for_access_log(20).await?;
    let guarded = Guarded { upstream: Upstream::start_on(port)?, envoy };
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
    Site::of_proxies(guarded.upstream, vec![guarded.envoy], None).assert_none_refused().await
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

/// Envoy gives up waiting for the application (`timeout`, `per_try_timeout`), or tries again by itself.
#[tokio::test]
async fn what_envoy_gave_up_waiting_for_may_come_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &configuration());
    let config = EnvoyConfig::new(upstream.address())
        .filter(filter)
        .ingress(|ingress| ingress.edit(|manager| add_routes(manager, UPSTREAM)));
    let guarded = Guarded { envoy: Envoy::start(&config).await?, upstream };
    let message = another_message();
    let gate = Gate::closed();
    guarded.upstream.script_next("/sms", vec![Behaviour::Hold(gate.clone()); 5]);
    for _ in 0..5 {
        let exchange = guarded.send(Protocol::Http1, &under(&message, "timeout")).await?;
        assert_eq!(exchange.response.status, 504);
    }
    gate.open();
    // To an Envoy that waits as long as it takes.
    assert_passed("the sixth", &guarded.send(Protocol::Http1, &message).await?);

    let message = another_message();
    guarded.upstream.script_next("/sms", vec![Behaviour::Status(500); 2]);
    let exchange = guarded.send(Protocol::Http1, &under(&message, "retry")).await?;
    assert_eq!((exchange.response.status, exchange.received.len()), (200, 3), "one pass, in three tries");
    let again = guarded.send(Protocol::Http1, &message).await?;
    again.assert("delivered", Refused(409, "replayed"));
    Ok(())
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
    let site = Site::of_proxies(upstream, vec![Envoy::start(&config).await?], None);
    let sent = sustain(&site, RATE, SECONDS).await?;
    assert_eq!(site.upstream.count(), sent);
    assert_eq!(site.envoys[0].stat("wasmcustom.twilio_guard_replay_evictions").await?, 0);
    site.assert_none_refused().await
}
