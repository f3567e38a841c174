//! How many requests a deployment has, averaged over time without ever sampling.
//!
//! The integral of the concurrency over time is the sum of what each request contributes: from its
//! start to its end, or to now when it is open. So it needs no event order, only four sums:
//! `integral = ends − starts + (arrivals − completions) × now`. They are kept per thread and in
//! whole microseconds, whose sums are exact, and modulo 2^64, which the result is far from.

use std::{
    sync::atomic::{AtomicU64, Ordering, fence},
    time::Duration,
};

use crate::base::shards::Shards;

/// Measures the concurrency of one deployment.
#[derive(Debug)]
pub(crate) struct LoadMeter {
    shards: Shards<Shard>,
    /// Largest integral read so far.
    reported: AtomicU64,
}

/// What a [`LoadMeter`] measured since the gateway's start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadSums {
    /// Requests open now.
    pub(crate) current: u32,
    /// Sum of `current × dt`, in request-seconds. Never less than in an earlier reading.
    pub(crate) integral: f64,
    /// Requests that started.
    pub(crate) arrivals: u64,
    /// Requests that ended.
    pub(crate) completions: u64,
}

impl LoadMeter {
    /// For a gateway with this many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            shards: Shards::new(threads),
            reported: AtomicU64::new(0),
        }
    }

    /// A request begins. `now` is time since the gateway's start.
    pub(crate) fn start(&self, thread: usize, now: Duration) {
        self.shards.of(thread).update(|sums| {
            sums.arrivals += 1;
            sums.starts = sums.starts.wrapping_add(micros(now));
        });
    }

    /// A request ends; on another thread than it began is fine too.
    pub(crate) fn end(&self, thread: usize, now: Duration) {
        self.shards.of(thread).update(|sums| {
            sums.completions += 1;
            sums.ends = sums.ends.wrapping_add(micros(now));
        });
    }

    /// Requests open now. Cheaper than [`read`](Self::read), and as exact as a look at several threads
    /// one after the other can be.
    pub(crate) fn current(&self) -> u32 {
        let open = |shard: &Shard| {
            // Ends first: a request that ends in between must not seem to end before it began.
            let completions = shard.completions.load(Ordering::Acquire);
            let arrivals = shard.arrivals.load(Ordering::Relaxed);
            arrivals.wrapping_sub(completions)
        };
        let open = self.shards.iter().map(open).fold(0, u64::wrapping_add);
        u32::try_from(open.cast_signed().max(0)).unwrap_or(u32::MAX)
    }

    /// The sums up to `now`.
    pub(crate) fn read(&self, now: Duration) -> LoadSums {
        let total = self
            .shards
            .iter()
            .map(Shard::read)
            .fold(Sums::default(), Sums::plus);
        let current = total.arrivals.wrapping_sub(total.completions);
        let integral = total
            .ends
            .wrapping_sub(total.starts)
            .wrapping_add(current.wrapping_mul(micros(now)));
        // A thread may take the time before this reading and write it down after, or take a later
        // time and write it down before. Either makes a reading wrong by the time between the two.
        let integral = integral.cast_signed().max(0).cast_unsigned();
        let integral = self
            .reported
            .fetch_max(integral, Ordering::Relaxed)
            .max(integral);
        LoadSums {
            current: u32::try_from(current.cast_signed().max(0)).unwrap_or(u32::MAX),
            integral: Duration::from_micros(integral).as_secs_f64(),
            arrivals: total.arrivals,
            completions: total.completions,
        }
    }
}

fn micros(now: Duration) -> u64 {
    now.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(u64::from(now.subsec_micros()))
}

/// The four sums of one thread; times in microseconds, modulo 2^64.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    arrivals: u64,
    completions: u64,
    starts: u64,
    ends: u64,
}

impl Sums {
    fn plus(self, other: Self) -> Self {
        Self {
            arrivals: self.arrivals.wrapping_add(other.arrivals),
            completions: self.completions.wrapping_add(other.completions),
            starts: self.starts.wrapping_add(other.starts),
            ends: self.ends.wrapping_add(other.ends),
        }
    }
}

/// Sums behind a sequence lock: readers never make the writer wait. The sequence is odd while
/// somebody writes, so that a second writer, which there is none of in the usual case, would wait
/// its turn.
#[derive(Debug, Default)]
struct Shard {
    sequence: AtomicU64,
    arrivals: AtomicU64,
    completions: AtomicU64,
    starts: AtomicU64,
    ends: AtomicU64,
}

impl Shard {
    fn update(&self, change: impl FnOnce(&mut Sums)) {
        let sequence = self.lock();
        // Whoever sees one of the stores below sees the odd sequence too.
        fence(Ordering::Release);
        let mut sums = self.load();
        change(&mut sums);
        self.arrivals.store(sums.arrivals, Ordering::Relaxed);
        self.completions.store(sums.completions, Ordering::Relaxed);
        self.starts.store(sums.starts, Ordering::Relaxed);
        self.ends.store(sums.ends, Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
    }

    fn read(&self) -> Sums {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let sums = self.load();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                return sums;
            }
            // The writer may have lost its core in the middle.
            std::thread::yield_now();
        }
    }

    /// Makes the sequence odd and returns the even one before.
    fn lock(&self) -> u64 {
        loop {
            let sequence = self.sequence.load(Ordering::Relaxed);
            let free = sequence.is_multiple_of(2);
            let odd = sequence.wrapping_add(1);
            let take = || {
                self.sequence.compare_exchange_weak(
                    sequence,
                    odd,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
            };
            if free && take().is_ok() {
                return sequence;
            }
            std::thread::yield_now();
        }
    }

    fn load(&self) -> Sums {
        Sums {
            arrivals: self.arrivals.load(Ordering::Relaxed),
            completions: self.completions.load(Ordering::Relaxed),
            starts: self.starts.load(Ordering::Relaxed),
            ends: self.ends.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
