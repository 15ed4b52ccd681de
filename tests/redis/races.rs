//! Copies that reach two replicas of two workers at the same moment.

use serde_json::{Value, json};

use crate::replicas::{site, site_of};
use crate::support::Result;
use crate::windows::messages::settings;
use crate::windows::races;

/// Redis's answers come late, one in two by this much.
fn slow(bootstrap: &mut Value, delay: &str) {
    let proxy = "/static_resources/listeners/2/filter_chains/0/filters/0/typed_config";
    let proxy = bootstrap.pointer_mut(proxy).expect("the file has a proxy for Redis");
    proxy["faults"] = json!([{
        "fault_type": "DELAY", "delay": delay, "commands": ["eval"],
        "fault_enabled": {"default_value": {"numerator": 50, "denominator": "HUNDRED"}},
    }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_copies_at_both_replicas_at_once_one_is_delivered() -> Result<()> {
    races::one_delivery_each(&site(&settings()).await?, 500).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_copies_at_both_replicas_at_once_as_many_are_delivered_however_slow_redis_is() -> Result<()> {
    let (site, _) = site_of(&settings(), |replica| replica.edit(|own| slow(own, "0.03s"))).await?;
    races::one_delivery_each(&site, 100).await?;
    races::two_deliveries_each(&site).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_deliveries_and_failures_keep_their_bounds_under_a_race() -> Result<()> {
    let site = site(&settings()).await?;
    races::two_deliveries_each(&site).await?;
    races::bounded_failures(&site).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_at_any_moment_gain_nothing() -> Result<()> {
    races::clients_that_leave(&site(&settings()).await?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_bodies_that_end_together_are_one_delivery() -> Result<()> {
    races::slow_bodies(&site(&settings()).await?).await
}
