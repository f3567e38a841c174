//! Nothing on the path of a request allocates.

use std::time::Duration;

use allocation_counter::measure;
use penstock_balancer::{
    Overflow, Picker, Policy, RetryBudget, Share, SplitPolicy, SplitQuery, Splitter, key,
};

use crate::workers::{POLICIES, limited, query};

/// How often memory was asked for while `work` ran.
fn allocations(work: impl FnOnce()) -> u64 {
    measure(work).count_total
}

#[test]
fn picking_and_settling_allocate_nothing() {
    for policy in POLICIES.into_iter().chain([Policy::Hash(Overflow::Never)]) {
        for count in [3, 200] {
            let all = (0..count)
                .map(|slot| limited(slot, 1 + slot % 3, Some(1)))
                .collect();
            let picker = Picker::new(policy, all, None);
            let allocated = allocations(|| {
                // More than there are places: refusals must not allocate either.
                for number in 0..2 * u64::from(count) {
                    if let Some(index) = picker.pick(&query(number)) {
                        let vitals = &picker.candidates()[index].vitals;
                        vitals.succeeded(Duration::from_millis(5), Duration::ZERO);
                        vitals.failed(Duration::ZERO);
                        vitals.requested(|| Duration::ZERO);
                        vitals.answered(Duration::ZERO);
                        vitals.grow(Duration::from_secs(1));
                    }
                }
                for worker in picker.candidates() {
                    if worker.vitals.gate().in_flight() > 0 {
                        worker.vitals.gate().release();
                    }
                }
            });
            assert_eq!(allocated, 0, "{policy:?} among {count}");
        }
    }
}

#[test]
fn splitting_and_budgeting_allocate_nothing() {
    let shares = [90, 9, 1]
        .map(|weight| Share {
            key: u64::from(weight),
            weight,
        })
        .to_vec();
    let budget = RetryBudget::new(Default::default(), Duration::ZERO);
    for policy in [
        SplitPolicy::Turns,
        SplitPolicy::LeastConnections,
        SplitPolicy::Random,
        SplitPolicy::Hash,
    ] {
        let splitter = Splitter::new(policy, shares.clone(), None);
        let allocated = allocations(|| {
            for seed in 0..100 {
                let query = SplitQuery {
                    seed,
                    hash: Some(key(&seed.to_le_bytes())),
                };
                assert!(splitter.choose(&query, |_| 1.0, |_| true).is_some());
                budget.request();
                assert!(budget.try_retry(Duration::from_secs(seed)));
            }
        });
        assert_eq!(allocated, 0, "{policy:?}");
    }
}
