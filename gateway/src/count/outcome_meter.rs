//! How well a deployment answers: what control judges a canary by.

mod suspects;

use std::{
    array,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use penstock_config::fleet::{LatencyHistogram, Outcomes};

use self::suspects::Suspects;
use crate::{base::shards::Shards, count::clients::ClientId};

/// Counts the outcomes of one deployment's requests.
#[derive(Debug)]
pub(crate) struct OutcomeMeter {
    shards: Shards<Counts>,
    /// Whether control judges the deployment by them.
    is_on_trial: AtomicBool,
    suspects: Suspects,
    /// Answers in later buckets than this are slow for this deployment: one in twenty at most.
    slow_above: AtomicUsize,
}

/// Share of the answers that are not slow.
const NOT_SLOW: f64 = 0.95;

/// The counts of one thread.
#[derive(Debug)]
struct Counts {
    failed: AtomicU64,
    /// One entry per success, so that their sum needs no counter of its own.
    first_byte: [AtomicU64; LatencyHistogram::BUCKETS],
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            failed: AtomicU64::new(0),
            first_byte: array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl OutcomeMeter {
    /// For a gateway with this many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            shards: Shards::new(threads),
            is_on_trial: AtomicBool::new(false),
            suspects: Suspects::default(),
            slow_above: AtomicUsize::new(usize::MAX),
        }
    }

    /// Whether a rollout judges the deployment, so that its clients are told apart.
    pub(crate) fn set_on_trial(&self, is_on_trial: bool) {
        self.is_on_trial.store(is_on_trial, Ordering::Relaxed);
    }

    /// A request of this client was answered well to its end. The head of the answer had come
    /// `first_byte` after the worker got the request.
    pub(crate) fn succeeded(&self, thread: usize, client: ClientId, first_byte: Duration) {
        // Clients first: what is read of them is never less than what is read of all.
        let bucket = LatencyHistogram::bucket(first_byte);
        if self.is_on_trial.load(Ordering::Relaxed) {
            let is_slow = bucket > self.slow_above.load(Ordering::Relaxed);
            self.suspects.succeeded(client, bucket, is_slow);
        }
        self.shards.of(thread).first_byte[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// A worker failed a request of this client, even if another one answered it then.
    pub(crate) fn failed(&self, thread: usize, client: ClientId) {
        if self.is_on_trial.load(Ordering::Relaxed) {
            self.suspects.failed(client);
        }
        self.shards
            .of(thread)
            .failed
            .fetch_add(1, Ordering::Relaxed);
    }

    /// What happened so far. From now on answers are slow that take longer than most of these.
    pub(crate) fn read(&self) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for shard in self.shards.iter() {
            outcomes.failed += shard.failed.load(Ordering::Relaxed);
            for (total, count) in outcomes.first_byte.counts.iter_mut().zip(&shard.first_byte) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        outcomes.succeeded = outcomes.first_byte.counts.iter().sum();
        if let Some(bound) = outcomes.first_byte.quantile(NOT_SLOW) {
            // The bound of a bucket is the first duration of the next one.
            let above = LatencyHistogram::bucket(bound).saturating_sub(1);
            self.slow_above.store(above, Ordering::Relaxed);
        }
        outcomes.suspects = self.suspects.read();
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_all_threads_add_up() {
        let meter = OutcomeMeter::new(2);
        assert_eq!(meter.read(), Outcomes::default());
        let took = Duration::from_millis(3);
        let client = ClientId::COPIES;
        meter.succeeded(0, client, took);
        meter.succeeded(1, client, took);
        meter.succeeded(1, client, Duration::MAX);
        meter.failed(1, client);
        let outcomes = meter.read();
        assert_eq!((outcomes.succeeded, outcomes.failed), (3, 1));
        let counts = outcomes.first_byte.counts;
        assert_eq!(counts[LatencyHistogram::bucket(took)], 2);
        assert_eq!(counts[LatencyHistogram::BUCKETS - 1], 1);
    }

    #[test]
    fn slow_is_what_takes_longer_than_nearly_all_before() {
        let meter = OutcomeMeter::new(1);
        meter.set_on_trial(true);
        let client = ClientId::COPIES;
        let took = Duration::from_millis(10);
        (0..100).for_each(|_| meter.succeeded(0, client, took));
        assert_eq!(meter.read().suspects[0].slow, 0, "nothing is known before");
        (0..100).for_each(|_| meter.succeeded(0, client, took));
        meter.succeeded(0, client, took * 2);
        let outcomes = meter.read();
        assert_eq!(outcomes.suspects[0].slow, 1);
        assert_eq!(outcomes.suspects[0].first_byte, outcomes.first_byte);
    }
}
