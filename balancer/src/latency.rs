//! How long a worker takes: an average that follows rises at once and falls slowly.
//!
//! The "peak EWMA" of Finagle and linkerd: a slower answer than the average replaces it, a faster one
//! is mixed in with a weight that grows with the time since the last one. So a worker that begins to
//! stall loses traffic after one answer, and gets it back only after it was fast for a while.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::stamped::{Stamp, pack, unpack};

/// Time after which an old average counts for 1/e; what linkerd uses.
const DECAY: Duration = Duration::from_secs(10);

/// Nothing was measured yet. Not a number that can be packed: its first half is no finite float.
const UNKNOWN: u64 = u64::MAX;

/// What a worker costs that has a request but no answer yet: more than any that is known.
const UNKNOWN_SECONDS: f64 = 3600.0;

/// Average latency of one worker.
#[derive(Debug)]
pub(crate) struct Latency {
    word: AtomicU64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            word: AtomicU64::new(UNKNOWN),
        }
    }

    /// Takes a measurement into the average.
    pub(crate) fn observe(&self, took: Duration, now: Duration) {
        let (took, now) = (took.as_secs_f32(), Stamp::at(now));
        let mut seen = self.word.load(Relaxed);
        loop {
            let word = match seen {
                UNKNOWN => pack(took.to_bits(), now),
                _ => mixed(seen, took, now),
            };
            match self
                .word
                .compare_exchange_weak(seen, word, Relaxed, Relaxed)
            {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Seconds that a further request would wait if the worker took one after the other: latency times
    /// requests.
    ///
    /// An old average fades, so that a worker that was slow once is tried again; but only for its first
    /// request. While it has that one, its last known latency counts in full: a faded number says
    /// nothing about how many requests it can stand.
    pub(crate) fn cost(&self, in_flight: u32, now: Duration) -> f64 {
        let word = self.word.load(Relaxed);
        let requests = f64::from(in_flight) + 1.0;
        if word == UNKNOWN {
            return if in_flight == 0 {
                0.0
            } else {
                requests * UNKNOWN_SECONDS
            };
        }
        let (bits, since) = unpack(word);
        let seconds = f32::from_bits(bits);
        if in_flight == 0 {
            f64::from(seconds * faded(Stamp::at(now).since(since)))
        } else {
            f64::from(seconds) * requests
        }
    }
}

/// The average after one more measurement.
fn mixed(word: u64, took: f32, now: Stamp) -> u64 {
    let (bits, since) = unpack(word);
    let average = f32::from_bits(bits);
    if took >= average {
        return pack(took.to_bits(), now);
    }
    let age = now.since(since);
    if age.is_zero() {
        // Within the same millisecond only peaks count; the stamp stays, so that time adds up.
        return word;
    }
    let old = faded(age);
    let mixed: f32 = average * old + took * (1.0 - old);
    pack(mixed.to_bits(), now)
}

fn faded(age: Duration) -> f32 {
    (-age.as_secs_f32() / DECAY.as_secs_f32()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn measured(samples: &[(u32, u32)]) -> Latency {
        let latency = Latency::new();
        for (at, took) in samples {
            latency.observe(*took * MS, *at * MS);
        }
        latency
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fast_ones_by_and_by() {
        let at = 20_000 * MS;
        let seconds = |samples: &[(u32, u32)]| measured(samples).cost(1, at) / 2.0;
        assert_eq!(seconds(&[(0, 10), (1, 500)]), 0.5);
        let after_decay = seconds(&[(0, 500), (10_000, 0)]);
        assert!((after_decay - 0.5 / std::f64::consts::E).abs() < 1e-3);
        assert_eq!(seconds(&[(5, 500), (5, 0)]), 0.5);
    }

    #[test]
    fn the_average_fades_only_for_the_first_request() {
        let latency = measured(&[(0, 1_000)]);
        assert!(latency.cost(0, 100_000 * MS) < 1e-4);
        assert_eq!(latency.cost(1, 100_000 * MS), 2.0);
    }

    #[test]
    fn an_unknown_worker_is_tried_once() {
        let latency = Latency::new();
        assert_eq!(latency.cost(0, MS), 0.0);
        assert!(latency.cost(1, MS) > 1_000.0);
    }
}
