//! How well a deployment answers: what control judges a canary by.

mod suspects;

use std::{
    array,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use penstock_config::fleet::{LatencyHistogram, Outcomes};

use self::suspects::Suspects;
use crate::{clients::ClientId, shards::Shards};

/// Counts the outcomes of one deployment's requests.
#[derive(Debug)]
pub(crate) struct OutcomeMeter {
    shards: Shards<Counts>,
    /// Whether control judges the deployment by them.
    is_on_trial: AtomicBool,
    suspects: Suspects,
}

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
        if self.is_on_trial.load(Ordering::Relaxed) {
            self.suspects.succeeded(client);
        }
        let bucket = LatencyHistogram::bucket(first_byte);
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

    /// What happened so far.
    pub(crate) fn read(&self) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for shard in self.shards.iter() {
            outcomes.failed += shard.failed.load(Ordering::Relaxed);
            for (total, count) in outcomes.first_byte.counts.iter_mut().zip(&shard.first_byte) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        outcomes.succeeded = outcomes.first_byte.counts.iter().sum();
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
}
