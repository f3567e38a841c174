//! Amounts in buckets of which the bounds are fixed when this is compiled.

use std::{
    array,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use penstock_config::fleet::METRIC_BOUNDS_MS;

/// Bounds of times under our own names, in microseconds as all of times.
pub(crate) const OWN: [u64; METRIC_BOUNDS_MS.len()] = {
    let mut bounds = [0; METRIC_BOUNDS_MS.len()];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = METRIC_BOUNDS_MS[at] * 1000;
        at += 1;
    }
    bounds
};

/// OpenTelemetry's, for `gen_ai.server.time_to_first_token`.
pub(crate) const FIRST: [u64; 16] = [
    1_000, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 250_000, 500_000, 750_000,
    1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// For `gen_ai.server.time_per_output_token`.
pub(crate) const PER_TOKEN: [u64; 13] = [
    10_000, 25_000, 50_000, 75_000, 100_000, 150_000, 200_000, 300_000, 400_000, 500_000, 750_000,
    1_000_000, 2_500_000,
];

/// For `gen_ai.server.request.duration`.
pub(crate) const DURATION: [u64; 14] = [
    10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000,
    10_240_000, 20_480_000, 40_960_000, 81_920_000,
];

/// For `gen_ai.client.token.usage`.
pub(crate) const TOKENS: [u64; 14] = [
    1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216,
    67_108_864,
];

/// Counts by bucket, and the sum: `N` is one more than there are bounds.
#[derive(Debug)]
pub(crate) struct Spread<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self {
            counts: array::from_fn(|_| AtomicU64::new(0)),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Spread<N> {
    /// Counts an amount, by bounds that are always the same.
    pub(crate) fn record(&self, bounds: &[u64], amount: u64) {
        let bucket = bounds.partition_point(|bound| *bound < amount);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(amount, Ordering::Relaxed);
    }

    /// Counts a time.
    pub(crate) fn time(&self, bounds: &[u64], time: Duration) {
        self.record(bounds, micros(time));
    }

    /// Counts so many that are zero.
    pub(crate) fn zeros(&self, more: u64) {
        if let Some(count) = self.counts.first() {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Adds its counts, and its sum, to others.
    pub(crate) fn add_to(&self, counts: &mut [u64; N], sum: &mut u64) {
        for (total, count) in counts.iter_mut().zip(&self.counts) {
            *total += count.load(Ordering::Relaxed);
        }
        *sum += self.sum.load(Ordering::Relaxed);
    }
}

/// A time as it is counted. In 64 bits: those of 128 that `as_micros` counts in are dear.
pub(crate) fn micros(time: Duration) -> u64 {
    let micros = time.as_secs().saturating_mul(1_000_000);
    micros.saturating_add(u64::from(time.subsec_micros()))
}
