//! Durations in buckets.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use penstock_config::fleet::METRIC_BOUNDS_MS as BOUNDS;

/// Buckets between and beyond the bounds.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// Counts of durations by bucket, and their sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// The sum of some histograms.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistogramSnapshot {
    /// Counts by bucket, not cumulative.
    pub(super) counts: [u64; BUCKETS],
    /// Sum of the durations in microseconds.
    pub(super) micros: u64,
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn record(&self, duration: Duration) {
        // In 64 bits: those of 128 that `as_micros` counts in are dear.
        let micros = duration.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(u64::from(duration.subsec_micros()));
        let bucket = BOUNDS.partition_point(|millis| millis * 1000 < micros);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Sum of the durations in microseconds.
    pub(super) fn micros(&self) -> u64 {
        self.micros.load(Ordering::Relaxed)
    }

    /// Adds its counts to a sum.
    pub(super) fn add_to(&self, sum: &mut HistogramSnapshot) {
        for (total, count) in sum.counts.iter_mut().zip(&self.counts) {
            *total += count.load(Ordering::Relaxed);
        }
        sum.micros += self.micros.load(Ordering::Relaxed);
    }
}

impl HistogramSnapshot {
    /// How many durations were counted.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each bound, how many were at most that long.
    pub(super) fn cumulative(&self) -> [u64; BOUNDS.len()] {
        let mut below = 0;
        array::from_fn(|bucket| {
            below += self.counts[bucket];
            below
        })
    }
}
