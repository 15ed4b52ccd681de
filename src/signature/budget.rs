//! What one request may cost: a number of signatures and a number of bytes hashed.

use crate::config::Limits;
use crate::reject::Reject;

/// Counts down; an overdraft is a refusal, never a shortcut.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    candidates: usize,
    bytes: usize,
}

impl Budget {
    pub(super) const fn new(limits: &Limits) -> Self {
        Self { candidates: limits.max_candidates, bytes: limits.max_hashed_bytes }
    }

    /// Pays for one signature over `bytes`.
    pub(super) fn pay_signature(&mut self, bytes: usize) -> Result<(), Reject> {
        self.candidates = self.candidates.checked_sub(1).ok_or(Reject::TooManyCandidates)?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Reject::HashBudgetExceeded)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdraft_is_refused() {
        let limits = Limits { max_candidates: 2, max_hashed_bytes: 100, ..Limits::default() };
        let mut budget = Budget::new(&limits);
        assert_eq!(budget.pay_signature(60), Ok(()));
        assert_eq!(budget.pay_signature(41), Err(Reject::HashBudgetExceeded));
        let mut budget = Budget::new(&limits);
        assert_eq!(budget.pay_signature(1).and(budget.pay_signature(1)), Ok(()));
        assert_eq!(budget.pay_signature(1), Err(Reject::TooManyCandidates));
    }
}
