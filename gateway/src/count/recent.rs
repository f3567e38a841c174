//! How requests did of late: counts of this half minute and the one before.
//!
//! Sums since the start cannot tell how things are now, and a window that slides would have to
//! remember every request. Of two halves that take turns one is always whole.

use std::{
    array,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use penstock_config::fleet::{LatencyHistogram, Recent};

use crate::base::shards::Shards;

/// Length of one half.
const HALF: Duration = Duration::from_secs(30);

/// Counts of one deployment or one worker. Every thread writes to its own.
#[derive(Debug)]
pub(crate) struct RecentMeter(Shards<[Half; 2]>);

/// The counts of one half minute on one thread.
#[derive(Debug)]
struct Half {
    /// Which half minute of the gateway's life, counted from 1.
    number: AtomicU64,
    ended: AtomicU32,
    failed: AtomicU32,
    left: AtomicU32,
    first_byte: [AtomicU32; LatencyHistogram::BUCKETS],
    whole: [AtomicU32; LatencyHistogram::BUCKETS],
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ended {
    /// Until the first byte of the answer's body.
    pub(crate) first_byte: Option<Duration>,
    /// Until the end of the answer, or until the client left.
    pub(crate) whole: Option<Duration>,
    /// Whether it got an error or was cut off.
    pub(crate) failed: bool,
    /// Whether the client left before the end.
    pub(crate) left: bool,
}

impl Default for Half {
    fn default() -> Self {
        Self {
            number: AtomicU64::new(0),
            ended: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            left: AtomicU32::new(0),
            first_byte: array::from_fn(|_| AtomicU32::new(0)),
            whole: array::from_fn(|_| AtomicU32::new(0)),
        }
    }
}

impl RecentMeter {
    /// For a gateway with this many threads.
    pub(crate) fn new(threads: usize) -> Self {
        Self(Shards::new(threads))
    }

    /// Counts a request that is over.
    pub(crate) fn ended(&self, thread: usize, now: Duration, ended: Ended) {
        let half = self.half(thread, now);
        bump(&half.ended);
        if ended.failed {
            bump(&half.failed);
        }
        if ended.left {
            bump(&half.left);
        }
        if let Some(first_byte) = ended.first_byte {
            bump(&half.first_byte[LatencyHistogram::bucket(first_byte)]);
        }
        if let Some(whole) = ended.whole {
            bump(&half.whole[LatencyHistogram::bucket(whole)]);
        }
    }

    /// Counts a failure of a request that is not over.
    pub(crate) fn failed(&self, thread: usize, now: Duration) {
        bump(&self.half(thread, now).failed);
    }

    /// The counts of this half minute and the one before.
    pub(crate) fn read(&self, now: Duration) -> Recent {
        let number = number(now);
        let mut recent = Recent {
            over: now.min(HALF + (now - HALF * u32::try_from(number - 1).unwrap_or(u32::MAX))),
            ..Recent::default()
        };
        let halves = self.0.iter().flatten();
        for half in halves {
            let counted = half.number.load(Ordering::Acquire);
            if counted != number && counted + 1 != number {
                continue;
            }
            let read = |count: &AtomicU32| u64::from(count.load(Ordering::Relaxed));
            recent.ended += read(&half.ended);
            recent.failed += read(&half.failed);
            recent.left += read(&half.left);
            add(&mut recent.first_byte, &half.first_byte);
            add(&mut recent.whole, &half.whole);
        }
        recent
    }

    /// The half that `now` is in; one of a minute ago begins anew.
    fn half(&self, thread: usize, now: Duration) -> &Half {
        let number = number(now);
        let half = &self.0.of(thread)[usize::from(number % 2 == 1)];
        if half.number.load(Ordering::Relaxed) != number {
            half.clear();
            half.number.store(number, Ordering::Release);
        }
        half
    }
}

impl Half {
    fn clear(&self) {
        let counts = [&self.ended, &self.failed, &self.left];
        let counts = counts
            .into_iter()
            .chain(&self.first_byte)
            .chain(&self.whole);
        counts.for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

/// One more. Nobody else writes to it, so this need not be one step.
fn bump(count: &AtomicU32) {
    let more = count.load(Ordering::Relaxed).wrapping_add(1);
    count.store(more, Ordering::Relaxed);
}

fn add(sum: &mut LatencyHistogram, counts: &[AtomicU32]) {
    for (sum, count) in sum.counts.iter_mut().zip(counts) {
        *sum += u64::from(count.load(Ordering::Relaxed));
    }
}

/// Which half minute a time is in, counted from 1.
fn number(now: Duration) -> u64 {
    now.as_secs() / HALF.as_secs() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOK: Duration = Duration::from_millis(40);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn well() -> Ended {
        Ended {
            first_byte: Some(TOOK / 2),
            whole: Some(TOOK),
            ..Ended::default()
        }
    }

    #[test]
    fn what_ended_within_this_half_minute_or_the_one_before_counts() {
        let meter = RecentMeter::new(2);
        assert_eq!(meter.read(at(5)).ended, 0);
        meter.ended(0, at(5), well());
        meter.ended(1, at(29), well());
        meter.ended(1, at(31), well());
        for (now, ended, over) in [
            (29, 2, 29),
            (31, 3, 31),
            (59, 3, 59),
            (60, 1, 30),
            (90, 0, 30),
        ] {
            let recent = meter.read(at(now));
            assert_eq!((recent.ended, recent.over), (ended, at(over)), "{now}");
        }
        meter.ended(0, at(95), well());
        let recent = meter.read(at(100));
        assert_eq!((recent.ended, recent.over), (1, at(40)));
        assert_eq!(
            recent.whole.quantile(0.5),
            Some(LatencyHistogram::bound(LatencyHistogram::bucket(TOOK)))
        );
    }

    #[test]
    fn failures_and_clients_that_left_are_counted_apart() {
        let meter = RecentMeter::new(1);
        let now = at(40);
        meter.ended(
            0,
            now,
            Ended {
                failed: true,
                ..Ended::default()
            },
        );
        meter.ended(
            0,
            now,
            Ended {
                left: true,
                ..well()
            },
        );
        meter.failed(0, now);
        let recent = meter.read(now);
        assert_eq!((recent.ended, recent.failed, recent.left), (2, 2, 1));
        assert_eq!(recent.whole.counts.iter().sum::<u64>(), 1);
    }
}
