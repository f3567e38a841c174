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
    /// Above 32 bits: milliseconds up to which the trickle was paid in, modulo 2³². Below: the balance
    /// in thousandths of a retry.
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
            word: AtomicU64::new(pack(millis(now), rules.burst * RETRY)),
        }
    }

    /// The rules, brought into their ranges.
    pub fn rules(&self) -> BudgetRules {
        self.rules
    }

    /// Pays in for one request. Call it once per request, not per try.
    pub fn request(&self) {
        let pay = (self.rules.share * f64::from(RETRY)).round() as u32;
        // While nothing fails the budget is full, and this is one load of a word nobody writes.
        self.change(|paid_until, balance| {
            let paid = self.capped(balance.saturating_add(pay));
            (paid != balance).then_some((paid_until, paid))
        });
    }

    /// Takes one retry out, if there is one.
    #[must_use = "without a true answer there must be no retry"]
    pub fn try_retry(&self, now: Duration) -> bool {
        let now = millis(now);
        self.change(|paid_until, balance| {
            // A thread that read the clock earlier than another must not pay in twice.
            let elapsed = (now.wrapping_sub(paid_until) as i32).max(0) as u32;
            // Retries per second are thousandths of a retry per millisecond.
            let trickle = elapsed.saturating_mul(self.rules.per_second);
            let paid = self.capped(balance.saturating_add(trickle));
            let left = paid.checked_sub(RETRY)?;
            Some((paid_until.wrapping_add(elapsed), left))
        })
    }

    /// Retries that could be made at once, were they made by `now`.
    pub fn balance(&self, now: Duration) -> u32 {
        let (paid_until, balance) = unpack(self.word.load(Relaxed));
        let elapsed = (millis(now).wrapping_sub(paid_until) as i32).max(0) as u32;
        let trickle = elapsed.saturating_mul(self.rules.per_second);
        self.capped(balance.saturating_add(trickle)) / RETRY
    }

    fn capped(&self, balance: u32) -> u32 {
        balance.min(self.rules.burst * RETRY)
    }

    /// Applies `next` atomically, unless it says that there is nothing to change.
    fn change(&self, next: impl Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
        let mut seen = self.word.load(Relaxed);
        loop {
            let (paid_until, balance) = unpack(seen);
            let Some((paid_until, balance)) = next(paid_until, balance) else {
                return false;
            };
            let word = pack(paid_until, balance);
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

fn millis(now: Duration) -> u32 {
    now.as_millis() as u32
}

fn pack(paid_until: u32, balance: u32) -> u64 {
    (u64::from(paid_until) << 32) | u64::from(balance)
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
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
    fn a_clock_read_earlier_pays_nothing_in() {
        let budget = budget(0.0, 10, 1);
        assert_eq!(retries(&budget, 2, Duration::from_secs(2)), 1);
        assert_eq!(retries(&budget, 2, Duration::from_secs(1)), 0);
        assert_eq!(retries(&budget, 2, Duration::from_secs(2)), 0);
    }
}
