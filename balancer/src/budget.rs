//! Limits retries to a share of the traffic, so that they cannot turn a small failure into a large one.
//!
//! A fixed number of tries per request multiplies the traffic just when everything fails. A budget
//! does not: each request pays in a fraction of a retry, a trickle is paid in with time (so that a
//! quiet service may retry at all), and a retry takes one whole. What may be saved is bounded, so
//! that a quiet hour cannot pay for a storm.
//!
//! In any stretch of time: `retries ≤ burst + share × requests + per_second × seconds`.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::stamped::{Stamp, pack, unpack};

/// How many retries are allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetRules {
    /// Retries per request, from 0 to 1 (more counts as 1), in steps of a thousandth. linkerd and Finagle use 0.2.
    pub share: f64,
    /// Retries per second that are allowed without any traffic, up to 1000. linkerd and Finagle use 10.
    pub per_second: u32,
    /// Most retries that can be saved, up to 1,000,000.
    pub burst: u32,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self {
            share: 0.2,
            per_second: 10,
            burst: 100,
        }
    }
}

/// The balance of one service or deployment. All methods may be called by many threads at once.
#[derive(Debug)]
pub struct RetryBudget {
    rules: BudgetRules,
    /// What a request pays in, in the unit of the balance.
    pay: u32,
    /// The balance in thousandths of a retry, with the time up to which the trickle was paid in.
    word: AtomicU64,
}

/// A retry, in the unit of the balance.
const RETRY: u32 = 1_000;

impl RetryBudget {
    /// A budget that is full at time `now`.
    pub fn new(rules: BudgetRules, now: Duration) -> Self {
        let rules = BudgetRules {
            share: rules.share.clamp(0.0, 1.0),
            per_second: rules.per_second.min(RETRY),
            burst: rules.burst.min(1_000_000),
        };
        Self {
            rules,
            pay: (rules.share * f64::from(RETRY)).round() as u32,
            word: AtomicU64::new(pack(rules.burst * RETRY, Stamp::at(now))),
        }
    }

    /// A budget with other rules that goes on with this one's balance, as far as they allow it.
    pub fn with_rules(&self, rules: BudgetRules, now: Duration) -> Self {
        let next = Self::new(rules, now);
        let balance = next.rules.burst.min(self.balance(now)) * RETRY;
        next.word.store(pack(balance, Stamp::at(now)), Relaxed);
        next
    }

    /// The rules, brought into their ranges.
    pub fn rules(&self) -> BudgetRules {
        self.rules
    }

    /// Pays in for one request. Call it once per request, not per try.
    pub fn request(&self) {
        // While nothing fails the budget is full, and this is one load of a word nobody writes.
        self.change(|balance, paid_until| {
            let paid = self.capped(balance.saturating_add(self.pay));
            (paid != balance).then_some((paid, paid_until))
        });
    }

    /// Takes one retry out, if there is one.
    #[must_use = "without a true answer there must be no retry"]
    pub fn try_retry(&self, now: Duration) -> bool {
        let now = Stamp::at(now);
        self.change(|balance, paid_until| {
            let elapsed = now.since(paid_until);
            let paid = self.with_trickle(balance, elapsed);
            // A thread that read the clock earlier than another must not set it back.
            let paid_until = if elapsed.is_zero() { paid_until } else { now };
            Some((paid.checked_sub(RETRY)?, paid_until))
        })
    }

    /// Retries that could be made at `now`.
    pub fn balance(&self, now: Duration) -> u32 {
        let (balance, paid_until) = unpack(self.word.load(Relaxed));
        self.with_trickle(balance, Stamp::at(now).since(paid_until)) / RETRY
    }

    fn with_trickle(&self, balance: u32, elapsed: Duration) -> u32 {
        let millis = u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX);
        // Retries per second are thousandths of a retry per millisecond.
        self.capped(balance.saturating_add(millis.saturating_mul(self.rules.per_second)))
    }

    fn capped(&self, balance: u32) -> u32 {
        balance.min(self.rules.burst * RETRY)
    }

    /// Applies `next` atomically, unless it says that there is nothing to change.
    fn change(&self, next: impl Fn(u32, Stamp) -> Option<(u32, Stamp)>) -> bool {
        let mut seen = self.word.load(Relaxed);
        loop {
            let (balance, paid_until) = unpack(seen);
            let Some((balance, paid_until)) = next(balance, paid_until) else {
                return false;
            };
            let word = pack(balance, paid_until);
            match self
                .word
                .compare_exchange_weak(seen, word, Relaxed, Relaxed)
            {
                Ok(_) => return true,
                Err(other) => seen = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(budget: &RetryBudget, tries: u32, now: Duration) -> u32 {
        (0..tries).map(|_| u32::from(budget.try_retry(now))).sum()
    }

    fn budget(share: f64, per_second: u32, burst: u32) -> RetryBudget {
        let rules = BudgetRules {
            share,
            per_second,
            burst,
        };
        RetryBudget::new(rules, Duration::ZERO)
    }

    #[test]
    fn requests_pay_for_a_share_of_retries() {
        let budget = budget(0.2, 0, 10);
        assert_eq!(retries(&budget, 100, Duration::ZERO), 10);
        (0..20).for_each(|_| budget.request());
        assert_eq!(retries(&budget, 100, Duration::ZERO), 4);
    }

    #[test]
    fn a_quiet_service_may_retry_a_little_every_second() {
        let budget = budget(0.0, 2, 3);
        assert_eq!(retries(&budget, 100, Duration::ZERO), 3);
        assert_eq!(retries(&budget, 100, Duration::from_millis(500)), 1);
        assert_eq!(retries(&budget, 100, Duration::from_millis(999)), 0);
        assert_eq!(retries(&budget, 100, Duration::from_millis(1_000)), 1);
        assert_eq!(retries(&budget, 100, Duration::from_secs(3_600)), 3);
    }

    #[test]
    fn what_can_be_saved_is_bounded() {
        let budget = budget(1.0, 1_000, 5);
        (0..1_000).for_each(|_| budget.request());
        assert_eq!(budget.balance(Duration::from_secs(60)), 5);
        assert_eq!(retries(&budget, 100, Duration::from_secs(60)), 5);
    }

    #[test]
    fn new_rules_keep_the_balance() {
        let old = budget(0.0, 0, 10);
        assert_eq!(retries(&old, 7, Duration::ZERO), 7);
        let rules = BudgetRules {
            burst: 100,
            ..old.rules()
        };
        assert_eq!(
            old.with_rules(rules, Duration::ZERO)
                .balance(Duration::ZERO),
            3
        );
        let rules = BudgetRules {
            burst: 2,
            ..old.rules()
        };
        assert_eq!(
            old.with_rules(rules, Duration::ZERO)
                .balance(Duration::ZERO),
            2
        );
    }

    #[test]
    fn a_clock_read_earlier_pays_nothing_in() {
        let budget = budget(0.0, 10, 1);
        assert_eq!(retries(&budget, 2, Duration::from_secs(2)), 1);
        assert_eq!(retries(&budget, 2, Duration::from_secs(1)), 0);
        assert_eq!(retries(&budget, 2, Duration::from_secs(2)), 0);
    }
}
