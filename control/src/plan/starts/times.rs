//! How long starts of one deployment took, and what that lets one expect.

use std::{collections::VecDeque, time::Duration};

/// Start times remembered: enough for a ninth decile, few enough to follow a change.
pub(crate) const TIMES_MAX: u32 = 19;

/// From fewer starts nothing is concluded of how quick one can be.
const STARTS_FEW: usize = 3;

/// So many starts show how much they differ.
const STARTS_MANY: usize = 10;

/// How long the last starts took.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    took: VecDeque<Took>,
}

/// How long one start took.
#[derive(Debug, Clone, Copy)]
struct Took {
    time: Duration,
    /// Whether what started is what would be started now.
    current: bool,
}

/// How long starts take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartTimes {
    /// The median.
    pub p50: Duration,
    /// What nine of ten stay within.
    pub p90: Duration,
}

impl Times {
    /// How long a start takes by experience; `None` before the first.
    pub(super) fn usual(&self) -> Option<StartTimes> {
        let mut times: Vec<Duration> = self.took.iter().map(|took| took.time).collect();
        times.sort_unstable();
        Some(StartTimes {
            p50: *times.get(times.len() / 2)?,
            p90: *times.get(times.len() * 9 / 10)?,
        })
    }

    /// Less than any start of what would be started now has to be expected to take: requests that
    /// cannot wait even for that are refused at once. `None` while there is too little experience.
    ///
    /// It is as far below the quickest start as the slowest is above it, less a tenth for clocks and
    /// messages; at least half of the quickest, and no more than that half after few starts. Nine of
    /// ten can be alike by chance, while the first ones often are the slow ones, before
    /// files are cached.
    pub(super) fn least(&self) -> Option<Duration> {
        let times = || {
            let current = self.took.iter().filter(|took| took.current);
            current.map(|took| took.time)
        };
        let (quickest, slowest) = (times().min()?, times().max()?);
        let half = quickest / 2;
        match times().count() {
            ..STARTS_FEW => None,
            STARTS_FEW..STARTS_MANY => Some(half),
            _ => {
                let below = quickest.saturating_sub(slowest - quickest);
                Some(half.max(below * 9 / 10))
            }
        }
    }

    /// A worker became ready `took` after its start, maybe in an earlier run. `current`: it ran what
    /// would be started now.
    pub(super) fn remember(&mut self, took: Duration, current: bool) {
        let time = took;
        self.took.push_back(Took { time, current });
        if self.took.len() > TIMES_MAX as usize {
            self.took.pop_front();
        }
    }

    /// From now on something else is started, which may be quicker.
    pub(super) fn revised(&mut self) {
        self.took.iter_mut().for_each(|took| took.current = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn median_and_ninth_decile_are_those_of_the_last_starts() {
        let mut times = Times::default();
        assert_eq!(times.usual(), None);
        times.remember(at(500), true);
        for took in [3, 2, 4, 3, 3, 3, 3, 3, 90, 3, 3, 3, 3, 3, 3, 3, 50, 3, 3] {
            times.remember(at(took), true);
        }
        let (p50, p90) = (at(3), at(50));
        assert_eq!(times.usual(), Some(StartTimes { p50, p90 }));
    }

    #[test]
    fn the_least_time_is_below_all_that_was_seen() {
        let least = |seconds: &[u64]| {
            let mut times = Times::default();
            seconds
                .iter()
                .for_each(|took| times.remember(at(*took), true));
            times.least().map(|least| least.as_secs_f64())
        };
        assert_eq!((least(&[]), least(&[100, 100])), (None, None));
        assert_eq!(least(&[90, 20, 30]), Some(10.0));
        assert_eq!(least(&[100; 9]), Some(50.0));
        let mut many = [100; 10];
        assert_eq!(least(&many), Some(90.0));
        many[3] = 110;
        assert_eq!(least(&many), Some(81.0));
        many[5] = 300;
        assert_eq!(least(&many), Some(50.0), "never less than half");
    }

    #[test]
    fn what_another_revision_took_is_no_lower_bound_for_this_one() {
        let mut times = Times::default();
        (0..3).for_each(|_| times.remember(at(90), true));
        assert_eq!(times.least(), Some(at(45)));
        times.revised();
        assert_eq!(times.least(), None);
        assert_eq!(times.usual().map(|usual| usual.p50), Some(at(90)));
        times.remember(at(80), false);
        (0..3).for_each(|_| times.remember(at(10), true));
        assert_eq!(times.least(), Some(at(5)));
    }
}
