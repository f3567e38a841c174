//! How long those who wait have waited.
//!
//! Gateways say how many wait, and how many came. As who came first is served first, those who wait are those
//! who came last.

use std::{collections::VecDeque, time::Duration};

use crate::share::Waits;

/// Arrivals are told apart by when they came so many times; what is older is put together.
const COHORTS_MAX: usize = 256;

/// Those who came and may still wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// When they came and how many, the oldest first.
    cohorts: VecDeque<(Duration, u32)>,
}

impl Waiting {
    /// So many came since the last time, and so many wait now.
    pub(super) fn update(&mut self, arrivals: u64, queued: u32, now: Duration) {
        let known: u32 = self.cohorts.iter().map(|(_, count)| count).sum();
        // What nobody counted, such as after a restart of control, has waited since now at least.
        let unknown = queued.saturating_sub(known);
        let came = u32::try_from(arrivals).unwrap_or(u32::MAX).max(unknown);
        let came = came.min(queued);
        if came > 0 {
            self.cohorts.push_back((now, came));
        }
        let mut gone = self
            .cohorts
            .iter()
            .map(|(_, count)| count)
            .sum::<u32>()
            .saturating_sub(queued);
        while let Some((_, count)) = self.cohorts.front_mut() {
            let left = count.saturating_sub(gone);
            gone = gone.saturating_sub(*count);
            *count = left;
            if left > 0 {
                break;
            }
            self.cohorts.pop_front();
        }
        if self.cohorts.len() > COHORTS_MAX {
            self.put_together();
        }
    }

    /// Each two neighbours become one: as if all of the older had come with the younger, but for the first,
    /// whose age counts by itself.
    fn put_together(&mut self) {
        let first = self.cohorts.pop_front();
        let all: Vec<_> = self.cohorts.drain(..).collect();
        self.cohorts.extend(first);
        for pair in all.chunks(2) {
            let count = pair.iter().map(|(_, count)| count).sum();
            if let Some((at, _)) = pair.last() {
                self.cohorts.push_back((*at, count));
            }
        }
    }

    pub(super) fn waits(&self, now: Duration) -> Waits {
        let mut waits = Waits::default();
        for (at, count) in &self.cohorts {
            let each = now.saturating_sub(*at);
            waits.count = waits.count.saturating_add(*count);
            waits.sum = waits.sum.saturating_add(each.saturating_mul(*count));
            waits.oldest = waits.oldest.max(each);
        }
        waits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn those_who_wait_are_those_who_came_last() {
        let mut waiting = Waiting::default();
        waiting.update(3, 3, at(10));
        waiting.update(2, 5, at(20));
        let all = waiting.waits(at(30));
        assert_eq!((all.count, all.sum, all.oldest), (5, at(80), at(20)));
        // Three were served, one came.
        waiting.update(1, 3, at(31));
        let left = waiting.waits(at(31));
        assert_eq!((left.count, left.sum, left.oldest), (3, at(22), at(11)));
        waiting.update(0, 0, at(32));
        assert_eq!(waiting.waits(at(40)), Waits::default());
    }

    #[test]
    fn those_who_were_there_before_anybody_counted_have_waited_since_then() {
        let mut waiting = Waiting::default();
        waiting.update(0, 4, at(10));
        assert_eq!(waiting.waits(at(11)).sum, at(4));
    }

    proptest! {
        #[test]
        fn as_many_wait_as_the_gateways_say_and_memory_is_bounded(
            steps in prop::collection::vec((0_u64..20, 0_u32..50), 0..600)
        ) {
            let mut waiting = Waiting::default();
            for (second, (arrivals, queued)) in steps.into_iter().enumerate() {
                let now = at(second as u64);
                let before = waiting.waits(now);
                waiting.update(arrivals, queued, now);
                let waits = waiting.waits(now);
                prop_assert_eq!(waits.count, queued);
                prop_assert!(waits.oldest <= before.oldest);
                prop_assert!(waits.sum <= waits.oldest.saturating_mul(waits.count));
                prop_assert!(waiting.cohorts.len() <= COHORTS_MAX + 1);
            }
        }
    }
}
