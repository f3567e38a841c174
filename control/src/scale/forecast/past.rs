//! What the load of a deployment was in the last four weeks.
//!
//! Only facts are kept: the mean demand of every five minutes, by the clock of the world. What repeats
//! in them, by whose days, is found when it is asked for, so that no change of settings makes anything
//! of it wrong. Times in which nothing could be measured, because control was down or a gateway was
//! silent, are unknown and not zero.

use std::time::Duration;

use super::super::{demand::Demand, observation::Observation};
use crate::window::Window;

/// Length of a bucket: short enough to know when a rise begins, long enough that chance averages out
/// (the deviation of the mean of requests that take seconds is a tenth of that of a moment).
pub(super) const BUCKET: Duration = Duration::from_secs(300);

/// The same in milliseconds.
pub(super) const BUCKET_MS: u64 = 300_000;

/// Buckets of a day.
pub(super) const PER_DAY: u64 = 288;

/// Days remembered: four weeks, and a day more for the change of a time zone and for what a forecast
/// looked at when it was made.
pub(super) const DAYS: u64 = 29;

/// Buckets remembered; of four bytes each, so 33 kB.
const LENGTH: usize = (DAYS * PER_DAY) as usize;

/// A bucket of which less was measured stays unknown.
const COVERED_MIN: f64 = 150.0;

/// After a gap of this length averages begin anew.
const GAP: Duration = Duration::from_secs(10);

/// After a gateway or control began, the requests of its clients are only about to come.
const SETTLING: Duration = Duration::from_secs(60);

/// A queue need not be cleared: a forecast is of what comes, not of what has piled up.
const NEVER: Duration = Duration::from_secs(1_000_000_000);

/// Over how long it is learned how long requests take, as in the `concurrency` rule.
const WINDOW: Duration = Duration::from_secs(60);

/// The load of the past.
#[derive(Debug, Clone)]
pub struct Past {
    /// Ring: bucket number `n` (time since 1970 divided by its length) is at `n % len`; NaN while
    /// unknown.
    means: Box<[f32]>,
    /// The newest bucket that is over.
    newest: Option<u64>,
    open: Open,
    demand: Demand,
    /// The last five minutes.
    recent: Window,
    /// Since when there was no gap.
    since: Duration,
    heard_at: Option<Duration>,
    /// The demand at the last look and for how many seconds it was that; `None` when it is unknown.
    latest: Option<(f64, f64)>,
    unsaved: bool,
}

/// A bucket that is being measured.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    number: u64,
    sum: f64,
    /// Seconds of it that were measured.
    covered: f64,
}

/// The load of one day, to be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastDay {
    /// Days since 1970.
    pub day: u64,
    /// The mean of each bucket as four bytes.
    pub means: Vec<u8>,
}

impl Default for Past {
    fn default() -> Self {
        Self {
            means: vec![f32::NAN; LENGTH].into_boxed_slice(),
            newest: None,
            open: Open::default(),
            demand: Demand::new(WINDOW, Some(NEVER), 0.0),
            recent: Window::new(BUCKET),
            since: Duration::ZERO,
            heard_at: None,
            latest: None,
            unsaved: false,
        }
    }
}

impl Past {
    /// From what an earlier run wrote down, in any order. What is older than is remembered, or lies
    /// in the future because a clock was set back, is left out; `None` when nothing is left.
    pub fn restore(days: impl IntoIterator<Item = PastDay>, wall_ms: u64) -> Option<Self> {
        let now = wall_ms / BUCKET_MS;
        let mut days: Vec<PastDay> = days.into_iter().collect();
        days.sort_by_key(|row| row.day);
        let mut past = Self::default();
        for row in days {
            let begin = row.day.saturating_mul(PER_DAY);
            let means = row.means.as_chunks::<4>().0.iter();
            let means = means.map(|bytes| f32::from_le_bytes(*bytes));
            for (number, mean) in (begin..begin.saturating_add(PER_DAY)).zip(means) {
                let is_kept = number < now && now - number < LENGTH as u64;
                if is_kept && mean.is_finite() && mean >= 0.0 {
                    past.set(number, mean);
                }
            }
        }
        past.unsaved = false;
        past.newest.is_some().then_some(past)
    }

