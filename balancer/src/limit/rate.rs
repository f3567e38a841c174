//! Requests in time, by the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! Each request uses up one interval, and what is used up comes back with time. So a key needs only
//! one number: the time at which its allowance is whole again. It never gets more than
//! `burst + time / interval` requests in any stretch of time, and never less when it asks evenly.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::KeyMap;

/// Keys without debt that are forgotten for each new one: more than come in.
const FORGOTTEN_PER_NEW: usize = 2;

/// How many requests in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    interval: Duration,
    burst: u32,
}

impl RateRule {
    /// So many requests per period, and so many at once after a quiet time; zero counts as one. The
    /// interval between two requests is rounded up to whole nanoseconds: a million requests per
    /// second are exact, and whatever is not exact allows less.
    pub fn new(requests: u32, period: Duration, burst: u32) -> Self {
        let nanos = period.as_nanos().div_ceil(u128::from(requests.max(1)));
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        Self {
            interval: Duration::from_nanos(nanos),
            burst: burst.max(1),
        }
    }

    /// Time that one request uses up.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Debt with which one more request may come.
    fn tolerance(&self) -> Duration {
        self.interval.saturating_mul(self.burst - 1)
    }
}

/// A rate limit for each of many keys.
///
/// Memory is bounded: keys whose allowance is whole are forgotten, and beyond a number of keys the one
/// whose allowance would be whole first is. That one may then have its burst again too early, which is
/// the least that can be given away.
#[derive(Debug)]
pub struct RateLimit {
    rule: RateRule,
    keys_max: usize,
    /// When the allowance of each key is whole again. Missing: it is.
    whole_at: KeyMap<Duration>,
    /// Each key of the map once, by a time that was true when it was put here and is not too late:
    /// it is corrected when it comes to the top, so that a request of a known key touches only the map.
    order: BinaryHeap<Reverse<(Duration, u64)>>,
}

impl RateLimit {
    /// A limit of which nothing is used up. At most `keys_max` (at least 1) keys are remembered.
    pub fn new(rule: RateRule, keys_max: usize) -> Self {
        Self {
            rule,
            keys_max: keys_max.max(1),
            whole_at: KeyMap::default(),
            order: BinaryHeap::new(),
        }
    }

    /// How long a request of this key has to wait at `now`; zero when it may come.
    pub fn wait(&self, key: u64, now: Duration) -> Duration {
        match self.whole_at.get(&key) {
            None => Duration::ZERO,
            Some(whole_at) => whole_at
                .saturating_sub(self.rule.tolerance())
                .saturating_sub(now),
        }
    }

    /// Uses up one request of this key, which need not wait at `now`. Times may come out of order: a
    /// thread that read the clock earlier is treated as if it had come at that time.
    pub fn take(&mut self, key: u64, now: Duration) {
        let interval = self.rule.interval;
        if let Some(whole_at) = self.whole_at.get_mut(&key) {
            *whole_at = (*whole_at).max(now).saturating_add(interval);
            return;
        }
        self.forget_some(now);
        if self.whole_at.len() >= self.keys_max {
            self.forget_first();
        }
        let whole_at = now.saturating_add(interval);
        self.whole_at.insert(key, whole_at);
        self.order.push(Reverse((whole_at, key)));
    }

    /// Keys that are remembered.
    pub fn keys(&self) -> usize {
        self.whole_at.len()
    }

    /// Forgets a few of the keys that owe nothing at `now`.
    fn forget_some(&mut self, now: Duration) {
        for _ in 0..FORGOTTEN_PER_NEW {
            match self.order.peek() {
                Some(Reverse((noted, _))) if *noted <= now => self.pop(now),
                _ => return,
            }
        }
    }

    /// Forgets the key that will owe nothing first.
    fn forget_first(&mut self) {
        let keys = self.whole_at.len();
        while self.whole_at.len() == keys
            && let Some(Reverse((noted, _))) = self.order.peek()
        {
            self.pop(*noted);
        }
    }

