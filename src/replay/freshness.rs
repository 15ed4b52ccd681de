//! How old a request may be, where something says when it was made.

use crate::config::{Freshness, TimeFormat};
use crate::reject::Reject;
use crate::times::read_time;
use serde::Deserialize;

/// Judges the times of a request. All times are seconds since 1970; `None` is a time that cannot be read.
///
/// Signed times decide. Unsigned ones can only narrow: they refuse, and where a time is demanded they are none.
///
/// # Errors
/// [`Reject::Stale`], [`Reject::FromFuture`], [`Reject::MalformedTime`] or [`Reject::TimeMissing`].
pub fn check_freshness(
    rule: &Freshness,
    signed: &[Option<u64>],
    unsigned: &[Option<u64>],
    now: u64,
) -> Result<(), Reject> {
    if rule.require && signed.is_empty() {
        return Err(Reject::TimeMissing);
    }
    for time in signed.iter().chain(unsigned) {
        let time = time.ok_or(Reject::MalformedTime)?;
        if now > time.saturating_add(rule.max_age.as_secs()) {
            return Err(Reject::Stale);
        }
        if time > now.saturating_add(rule.max_skew.as_secs()) {
            return Err(Reject::FromFuture);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CloudEvents {
    Batch(Vec<CloudEvent>),
    One(CloudEvent),
}

#[derive(Deserialize)]
struct CloudEvent {
    time: Option<String>,
}

/// The `time` of each CloudEvent in a body (CloudEvents 1.0, JSON format and batch). `None` stands for one that has none, or
/// none that can be read; a body without any event has no times.
#[must_use]
pub fn event_times(body: &[u8]) -> Vec<Option<u64>> {
    let events = match serde_json::from_slice(body) {
        Ok(CloudEvents::Batch(events)) => events,
        Ok(CloudEvents::One(event)) => vec![event],
        Err(_) => return Vec::new(),
    };
    let time =
        |event: CloudEvent| event.time.and_then(|time| read_time(TimeFormat::Rfc3339, time.as_bytes()));
    events.into_iter().map(time).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_of_a_batch_has_its_time() {
        let body = br#"[{"time":"2024-11-22T10:00:00Z","x":1},{"id":"a"},{"time":"later"}]"#;
        assert_eq!(event_times(body), [Some(1_732_269_600), None, None]);
        assert_eq!(event_times(br#"{"time":"2024-11-22T10:00:00Z"}"#), [Some(1_732_269_600)]);
        assert!(event_times(b"[]").is_empty() && event_times(b"x").is_empty());
    }
}
