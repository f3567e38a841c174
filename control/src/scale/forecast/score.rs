//! Whether forecasts come true.
//!
//! A forecast costs only where it expects more than there is, and is of use only as far as that comes.
//! So it is counted how much more was expected in all, and how much of that came. Where a load has no
//! pattern, what a pattern says has nothing to do with whether it rises or falls next, and what rises
//! about as often as it falls makes less than half of it come. Hence what must come is clearly more than
//! half.

/// Share of what was expected that must have come.
pub(super) const NEEDED: f64 = 0.55;

/// Days that count: the last one and a whole week before it, so that each day of the week has its part.
const DAYS: usize = 8;

/// What became of forecasts lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Score {
    /// Day number `n` is at `n % len`.
    days: [Sums; DAYS],
    newest: u64,
    /// How many forecasts were compared, forgotten or not.
    compared: u32,
}

/// What became of the forecasts of one day.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// Load beyond that of the moment, as it was expected.
    expected: f64,
    /// How much of it came.
    came: f64,
}

impl Score {
    /// At a load of `base` there was a forecast, and the `actual` load was another. Days may begin when
    /// they like; their numbers do not fall.
    pub(super) fn compare(&mut self, day: u64, base: f64, forecast: f64, actual: f64) {
        for forgotten in (self.newest + 1..=day).take(DAYS) {
            self.days[(forgotten % DAYS as u64) as usize] = Sums::default();
        }
        if day > self.newest + DAYS as u64 {
            self.days = [Sums::default(); DAYS];
        }
        self.newest = day.max(self.newest);
        let sums = &mut self.days[(day % DAYS as u64) as usize];
        let more = (forecast - base).max(0.0);
        sums.expected += more;
        sums.came += (actual - base).clamp(0.0, more);
        self.compared = self.compared.saturating_add(1);
    }

    /// How many forecasts were compared.
    pub(super) fn compared(&self) -> u32 {
        self.compared
    }

    /// The share of what was expected that came; `None` when nothing was.
    pub(super) fn came(&self) -> Option<f64> {
        let Sums { expected, came } = self.sums();
        (expected > 0.0).then(|| came / expected)
    }

    /// Whether enough of it came.
    pub(super) fn is_good(&self) -> bool {
        self.came().is_some_and(|share| share >= NEEDED)
    }

    /// What came less what did not.
    pub(super) fn gain(&self) -> f64 {
        let Sums { expected, came } = self.sums();
        2.0 * came - expected
    }

    fn sums(&self) -> Sums {
        self.days.iter().fold(Sums::default(), |sum, day| Sums {
            expected: sum.expected + day.expected,
            came: sum.came + day.came,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_expected_beyond_the_load_of_the_moment_counts() {
        let mut score = Score::default();
        score.compare(0, 10.0, 4.0, 7.0);
        assert_eq!((score.came(), score.is_good()), (None, false));
        score.compare(0, 10.0, 30.0, 25.0);
        assert_eq!(score.came(), Some(0.75));
        score.compare(0, 10.0, 20.0, 90.0);
        assert_eq!((score.came(), score.gain()), (Some(25.0 / 30.0), 20.0));
        score.compare(0, 10.0, 30.0, 2.0);
        assert!(!score.is_good() && score.compared() == 4, "{score:?}");
    }

    #[test]
    fn a_week_before_the_last_day_counts_and_what_was_before_does_not() {
        let mut score = Score::default();
        // On weekends it does not come.
        for day in 20_000..20_020_u64 {
            score.compare(day, 0.0, 10.0, if day % 7 < 5 { 10.0 } else { 0.0 });
            assert!(day < 20_007 || score.is_good(), "on day {day}: {score:?}");
        }
        score.compare(20_030, 0.0, 1.0, 0.5);
        assert_eq!(score.came(), Some(0.5));
        score.compare(20_031, 0.0, 1.0, 1.0);
        assert_eq!(score.came(), Some(0.75));
    }
}
