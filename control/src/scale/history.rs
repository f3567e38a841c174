//! The desired counts of the recent past, from which the pace is measured.
//!
//! Desired counts, not ready workers: with slow starts a cap on ready workers would open again
//! while the first ones still load. And counts, not the sum of changes: ups and downs inside one
//! period would cancel out and open the cap as well.

use std::{collections::VecDeque, time::Duration};

/// More changes than this within a period are merged, on the strict side.
const ENTRIES_MAX: usize = 128;

/// Desired counts by the time they came into force.
#[derive(Debug, Clone, Default)]
pub struct History {
    entries: VecDeque<Entry>,
}

/// A count that came into force. After merging it stands for several.
#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Duration,
    lowest: u32,
    highest: u32,
}

impl History {
    /// From what an earlier run of control wrote down: pairs of time and count, oldest first.
    pub fn restore(changes: impl IntoIterator<Item = (Duration, u32)>) -> Self {
        let mut history = Self::default();
        for (at, desired) in changes {
            history.push(desired, at);
        }
        history
    }

    /// `desired` is in force from `now` on. What ended more than `keep` ago is forgotten.
    pub fn record(&mut self, desired: u32, keep: Duration, now: Duration) {
        self.push(desired, now);
        let start = now.saturating_sub(keep);
        while self.entries.get(1).is_some_and(|second| second.at < start) {
            self.entries.pop_front();
        }
    }

    /// The count that came into force last; `None` when nothing is known.
    pub fn last(&self) -> Option<u32> {
        // Merging never touches the newest.
        self.entries.back().map(|entry| entry.highest)
    }

    /// The lowest count in force at some time within the last `period`; `None` when nothing is known.
    pub fn lowest(&self, period: Duration, now: Duration) -> Option<u32> {
        self.within(period, now).map(|entry| entry.lowest).min()
    }

    /// The highest count in force at some time within the last `period`; `None` when nothing is known.
    pub fn highest(&self, period: Duration, now: Duration) -> Option<u32> {
        self.within(period, now).map(|entry| entry.highest).max()
    }

    /// When the lowest count of the last `period` will have left it, if none comes that is as low.
    pub fn lowest_until(&self, period: Duration, now: Duration) -> Option<Duration> {
        let lowest = self.lowest(period, now)?;
        self.until(|entry| entry.lowest == lowest, period)
    }

    /// When the highest count of the last `period` will have left it, if none comes that is as high.
    pub fn highest_until(&self, period: Duration, now: Duration) -> Option<Duration> {
        let highest = self.highest(period, now)?;
        self.until(|entry| entry.highest == highest, period)
    }

    /// `None` while such a count is in force.
    fn until(&self, is: impl Fn(&Entry) -> bool, period: Duration) -> Option<Duration> {
        let last = self.entries.iter().rposition(is)?;
        let next = self.entries.get(last + 1)?;
        Some(next.at + period)
    }

    fn push(&mut self, desired: u32, at: Duration) {
        self.entries.push_back(Entry {
            at,
            lowest: desired,
            highest: desired,
        });
        if self.entries.len() > ENTRIES_MAX
            && let Some(oldest) = self.entries.pop_front()
            && let Some(next) = self.entries.front_mut()
        {
            *next = Entry {
                at: oldest.at,
                lowest: oldest.lowest.min(next.lowest),
                highest: oldest.highest.max(next.highest),
            };
        }
    }

    /// Every entry that was in force at some time within the last `period`.
    fn within(&self, period: Duration, now: Duration) -> impl Iterator<Item = &Entry> {
        let start = now.saturating_sub(period);
        // The entry before the first change inside the period was in force at its start.
        let first = self
            .entries
            .partition_point(|entry| entry.at <= start)
            .saturating_sub(1);
        self.entries.range(first..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_count_in_force_at_the_start_of_the_period_belongs_to_it() {
        let mut history = History::default();
        assert_eq!(history.lowest(PERIOD, at(5)), None);
        history.record(1, PERIOD, at(0));
        history.record(3, PERIOD, at(10));
        assert_eq!(
            history.lowest(PERIOD, at(70) - Duration::from_millis(1)),
            Some(1)
        );
        assert_eq!(history.lowest(PERIOD, at(70)), Some(3));
        assert_eq!(history.highest(PERIOD, at(500)), Some(3));
    }

    #[test]
    fn merging_keeps_extremes() {
        let mut history = History::default();
        for n in 0..1000_u32 {
            history.record(
                if n == 0 { 1 } else { 10 + n % 5 },
                at(100_000),
                at(n.into()),
            );
        }
        assert!(history.entries.len() <= ENTRIES_MAX);
        assert_eq!(history.lowest(at(100_000), at(1000)), Some(1));
        assert_eq!(history.highest(at(100_000), at(1000)), Some(14));
    }
}
