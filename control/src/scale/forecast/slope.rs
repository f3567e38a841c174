//! How the load has grown in the last minutes, carried on.
//!
//! A straight line is laid through the last five minutes (least squares). It says something only when
//! it rises by more than chance would explain, and it is believed only as long as the load does go on
//! rising by as much: see [`Score`].

use std::{collections::VecDeque, time::Duration};

use super::score::Score;

/// From one point to the next, in seconds: about as long as requests of language models take, so
/// that one hardly says anything about the next.
const STEP: f64 = 15.0;

/// Most and fewest points that a line is laid through: five minutes, two minutes.
const POINTS_MAX: usize = 20;
const POINTS_MIN: usize = 8;

/// How many times its standard error a slope must be: chance alone does that once in a thousand times.
const CERTAIN: f64 = 3.0;

/// Nothing grows in a straight line for longer; also the bound of the forecasts kept.
const AHEAD_MAX: Duration = Duration::from_secs(600);

/// Forecasts that must have been compared before one counts.
const COMPARED_MIN: u32 = 40;

/// Points of a day.
const PER_DAY: u64 = 5760;

/// The growth of the moment and what became of earlier ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Slope {
    points: VecDeque<f64>,
    /// The point that is being measured: request-seconds and seconds.
    open: (f64, f64),
    /// Points so far.
    count: u64,
    /// What was expected: at which point, from which load, which.
    due: VecDeque<(u64, f64, f64)>,
    growth: Option<Growth>,
    score: Score,
}

/// A rise that is not due to chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// The load of the moment: the end of the line, or the last point when that is higher, because
    /// what is there already is not expected.
    pub(super) base: f64,
    /// What there will be.
    pub(super) expected: f64,
    /// How much more it is each minute.
    pub(super) per_minute: f64,
}

impl Slope {
    /// Takes in the demand of the last so many seconds; `None` when it is unknown. `ahead`: how far it
    /// is to be carried on.
    pub(super) fn record(&mut self, latest: Option<(f64, f64)>, ahead: Duration) {
        let Some((demand, seconds)) = latest else {
            self.forget();
            return;
        };
        self.open.0 += demand * seconds;
        self.open.1 += seconds;
        if self.open.1 >= STEP {
            let point = self.open.0 / self.open.1;
            self.open = (0.0, 0.0);
            self.take(point, ahead.min(AHEAD_MAX));
        }
    }

    fn take(&mut self, point: f64, ahead: Duration) {
        self.count += 1;
        while let Some((at, base, expected)) = self.due.front().copied()
            && at <= self.count
        {
            self.due.pop_front();
            self.score
                .compare(self.count / PER_DAY, base, expected, point);
        }
        self.points.push_back(point);
        if self.points.len() > POINTS_MAX {
            self.points.pop_front();
        }
        let steps = (ahead.as_secs_f64() / STEP).ceil().max(1.0);
        self.growth = line(&self.points).map(|(level, slope)| Growth {
            base: level.max(point),
            // At most twice as much: a line through one step of the load would go on for ever.
            expected: (level + slope * steps).min(2.0 * level),
            per_minute: slope * 60.0 / STEP,
        });
        if let Some(growth) = self.growth {
            let at = self.count + steps as u64;
            self.due.push_back((at, growth.base, growth.expected));
        }
    }

    /// What has been measured has nothing to do with what comes next.
    fn forget(&mut self) {
        self.points.clear();
        self.due.clear();
        self.open = (0.0, 0.0);
        self.growth = None;
    }

    /// The growth of the moment, if such have gone on.
    pub(super) fn growth(&self) -> Option<Growth> {
        self.growth
            .filter(|_| self.is_compared() && self.score.is_good())
    }

    /// Whether enough forecasts were compared.
    pub(super) fn is_compared(&self) -> bool {
        self.score.compared() >= COMPARED_MIN
    }

    pub(super) fn score(&self) -> &Score {
        &self.score
    }
}

/// The end and the rise of a line through the points; `None` when it may be due to chance or falls.
fn line(points: &VecDeque<f64>) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    if points.len() < POINTS_MIN {
        return None;
    }
    let middle = (count - 1.0) / 2.0;
    let mean = points.iter().sum::<f64>() / count;
    let (mut spread, mut common) = (0.0, 0.0);
    for (place, point) in points.iter().enumerate() {
        let x = place as f64 - middle;
        spread += x * x;
        common += x * (point - mean);
    }
    let slope = common / spread;
    let off = |(place, point): (usize, &f64)| {
        let error = point - mean - slope * (place as f64 - middle);
        error * error
    };
    let errors: f64 = points.iter().enumerate().map(off).sum();
    let deviation = (errors / (count - 2.0) / spread).sqrt();
    let level = mean + slope * middle;
    (slope > CERTAIN * deviation && slope > 0.0 && level > 0.0).then_some((level, slope))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Duration = Duration::from_secs(60);

    /// Loads of 15 seconds each.
    fn pass(slope: &mut Slope, loads: impl IntoIterator<Item = f64>) {
        for load in loads {
            for _ in 0..15 {
                slope.record(Some((load, 1.0)), AHEAD);
            }
        }
    }

    /// Up and down between 10 and 90, in half an hour each.
    fn ramps(count: u32) -> impl Iterator<Item = f64> {
        let up = (0..120).map(|step| 10.0 + f64::from(step) / 1.5);
        let ramp = up.clone().chain(up.rev());
        (0..count).flat_map(move |_| ramp.clone())
    }

    #[test]
    fn a_load_that_grows_for_long_is_expected_to_go_on() {
        let mut slope = Slope::default();
        pass(&mut slope, ramps(2).chain(ramps(1).take(60)));
        let growth = slope.growth().expect("it grows");
        assert!((growth.per_minute - 2.67).abs() < 0.01, "{growth:?}");
        assert!(
            (growth.expected - growth.base - 2.67).abs() < 0.01,
            "{growth:?}"
        );
        assert!(slope.score().came().is_some_and(|came| came > 0.9));
    }

    #[test]
    fn steps_that_do_not_go_on_are_not_believed() {
        let mut slope = Slope::default();
        let steps = (0..40).flat_map(|step| [f64::from(5 + step % 2 * 40); 30]);
        pass(&mut slope, steps);
        assert!(slope.is_compared());
        assert!(!slope.score().is_good(), "{:?}", slope.score());
        pass(&mut slope, [45.0; 4]);
        assert_eq!(slope.growth(), None);
    }

    #[test]
    fn after_a_gap_it_begins_anew_and_what_falls_or_stays_is_no_growth() {
        let mut slope = Slope::default();
        pass(&mut slope, ramps(2).chain(ramps(1).take(60)));
        slope.record(None, AHEAD);
        assert_eq!((slope.growth(), slope.due.len()), (None, 0));
        pass(&mut slope, [0.0; 30]);
        assert_eq!(slope.growth, None);
        pass(&mut slope, (0..30).map(|step| 50.0 - f64::from(step)));
        assert_eq!(slope.growth, None);
        assert!(slope.points.len() <= POINTS_MAX);
    }
}
