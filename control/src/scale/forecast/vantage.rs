//! From when, and how far, the rule looks ahead.

use std::{ops::RangeInclusive, time::Duration};

use penstock_config::ForecastRule;

use super::{
    past::{BUCKET, BUCKET_MS},
    pattern::Moment,
};
use crate::scale::{Observation, demand::START_GUESS};

/// Longest look-ahead, however long starts take.
const AHEAD_MAX: Duration = Duration::from_secs(6 * 3600);

/// The moment from which it is looked ahead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vantage {
    /// Milliseconds since 1970.
    pub(super) wall_ms: u64,
    /// How long a start takes.
    pub(super) start: Duration,
}

impl Vantage {
    pub(super) fn new(seen: &Observation) -> Self {
        Self {
            wall_ms: seen.wall_ms,
            start: seen.start_time.unwrap_or(START_GUESS),
        }
    }

    /// How far patterns are looked at. A load that began in the middle of a bucket shows in its mean
    /// only in part, so that one bucket more is looked at.
    fn ahead(self, rule: &ForecastRule) -> Duration {
        let ahead = rule.ahead.unwrap_or(self.start + BUCKET);
        ahead.min(AHEAD_MAX)
    }

    /// The end of the look-ahead, in milliseconds since 1970.
    pub(super) fn end_ms(self, rule: &ForecastRule) -> u64 {
        self.wall_ms.saturating_add(millis(self.ahead(rule)))
    }

    /// The look-ahead in whole buckets, at least one.
    pub(super) fn buckets_ahead(self, rule: &ForecastRule) -> u64 {
        millis(self.ahead(rule)).div_ceil(BUCKET_MS).max(1)
    }

    /// The buckets that it reaches into.
    pub(super) fn buckets(self, rule: &ForecastRule) -> RangeInclusive<u64> {
        self.wall_ms / BUCKET_MS..=self.end_ms(rule) / BUCKET_MS
    }

    /// How far growth is carried on.
    pub(super) fn slope_ahead(self, rule: &ForecastRule) -> Duration {
        rule.ahead.unwrap_or(self.start)
    }

    /// When that is, in milliseconds since 1970.
    pub(super) fn slope_end_ms(self, rule: &ForecastRule) -> u64 {
        self.wall_ms.saturating_add(millis(self.slope_ahead(rule)))
    }

    /// Now, for a mean of the last so many milliseconds.
    pub(super) fn moment(self, length: u64) -> Moment {
        let share = (self.wall_ms % BUCKET_MS) as f64 / length as f64;
        Moment {
            number: self.wall_ms / BUCKET_MS,
            share: share.min(1.0),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
