//! Counts of what anybody on the network can cause, told now and then.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Shortest time between two lines of the log about the same thing.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// A count, and when it was last told.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicU64,
    /// When it may be told again, in ms of the gateway's clock.
    silent_until: AtomicU64,
}

impl Tally {
    /// Counts one. The count, when it is time to write it to the log: not for each, because whoever can
    /// connect could fill the disk.
    pub(crate) fn add(&self, now: Duration) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let until = self.silent_until.load(Ordering::Relaxed);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        if millis(now) < until {
            return None;
        }
        // Of several threads that find it is time, one tells.
        self.silent_until
            .compare_exchange(
                until,
                millis(now + TELL_EVERY),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
            .then_some(count)
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_one_in_ten_seconds_is_told() {
        let tally = Tally::default();
        let told: Vec<_> = (0..25)
            .filter_map(|at| tally.add(Duration::from_secs(at)))
            .collect();
        assert_eq!(told, [1, 11, 21]);
        assert_eq!(tally.count(), 25);
    }
}
