//! What a simulation found.

use std::time::Duration;

/// What a run would have cost, and who would have waited.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What decided.
    pub scaler: String,
    /// Requests that came.
    pub requests: u64,
    /// Seconds that workers were there, from the start of each until it was gone, until all requests
    /// were answered and no more workers were left than in the beginning.
    pub worker_seconds: f64,
    /// Of these, seconds in which a worker had no request (starting included).
    pub idle_seconds: f64,
    /// Workers that were started.
    pub starts: u64,
    /// Changes of the desired count.
    pub scale_events: u64,
    /// Requests that never got a worker: the queue was full, they would have waited in vain, or they had
    /// waited for too long.
    pub shed: u64,
    /// Requests cut off because their worker was stopped at its drain deadline.
    pub cut: u64,
    /// How long requests waited for a worker.
    pub waits: Waits,
    /// The course of the run until the last request was answered, one entry per second.
    pub course: Vec<Instant>,
    /// Changes of the desired count with their reasons, for people: time, before, after, why.
    pub decisions: Vec<(Duration, u32, u32, String)>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Instant {
    /// Its end, since the first arrival.
    pub at: Duration,
    /// Requests that came in it.
    pub arrivals: u32,
    /// Requests in flight or queued at its end.
    pub current: u32,
    /// Requests queued at its end.
    pub queued: u32,
    /// The count of workers aimed at.
    pub desired: u32,
    /// Workers that took requests.
    pub ready: u32,
    /// Workers on their way.
    pub starting: u32,
    /// The longest wait that ended in it.
    pub longest_wait: Duration,
}

/// How long requests waited for a worker. Those that never got one waited longer than any limit.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// In no order until [`sort`](Self::sort).
    all: Vec<Duration>,
    /// Requests that never got a worker, and so miss every limit.
    in_vain: u64,
}

impl Waits {
    pub(super) fn record(&mut self, wait: Duration) {
        self.all.push(wait);
    }

    pub(super) fn in_vain(&mut self, count: u64) {
        self.in_vain += count;
    }

    pub(super) fn sort(&mut self) {
        self.all.sort_unstable();
    }

    /// Requests that got a worker.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The wait that the share `share` (0 to 1) of all requests did not exceed. `None` when that
    /// share did not get a worker at all, or there were no requests.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let count = self.all.len() as f64 + self.in_vain as f64;
        let rank = (share * count).ceil().max(1.0) as usize;
        self.all.get(rank - 1).copied()
    }

    /// The share of requests that waited for longer than `limit`, or in vain; 0 to 1.
    pub fn share_above(&self, limit: Duration) -> f64 {
        let within = self.all.partition_point(|wait| *wait <= limit) as f64;
        let count = self.all.len() as f64 + self.in_vain as f64;
        if count == 0.0 {
            return 0.0;
        }
        1.0 - within / count
    }

    /// The mean wait of those that got a worker.
    pub fn mean(&self) -> Duration {
        let sum: Duration = self.all.iter().sum();
        match u32::try_from(self.all.len()) {
            Ok(count) if count > 0 => sum / count,
            _ => Duration::ZERO,
        }
    }
}

impl Outcome {
    /// Share of worker time without a request, 0 to 1.
    pub fn idle_share(&self) -> f64 {
        if self.worker_seconds == 0.0 {
            return 0.0;
        }
        self.idle_seconds / self.worker_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_in_vain_count_among_those_that_waited_too_long() {
        let mut waits = Waits::default();
        for seconds in 1..=9 {
            waits.record(Duration::from_secs(seconds));
        }
        waits.in_vain(1);
        waits.sort();
        assert_eq!(waits.percentile(0.5), Some(Duration::from_secs(5)));
        assert_eq!(waits.percentile(0.9), Some(Duration::from_secs(9)));
        assert_eq!(waits.percentile(0.95), None);
        assert!((waits.share_above(Duration::from_secs(8)) - 0.2).abs() < 1e-9);
    }
}