    /// The day that has news since it was asked for last, if one has.
    pub fn unsaved(&mut self) -> Option<PastDay> {
        let newest = self.newest.filter(|_| self.unsaved)?;
        self.unsaved = false;
        let day = newest / PER_DAY;
        let numbers = day * PER_DAY..(day + 1) * PER_DAY;
        let means = numbers.map(|number| self.mean(number).unwrap_or(f32::NAN));
        Some(PastDay {
            day,
            means: means.flat_map(f32::to_le_bytes).collect(),
        })
    }

    /// Takes in what happened since the last time.
    pub(in super::super) fn record(&mut self, seen: &Observation, now: Duration) {
        let over = seen.load.over;
        let known = !over.is_zero() && is_known(seen, now);
        self.latest = None;
        if !known {
            return;
        }
        let gap = self.heard_at.map(|at| now.saturating_sub(at));
        if gap.is_none_or(|gap| gap > over + GAP) {
            self.demand.clear();
            self.recent.clear();
            self.since = now.saturating_sub(over.min(BUCKET));
        }
        self.heard_at = Some(now);
        let demand = self
            .demand
            .update(&seen.load, seen.start_time, Duration::ZERO);
        if !demand.is_finite() {
            return;
        }
        let demand = demand.clamp(0.0, f32::MAX.into());
        let seconds = over.min(BUCKET).as_secs_f64();
        self.recent.record(demand * seconds, over.min(BUCKET), now);
        self.latest = Some((demand, seconds));
        let number = seen.wall_ms / BUCKET_MS;
        if number != self.open.number {
            self.close();
            self.open = Open {
                number,
                ..Open::default()
            };
        }
        self.open.sum += demand * seconds;
        self.open.covered += seconds;
    }

    /// A bucket is over.
    fn close(&mut self) {
        let Open {
            number,
            sum,
            covered,
        } = self.open;
        if covered >= COVERED_MIN {
            self.set(number, (sum / covered) as f32);
        }
    }

    /// Takes over the mean of a bucket. Whatever seemed to be later never was: the clock was set back.
    fn set(&mut self, number: u64, mean: f32) {
        let length = LENGTH as u64;
        let newest = self.newest.unwrap_or(number);
        let unknown = if number <= newest {
            number..newest + 1
        } else {
            newest + 1..number
        };
        for number in unknown.take(LENGTH) {
            self.means[(number % length) as usize] = f32::NAN;
        }
        self.means[(number % length) as usize] = mean;
        self.newest = Some(number);
        self.unsaved = true;
    }

    fn mean(&self, number: u64) -> Option<f32> {
        let age = self.newest?.checked_sub(number)?;
        let mean = self.means[(number % LENGTH as u64) as usize];
        (age < LENGTH as u64 && !mean.is_nan()).then_some(mean)
    }

    /// The mean demand of a bucket, if it is known.
    pub(super) fn get(&self, number: u64) -> Option<f64> {
        self.mean(number).map(f64::from)
    }

    /// The newest bucket that is over.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// How many buckets are known.
    pub(super) fn known(&self) -> usize {
        let known = self.means.iter().filter(|mean| !mean.is_nan());
        known.count()
    }

    /// The mean of the last five minutes, or since the last gap, and of how many milliseconds that is;
    /// `None` while nothing is known of them.
    pub(super) fn recent(&self) -> Option<(f64, u64)> {
        let length = self.heard_at?.saturating_sub(self.since).min(BUCKET);
        let length = u64::try_from(length.as_millis()).unwrap_or(BUCKET_MS);
        Some((self.recent.average()?, length.max(1)))
    }

    /// The demand at the last look and for how many seconds it was that; `None` when it was unknown.
    pub(super) fn latest(&self) -> Option<(f64, f64)> {
        self.latest
    }
}

