//! The attacker with one capture of each kind of traffic, before two replicas.

use serde_json::{Value, json};

use crate::replicas::site;
use crate::support::Result;
use crate::windows::attacker::{self, Failure};
use crate::windows::captures::settings;

#[tokio::test]
async fn a_capture_is_delivered_once_however_it_is_sent_again() -> Result<()> {
    attacker::send_again_in_every_way(&site(&settings()).await?).await
}

#[tokio::test]
async fn any_form_of_a_capture_spends_its_delivery_at_both() -> Result<()> {
    attacker::send_another_form_first(&site(&settings()).await?).await
}

#[tokio::test]
async fn the_case_of_header_names_makes_no_other_request() -> Result<()> {
    attacker::change_the_case_of_header_names(&site(&settings()).await?).await
}

/// Everybody has six attempts, those who would have a hundred, too.
fn six_attempts() -> Value {
    let mut settings = settings();
    for route in settings["routes"].as_array_mut().expect("routes") {
        route["replay"]["dedupe"]["max_attempts"] = json!(6);
    }
    settings
}

#[tokio::test]
async fn answers_of_5xx_are_bounded_over_both_together() -> Result<()> {
    attacker::make_it_fail(&site(&six_attempts()).await?, Failure::Failing, |_| 6).await
}

#[tokio::test]
async fn connections_that_the_application_resets_are_bounded_over_both_together() -> Result<()> {
    attacker::make_it_fail(&site(&six_attempts()).await?, Failure::Reset, |_| 6).await
}

#[tokio::test]
async fn clients_that_leave_are_bounded_over_both_together() -> Result<()> {
    attacker::make_it_fail(&site(&six_attempts()).await?, Failure::Left, |_| 6).await
}
