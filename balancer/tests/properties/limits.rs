//! No key ever gets more than its limit, in any stretch of time and in any order of events.

use std::{collections::BTreeMap, time::Duration};

use penstock_balancer::{ConcurrencyLimit, RateLimit, RateRule};
use proptest::{collection::vec, prelude::*};

/// Keys the limit may remember; the tests use fewer unless they say otherwise.
const KEYS_MAX: usize = 8;

/// Threads differ by less than so many milliseconds in when they read the clock.
const EARLY_MAX: u64 = 20;

proptest! {
    #[test]
    fn no_stretch_of_time_has_more_requests_than_burst_and_rate_allow(
        requests in 1_u32..50,
        period in 1_u64..5_000,
        burst in 1_u32..20,
        // Milliseconds to the next request; how much too early its thread read the clock; its key.
        events in vec((0_u64..200, 0..EARLY_MAX, 0_u64..4), 1..200),
    ) {
        let rule = RateRule::new(requests, Duration::from_millis(period), burst);
        let mut limit = RateLimit::new(rule, KEYS_MAX);
        let mut time = 0;
        let mut admitted: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (wait, early, key) in events {
            time += wait;
            let now = Duration::from_millis(time.saturating_sub(early));
            if limit.wait(key, now).is_zero() {
                limit.take(key, now);
                admitted.entry(key).or_default().push(now.as_millis() as u64);
            }
        }
        for times in admitted.values_mut() {
            times.sort_unstable();
            for start in 0..times.len() {
                for end in start..times.len() {
                    let admitted = (end - start + 1) as u64;
                    // A key that owes nothing any more may be forgotten before a request with
                    // an earlier time comes.
                    let stretch = times[end] - times[start] + EARLY_MAX;
                    // admitted ≤ burst + stretch × requests / period, in whole numbers.
                    prop_assert!(
                        (admitted - admitted.min(u64::from(burst))) * period
                            <= stretch * u64::from(requests)
                    );
                }
            }
        }
    }

    #[test]
    fn who_waits_as_long_as_told_is_let_in_and_not_a_moment_sooner(
        requests in 1_u32..50,
        period in 1_u64..5_000,
        burst in 1_u32..20,
        waits in vec(0_u64..300, 1..100),
    ) {
        let rule = RateRule::new(requests, Duration::from_millis(period), burst);
        let mut limit = RateLimit::new(rule, KEYS_MAX);
        let mut now = Duration::ZERO;
        for wait in waits {
            now += Duration::from_millis(wait);
            let told = limit.wait(1, now);
            if !told.is_zero() {
                let just_before = now + told - Duration::from_nanos(1);
                prop_assert!(!limit.wait(1, just_before).is_zero());
                now += told;
            }
            prop_assert!(limit.wait(1, now).is_zero());
            limit.take(1, now);
        }
    }

    #[test]
    fn any_number_of_keys_takes_bounded_memory(
        keys_max in 1_usize..20,
        events in vec((0_u64..50, 0_u64..100), 1..500),
    ) {
        let mut limit = RateLimit::new(RateRule::new(1, Duration::from_millis(100), 3), keys_max);
        let mut now = Duration::ZERO;
        for (wait, key) in events {
            now += Duration::from_millis(wait);
            if limit.wait(key, now).is_zero() {
                limit.take(key, now);
            }
            prop_assert!(limit.keys() <= keys_max);
        }
    }

    #[test]
    fn counts_at_once_are_what_was_taken_and_not_given_back(
        events in vec((any::<bool>(), 0_u64..5), 1..300),
    ) {
        let mut limit = ConcurrencyLimit::default();
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        for (takes, key) in events {
            let count = model.entry(key).or_default();
            if takes {
                limit.take(key);
                *count += 1;
            } else {
                limit.give_back(key);
                *count = count.saturating_sub(1);
            }
            prop_assert_eq!(limit.count(key), *count);
        }
        prop_assert_eq!(limit.keys(), model.values().filter(|count| **count > 0).count());
    }
}