    /// Takes the first key of the order out: for good if it owes nothing beyond `until`, else it goes
    /// back to its right place.
    fn pop(&mut self, until: Duration) {
        let Some(Reverse((_, key))) = self.order.pop() else {
            return;
        };
        match self.whole_at.get(&key) {
            Some(&whole_at) if whole_at > until => self.order.push(Reverse((whole_at, key))),
            _ => drop(self.whole_at.remove(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How many of `tries` requests are let in at `now`.
    fn admitted(limit: &mut RateLimit, key: u64, tries: u32, now: Duration) -> u32 {
        let mut admitted = 0;
        for _ in 0..tries {
            if limit.wait(key, now).is_zero() {
                limit.take(key, now);
                admitted += 1;
            }
        }
        admitted
    }

    #[test]
    fn a_burst_passes_and_then_one_request_per_interval() {
        let mut limit = RateLimit::new(RateRule::new(10, at(1_000), 3), 100);
        assert_eq!(admitted(&mut limit, 1, 10, at(5_000)), 3);
        assert_eq!(limit.wait(1, at(5_000)), at(100));
        assert_eq!(limit.wait(1, at(5_099)), at(1));
        assert_eq!(admitted(&mut limit, 1, 10, at(5_100)), 1);
        assert_eq!(admitted(&mut limit, 1, 10, at(5_250)), 1);
        assert_eq!(admitted(&mut limit, 1, 10, at(60_000)), 3);
    }

    #[test]
    fn keys_do_not_share() {
        let mut limit = RateLimit::new(RateRule::new(1, at(1_000), 1), 100);
        for key in 0..10 {
            assert_eq!(admitted(&mut limit, key, 5, at(0)), 1, "{key}");
        }
    }

    #[test]
    fn an_interval_that_is_no_whole_number_allows_less_not_more() {
        let mut limit = RateLimit::new(RateRule::new(3, at(1_000), 1), 100);
        let all: u32 = (0..1_000_u64)
            .map(|millis| admitted(&mut limit, 1, 1, at(millis)))
            .sum();
        assert_eq!(all, 3);
        assert_eq!(
            RateRule::new(u32::MAX, Duration::from_nanos(1), 1).interval(),
            Duration::from_nanos(1)
        );
    }

    #[test]
    fn keys_that_owe_nothing_are_forgotten_while_others_come() {
        let mut limit = RateLimit::new(RateRule::new(1, at(10), 1), 1_000_000);
        for key in 0..10_000 {
            assert_eq!(admitted(&mut limit, key, 1, at(key)), 1);
            assert!(limit.keys() <= 11, "{key}: {}", limit.keys());
        }
    }

    #[test]
    fn beyond_the_number_of_keys_the_one_that_owes_least_is_forgotten() {
        let mut limit = RateLimit::new(RateRule::new(1, at(1_000), 10), 3);
        for key in 0..3 {
            // Key 0 owes most.
            assert_eq!(
                admitted(&mut limit, key, 10 - key as u32, at(0)),
                10 - key as u32
            );
        }
        assert_eq!(admitted(&mut limit, 7, 1, at(1)), 1);
        assert_eq!(limit.keys(), 3);
        assert_eq!(admitted(&mut limit, 0, 10, at(1)), 0);
        assert_eq!(admitted(&mut limit, 1, 10, at(1)), 1);
        for key in 100..10_000 {
            limit.take(key, at(2));
            assert_eq!(limit.keys(), 3);
            assert_eq!(limit.order.len(), 3);
        }
    }

    #[test]
    fn the_largest_rule_does_not_overflow() {
        let mut limit = RateLimit::new(RateRule::new(1, Duration::MAX, u32::MAX), 1);
        assert_eq!(admitted(&mut limit, 1, 2, Duration::MAX), 2);
    }
}
