//! How long starts of one deployment took, and what that lets one expect.

use std::{collections::VecDeque, sync::Arc, time::Duration};

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
    /// What would be started now.
    current: Arc<str>,
}

/// How long one start took.
#[derive(Debug, Clone)]
struct Took {
    time: Duration,
    /// What started.
    of: Arc<str>,
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
            let current = self.took.iter().filter(|took| took.of == self.current);
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

    /// A worker that runs `of` became ready `took` after its start, maybe in an earlier run.
    pub(super) fn remember(&mut self, took: Duration, of: &str) {
        let time = took;
        let of = match *of == *self.current {
            true => Arc::clone(&self.current),
            false => of.into(),
        };
        self.took.push_back(Took { time, of });
        if self.took.len() > TIMES_MAX as usize {
            self.took.pop_front();
        }
    }

    /// The same, of what would be started now.
    pub(super) fn remember_current(&mut self, took: Duration) {
        let current = Arc::clone(&self.current);
        self.remember(took, &current);
    }

    /// Whether anything that would be started now has ever become ready.
    pub(super) fn any_current(&self) -> bool {
        self.took.iter().any(|took| took.of == self.current)
    }

    /// From now on this is started, which may be quicker. What is known of it from before holds again.
    pub(super) fn revised(&mut self, to: &str) {
        if *self.current != *to {
            self.current = to.into();
        }
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
        times.remember(at(500), "");
        for took in [3, 2, 4, 3, 3, 3, 3, 3, 90, 3, 3, 3, 3, 3, 3, 3, 50, 3, 3] {
            times.remember(at(took), "");
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
                .for_each(|took| times.remember(at(*took), ""));
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
        times.revised("one");
        (0..3).for_each(|_| times.remember_current(at(90)));
        assert_eq!(times.least(), Some(at(45)));
        times.revised("two");
        assert_eq!(times.least(), None);
        assert!(!times.any_current());
        assert_eq!(times.usual().map(|usual| usual.p50), Some(at(90)));
        times.remember(at(80), "one");
        (0..3).for_each(|_| times.remember_current(at(10)));
        assert_eq!(times.least(), Some(at(5)));
        // Back at the first one, what is known of it holds again.
        times.revised("one");
        assert_eq!(times.least(), Some(at(40)));
    }
}
