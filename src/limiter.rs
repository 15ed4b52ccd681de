//! A token bucket, with the time passed in: bounds how many lines a flood of refusals can write to the log.

use std::time::Duration;

/// Grants at most `burst` tokens at once and one more per `interval` afterwards.
#[derive(Debug)]
pub struct TokenBucket {
    burst: u32,
    interval: Duration,
    tokens: u32,
    refilled_at: Duration,
    dropped: u64,
}

impl TokenBucket {
    /// A full bucket. `interval` is the time in which one token comes back.
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, tokens: burst, refilled_at: Duration::ZERO, dropped: 0 }
    }

    /// Takes one token at time `now` (any monotonic or wall clock, as long as it is always the same one).
    ///
    /// `Some(n)` grants, and says how many requests were turned down since the last grant; `None` refuses. A
    /// clock that goes backwards refills nothing.
    pub fn take(&mut self, now: Duration) -> Option<u64> {
        self.refill(now);
        if let Some(left) = self.tokens.checked_sub(1) {
            self.tokens = left;
            return Some(std::mem::take(&mut self.dropped));
        }
        self.dropped = self.dropped.saturating_add(1);
        None
    }

    fn refill(&mut self, now: Duration) {
        if self.tokens == self.burst {
            self.refilled_at = now;
            return;
        }
        let Some(elapsed) = now.checked_sub(self.refilled_at) else {
            self.refilled_at = now;
            return;
        };
        let earned = elapsed.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(u128::MAX);
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned >= self.burst.saturating_sub(self.tokens) {
            self.tokens = self.burst;
            self.refilled_at = now;
        } else if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned);
            self.refilled_at = self.refilled_at.saturating_add(self.interval.saturating_mul(earned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_700_000_000 + seconds)
    }

    #[test]
    fn a_burst_is_granted_then_one_per_interval() {
        let mut bucket = TokenBucket::new(3, SECOND);
        let granted = (0..10).filter(|_| bucket.take(at(0)).is_some()).count();
        assert_eq!(granted, 3);
        assert_eq!(bucket.take(at(1)), Some(7), "the next grant says how many were dropped");
        assert_eq!(bucket.take(at(1)), None);
    }

    #[test]
    fn idle_time_earns_no_more_than_the_burst() {
        let mut bucket = TokenBucket::new(2, SECOND);
        assert!(bucket.take(at(0)).is_some());
        let granted = (0..10).filter(|_| bucket.take(at(3600)).is_some()).count();
        assert_eq!(granted, 2);
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing_extra() {
        let mut bucket = TokenBucket::new(1, SECOND);
        assert!(bucket.take(at(100)).is_some());
        assert_eq!(bucket.take(at(0)), None);
        assert!(bucket.take(at(1)).is_some(), "and recovers from there");
    }

    #[test]
    fn fractions_of_an_interval_are_not_lost() {
        let mut bucket = TokenBucket::new(2, Duration::from_millis(1000));
        let start = at(0);
        assert!(bucket.take(start).is_some() && bucket.take(start).is_some());
        assert!(bucket.take(start + Duration::from_millis(1500)).is_some());
        assert!(bucket.take(start + Duration::from_millis(2000)).is_some());
    }
}
