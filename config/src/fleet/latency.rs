//! Latencies, counted finely enough for percentiles.

use std::time::Duration;

/// Upper bounds, in milliseconds and each inclusive, of the coarser histograms on pages of metrics. From a
/// cached answer to a stream, a wait or the start of a worker of two hours, in steps of 2 to 3, so that a
/// quantile read from them is at most that much off.
pub const METRIC_BOUNDS_MS: [u64; 21] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000,
    300_000, 600_000, 1_800_000, 3_600_000, 7_200_000,
];

/// Counts of durations in buckets an eighth of their octave wide, so that a bound is at most 12.5 %
/// above the value: fine enough to compare percentiles, and a sum that only grows, so that the
/// difference of two is a histogram too.
///
/// The crate `hdrhistogram` cuts octaves in the same way. It is not used because its counts belong to one
/// thread, and several that record would need a lock or a channel; here they are as many atomics as
/// there are buckets, of a size that is known when it is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    /// The counts.
    pub counts: [u64; Self::BUCKETS],
}

/// Everything shorter shares the first bucket.
const SHORTEST: Duration = Duration::from_micros(128);

/// Buckets per octave, as a power of two.
const STEPS_LOG2: u32 = 3;

impl LatencyHistogram {
    /// 23 octaves of 8 buckets above the first one: up to 128 µs × 2^23, about 18 minutes. The last
    /// bucket holds all that is longer.
    pub const BUCKETS: usize = 1 + 23 * (1 << STEPS_LOG2);

    /// The bucket a duration falls into.
    pub fn bucket(duration: Duration) -> usize {
        let steps = 1_u64 << STEPS_LOG2;
        // In units of an eighth of the shortest: the first octave spans 8 to 16 of them.
        let unit = u64::from(SHORTEST.subsec_nanos()) >> STEPS_LOG2;
        let nanos = duration.as_secs().saturating_mul(1_000_000_000);
        let units = nanos.saturating_add(u64::from(duration.subsec_nanos())) / unit;
        if units < steps {
            return 0;
        }
        let octave = units.ilog2() - STEPS_LOG2;
        let step = (units >> octave) - steps;
        let bucket = 1 + u64::from(octave) * steps + step;
        usize::try_from(bucket).map_or(Self::BUCKETS - 1, |bucket| bucket.min(Self::BUCKETS - 1))
    }

    /// The upper bound of a bucket; what it holds is shorter.
    pub fn bound(bucket: usize) -> Duration {
        let steps = 1 << STEPS_LOG2;
        let unit = SHORTEST / steps;
        let Some(above) = bucket.checked_sub(1) else {
            return SHORTEST;
        };
        let (octave, step) = (above / steps as usize, above % steps as usize);
        let units = (steps as usize + step + 1) << octave;
        unit * u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// The bound that this share of all durations is below; `None` when there are none. What is longer
    /// than the histogram reaches is said to be as long as it reaches.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        let wanted = (share * all as f64).ceil().max(1.0);
        let mut below = 0;
        let bucket = self.counts.iter().position(|count| {
            below += count;
            below as f64 >= wanted
        });
        bucket.map(|bucket| Self::bound(bucket.min(Self::BUCKETS - 2)))
    }

    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.counts[Self::bucket(duration)] += 1;
    }
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            counts: [0; Self::BUCKETS],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_below_the_bound_of_its_bucket_and_not_below_that_of_the_one_before() {
        for micros in (0..4_000).chain((12..29).map(|power| (1 << power) + 77)) {
            let duration = Duration::from_micros(micros);
            let bucket = LatencyHistogram::bucket(duration);
            assert!(duration < LatencyHistogram::bound(bucket), "{duration:?}");
            if let Some(before) = bucket.checked_sub(1) {
                assert!(duration >= LatencyHistogram::bound(before), "{duration:?}");
            }
        }
    }

    #[test]
    fn a_bound_is_at_most_an_eighth_above_what_it_bounds() {
        for bucket in 1..LatencyHistogram::BUCKETS {
            let below = LatencyHistogram::bound(bucket - 1);
            assert!(LatencyHistogram::bound(bucket) <= below * 9 / 8);
        }
    }

    #[test]
    fn a_quantile_is_the_bound_that_its_share_is_below() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        let bound = |millis| {
            let bucket = LatencyHistogram::bucket(Duration::from_millis(millis));
            Some(LatencyHistogram::bound(bucket))
        };
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        for (share, millis) in [(0.0, 1), (0.5, 50), (0.95, 95), (1.0, 100)] {
            assert_eq!(histogram.quantile(share), bound(millis), "{share}");
        }
        histogram.record(Duration::MAX);
        let reach = LatencyHistogram::bound(LatencyHistogram::BUCKETS - 2);
        assert_eq!(histogram.quantile(1.0), Some(reach));
    }

    #[test]
    fn an_endless_duration_is_in_the_last_bucket() {
        let last = LatencyHistogram::BUCKETS - 1;
        assert_eq!(LatencyHistogram::bucket(Duration::MAX), last);
    }
}
