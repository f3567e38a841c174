//! The search for the limit: up by doubling until a rate is too much, then by halves between the last
//! good rate and that one, then the steady run at the best. Pure: it is told what came of each rate.

/// The limit is known well enough when the best good rate and the worst are this close.
const PRECISION: f64 = 1.04;

/// By how much the rate goes down while none was good.
const DOWN: f64 = 8.0;

/// Requests a second below which nothing is sought: a run of two minutes would have too few.
const SLOWEST: f64 = 0.2;

/// How much lower a steady run begins again that was too much.
const LOWER: f64 = 0.95;

/// Steady runs that are tried, each lower than the one before.
const STEADY_TRIES: u32 = 4;

/// What to run next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Next {
    /// A short run at so many requests a second.
    Step(f64),
    /// The steady run.
    Steady(f64),
    /// Nothing: the last steady run was good, or there is no rate that is.
    Done,
}

/// Where the search is.
#[derive(Debug, Clone)]
pub(super) struct Search {
    from: f64,
    /// Highest rate that may be tried.
    to: f64,
    good: Option<f64>,
    bad: Option<f64>,
    /// How many steady runs were begun, and the rate of the last.
    steady: Option<(u32, f64)>,
    is_over: bool,
}

impl Search {
    /// Begins at `from` requests a second, and never goes beyond `to`; both above 0.
    pub(super) fn new(from: f64, to: f64) -> Self {
        Self {
            from: from.min(to),
            to,
            good: None,
            bad: None,
            steady: None,
            is_over: false,
        }
    }

    /// No search: one steady run at `rate`.
    pub(super) fn steady_only(rate: f64) -> Self {
        Self {
            good: Some(rate),
            // Nothing is between them, so that the steady run comes at once.
            bad: Some(rate),
            ..Self::new(rate, rate)
        }
    }

    /// What to run.
    pub(super) fn next(&self) -> Next {
        if self.is_over {
            return Next::Done;
        }
        if let Some((_, rate)) = self.steady {
            return Next::Steady(rate);
        }
        match (self.good, self.bad) {
            (None, None) => Next::Step(self.from),
            (Some(good), None) if good >= self.to => Next::Steady(good),
            (Some(good), None) => Next::Step((good * 2.0).min(self.to)),
            (Some(good), Some(bad)) if bad <= good * PRECISION => Next::Steady(good),
            // Ratios count, so the middle is the geometric one.
            (Some(good), Some(bad)) => Next::Step((good * bad).sqrt()),
            // Even the first rate was too much, and what is sought may be far below.
            (None, Some(bad)) => Next::Step(bad / DOWN),
        }
    }

    /// Whether what [`Self::next`] said was good.
    pub(super) fn tell(&mut self, good: bool) {
        match self.next() {
            Next::Step(rate) if good => self.good = Some(rate),
            Next::Step(rate) => {
                self.bad = Some(rate);
                self.is_over = self.good.is_none() && rate / DOWN < SLOWEST;
            }
            Next::Steady(_) if good => self.is_over = true,
            Next::Steady(rate) => {
                let tries = self.steady.map_or(0, |(tries, _)| tries) + 1;
                self.steady = Some((tries, rate * LOWER));
                self.is_over = tries >= STEADY_TRIES;
            }
            Next::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs the search against a target that is good up to `limit`; all rates, and the steady ones.
    fn search(mut search: Search, limit: f64) -> (Vec<f64>, Vec<f64>) {
        let (mut steps, mut steady) = (Vec::new(), Vec::new());
        loop {
            assert!(steps.len() < 200, "it ends");
            let rate = match search.next() {
                Next::Step(rate) => {
                    steps.push(rate);
                    rate
                }
                Next::Steady(rate) => {
                    steady.push(rate);
                    rate
                }
                Next::Done => return (steps, steady),
            };
            search.tell(rate <= limit);
        }
    }

    #[test]
    fn it_doubles_then_narrows_then_runs_at_the_best() {
        let (steps, steady) = search(Search::new(10.0, 1e6), 100.0);
        assert_eq!(&steps[..5], &[10.0, 20.0, 40.0, 80.0, 160.0]);
        assert_eq!(steady.len(), 1);
        assert!((96.0..=100.0).contains(&steady[0]), "{steady:?}");
    }

    #[test]
    fn a_steady_run_that_fails_is_repeated_lower_and_not_for_ever() {
        let mut search = Search::steady_only(100.0);
        let mut rates = Vec::new();
        while let Next::Steady(rate) = search.next() {
            rates.push(rate.round());
            search.tell(false);
        }
        assert_eq!(rates, [100.0, 95.0, 90.0, 86.0]);
    }

    #[test]
    fn the_highest_rate_is_not_passed() {
        let (steps, steady) = search(Search::new(10.0, 25.0), f64::INFINITY);
        assert_eq!((steps, steady), (vec![10.0, 20.0, 25.0], vec![25.0]));
    }

    #[test]
    fn nothing_is_good_of_a_target_that_always_fails() {
        let (steps, steady) = search(Search::new(10.0, 1e6), 0.0);
        assert!(steps.len() < 8 && steady.is_empty(), "{steps:?}");
    }

    proptest! {
        #[test]
        fn every_limit_is_found(from in 2.0..1e4_f64, limit in 2.0..1e6_f64) {
            let (steps, steady) = search(Search::new(from, 1e7), limit);
            prop_assert!(steps.len() < 60);
            let found = steady[0];
            prop_assert!(found <= limit && found * PRECISION >= limit * 0.999, "{found} of {limit}");
        }
    }
}
