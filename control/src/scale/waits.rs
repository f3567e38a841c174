//! How long requests wait for a worker.

use std::time::Duration;

use penstock_config::fleet::TimeHistogram;

use super::observation::Observation;

/// Waits over a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waits {
    queued: TimeHistogram,
    /// Requests that had a worker at once.
    at_once: u64,
    /// For how long requests have waited and none has got a worker: as long as all wait, the waits
    /// that end say nothing, and the longest is at least this.
    stuck: Duration,
}

impl Waits {
    pub(super) fn record(&mut self, seen: &Observation) {
        let load = &seen.load;
        let mut got_one = 0;
        for (sum, more) in self.queued.counts.iter_mut().zip(load.waits.counts) {
            *sum += more;
            got_one += more;
        }
        self.at_once += load.arrivals.saturating_sub(load.no_capacity);
        self.stuck = if seen.queued > 0 && got_one == 0 {
            self.stuck + load.over
        } else {
            Duration::ZERO
        };
    }

    /// Begins the next stretch; who is stuck stays stuck.
    pub(super) fn restart(&mut self) {
        *self = Self {
            stuck: self.stuck,
            ..Self::default()
        };
    }

    /// The wait in seconds that 95 % of the requests stay below.
    pub(super) fn p95(&self) -> f64 {
        let queued: u64 = self.queued.counts.iter().sum();
        let rank = 0.95 * (queued + self.at_once) as f64;
        let mut below = self.at_once as f64;
        let mut wait = 0.0;
        for (bucket, count) in self.queued.counts.iter().enumerate() {
            let count = *count as f64;
            if below >= rank {
                break;
            }
            if below + count >= rank {
                wait = within(bucket, (rank - below) / count);
            }
            below += count;
        }
        f64::max(wait, self.stuck.as_secs_f64())
    }
}

/// A duration in seconds at this share of a bucket, whose upper bound is `1 ms × 2^bucket`.
fn within(bucket: usize, share: f64) -> f64 {
    let upper = f64::from(1_u32 << bucket.min(30)) / 1000.0;
    let lower = if bucket == 0 { 0.0 } else { upper / 2.0 };
    lower + (upper - lower) * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::Load;

    fn seen(arrivals: u64, no_capacity: u64, waits: &[(u64, u64)], queued: u32) -> Observation {
        let mut histogram = TimeHistogram::default();
        for (millis, count) in waits {
            histogram.counts[TimeHistogram::bucket(Duration::from_millis(*millis))] += count;
        }
        let load = Load {
            over: Duration::from_secs(1),
            arrivals,
            no_capacity,
            waits: histogram,
            ..Load::default()
        };
        Observation {
            queued,
            load,
            ..Observation::default()
        }
    }

    #[test]
    fn requests_that_had_a_worker_at_once_waited_for_nothing() {
        let mut waits = Waits::default();
        waits.record(&seen(100, 4, &[(900, 4)], 0));
        assert_eq!(waits.p95(), 0.0);
        waits.record(&seen(4, 4, &[(900, 4)], 0));
        assert!((0.5..1.1).contains(&waits.p95()), "{}", waits.p95());
    }

    #[test]
    fn as_long_as_nobody_gets_a_worker_the_wait_grows() {
        let mut waits = Waits::default();
        for _ in 0..7 {
            waits.record(&seen(1, 1, &[], 3));
            waits.restart();
        }
        assert_eq!(waits.p95(), 7.0);
        waits.record(&seen(0, 0, &[(7000, 3)], 0));
        assert!((4.0..8.2).contains(&waits.p95()));
    }
}
