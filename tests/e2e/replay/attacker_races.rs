//! An attacker who sends copies at the same time: eight clients, four workers.

use crate::support::Result;
use crate::support::config::{EnvoyConfig, WasmFilter};
use crate::support::envoy::Envoy;
use crate::support::module;
use crate::support::upstream::Upstream;
use crate::windows::messages::settings;
use crate::windows::races;
use crate::windows::site::Site;

async fn start() -> Result<Site> {
    let upstream = Upstream::start().await?;
    let filter = WasmFilter::new(module::path()?, &settings());
    let config = EnvoyConfig::new(upstream.address()).concurrency(4).filter(filter);
    let envoy = Envoy::start(&config).await?;
    Ok(Site::of_proxies(upstream, vec![envoy], None))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_copies_at_once_one_is_delivered() -> Result<()> {
    races::one_delivery_each(&start().await?, 1000).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_deliveries_and_failures_keep_their_bounds_under_a_race() -> Result<()> {
    let site = start().await?;
    races::two_deliveries_each(&site).await?;
    races::bounded_failures(&site).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_at_any_moment_gain_nothing() -> Result<()> {
    races::clients_that_leave(&start().await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_bodies_that_end_together_are_one_delivery() -> Result<()> {
    races::slow_bodies(&start().await?).await
}