/// Whether all that happens is known. While starting fails requests are refused, and what would come
/// otherwise is not seen.
fn is_known(seen: &Observation, now: Duration) -> bool {
    let held = |since: Duration| now.saturating_sub(since) < SETTLING;
    !seen.start_failed && !seen.hold.is_some_and(|hold| held(hold.since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Hold, HoldCause, Load};

    const SECOND: Duration = Duration::from_secs(1);

    /// `seconds` of a load from a wall clock time on; when it is over.
    fn pass(past: &mut Past, wall: u64, seconds: u64, demand: f64, hold: Option<HoldCause>) {
        for second in 1..=seconds {
            let now = SECOND * u32::try_from(1_000_000 + wall + second).expect("a short time");
            let seen = Observation {
                wall_ms: (wall + second) * 1000 - 1,
                load: Load {
                    over: SECOND,
                    request_seconds: demand,
                    in_flight_seconds: demand,
                    ..Load::default()
                },
                hold: hold.map(|cause| Hold { since: now, cause }),
                ..Observation::default()
            };
            past.record(&seen, now);
        }
    }

    fn begin(past: &mut Past, wall: u64) {
        pass(past, wall, 1, 0.0, None);
    }

    #[test]
    fn the_mean_of_every_five_minutes_is_kept_and_what_was_not_measured_is_unknown() {
        let mut past = Past::default();
        pass(&mut past, 300, 150, 4.0, None);
        pass(&mut past, 450, 150, 6.0, None);
        pass(&mut past, 600, 300, 1.0, Some(HoldCause::GatewaySilent));
        pass(&mut past, 900, 100, 1.0, None);
        pass(&mut past, 1500, 300, 2.0, None);
        begin(&mut past, 1800);
        assert_eq!(past.get(1), Some(5.0));
        assert_eq!([2, 3, 4, 6].map(|number| past.get(number)), [None; 4]);
        assert_eq!((past.get(5), past.known()), (Some(2.0), 2));
    }

    #[test]
    fn what_is_written_down_is_known_again_but_for_what_is_too_old_or_in_the_future() {
        let mut past = Past::default();
        let day = 86_400;
        let mut saved = Vec::new();
        for n in 0..3 {
            pass(&mut past, (100 + n) * day, 300, 3.0 + n as f64, None);
            begin(&mut past, (100 + n) * day + 300);
            saved.extend(past.unsaved());
            assert_eq!(past.unsaved(), None);
        }
        saved.reverse();
        let again = Past::restore(saved.clone(), 102 * day * 1000).expect("something is left");
        let values = [100, 101, 102].map(|day| again.get(day * PER_DAY));
        assert_eq!(values, [Some(3.0), Some(4.0), None]);
        assert!(Past::restore(saved.clone(), 130 * day * 1000).is_some());
        assert!(Past::restore(saved.clone(), 131 * day * 1000).is_none());
        assert!(
            Past::restore(saved, 0).is_none(),
            "a clock that begins in 1970"
        );
        let broken = PastDay {
            day: 100,
            means: vec![255; 7],
        };
        assert!(Past::restore([broken], 101 * day * 1000).is_none());
    }

    #[test]
    fn a_clock_that_is_set_back_or_far_ahead_forgets_what_cannot_be_true_any_more() {
        let mut past = Past::default();
        for n in 0..20 {
            pass(&mut past, 3_000_000 + n * 300, 300, 1.0, None);
        }
        begin(&mut past, 3_000_000 + 6000);
        assert_eq!(past.known(), 20);
        pass(&mut past, 3_000_000 + 1500, 300, 2.0, None);
        begin(&mut past, 3_000_000 + 1800);
        assert_eq!(past.known(), 6);
        assert_eq!(past.get(10_005), Some(2.0));
        pass(&mut past, 300_000_000, 300, 3.0, None);
        begin(&mut past, 300_000_300);
        assert_eq!((past.known(), past.get(1_000_000)), (1, Some(3.0)));
        pass(&mut past, 0, 301, 4.0, None);
        assert_eq!((past.known(), past.get(0)), (1, Some(4.0)));
    }
}
