//! The retry budget is never exceeded, in any stretch of time.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use penstock_balancer::{BudgetRules, RetryBudget};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn no_stretch_of_time_has_more_retries_than_allowed(
        share in 0_u32..=1_000,
        per_second in 0_u32..20,
        burst in 1_u32..20,
        // Milliseconds to the next event, and whether it is a request or a wish to retry.
        events in vec((0_u64..400, any::<bool>()), 1..150),
    ) {
        let rules = BudgetRules { share: f64::from(share) / 1_000.0, per_second, burst };
        let budget = RetryBudget::new(rules, Duration::ZERO);
        let mut now = 0;
        // Milliseconds, requests, granted retries.
        let mut log = Vec::new();
        for (wait, is_request) in events {
            now += wait;
            if is_request {
                budget.request();
            }
            let granted = !is_request && budget.try_retry(Duration::from_millis(now));
            log.push((now, u64::from(is_request), u64::from(granted)));
        }
        for start in 0..log.len() {
            let (mut requests, mut retries) = (0, 0);
            for (at, request, retry) in &log[start..] {
                requests += request;
                retries += retry;
                // All in thousandths of a retry, as whole numbers.
                let allowed = 1_000 * u64::from(burst)
                    + u64::from(share) * requests
                    + u64::from(per_second) * (at - log[start].0);
                prop_assert!(1_000 * retries <= allowed);
            }
        }
    }
}

#[test]
fn threads_together_get_no_more_than_the_budget() {
    let rules = BudgetRules {
        share: 0.2,
        per_second: 0,
        burst: 50,
    };
    let budget = RetryBudget::new(rules, Duration::ZERO);
    let granted = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    budget.request();
                    if budget.try_retry(Duration::ZERO) {
                        granted.fetch_add(1, SeqCst);
                    }
                }
            });
        }
    });
    let granted = granted.load(SeqCst);
    assert!(granted <= 50 + 8_000, "{granted}");
    assert!(
        granted >= 8_000,
        "{granted}: what is paid in can be taken out"
    );
}
