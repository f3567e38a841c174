//! How long requests keep a place at a worker, by all that was counted. Asked only for requests that
//! have to wait.

use std::time::Duration;

use parking_lot::Mutex;
use penstock_balancer::Work;
use penstock_config::fleet::TimeHistogram;

/// The mean is over the last one to two of these: about as long as a kind of load goes on.
const PERIOD: Duration = Duration::from_secs(60);

/// [`Work`] is learned anew this often.
const LEARN_EVERY: Duration = Duration::from_secs(1);

/// What one deployment has learned.
#[derive(Default)]
pub(super) struct Pace(Mutex<Learned>);

#[derive(Default)]
struct Learned {
    /// The sums one to two periods ago, and those in between.
    earlier: (Served, Served),
    turned_at: Duration,
    work: Option<Work>,
    work_at: Option<Duration>,
}

/// Requests that workers had, up to some time.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Served {
    /// How many.
    pub(super) count: u64,
    /// How long they had their places, together.
    pub(super) micros: u64,
}

impl Pace {
    /// How long a request keeps its place, on average. `None` before the first one has ended.
    pub(super) fn mean(&self, all: Served, now: Duration) -> Option<Duration> {
        let mut learned = self.0.lock();
        if now.saturating_sub(learned.turned_at) >= PERIOD {
            learned.turned_at = now;
            learned.earlier = (learned.earlier.1, all);
        }
        let since = learned.earlier.0;
        let of = |count: u64, micros: u64| Some(Duration::from_micros(micros.checked_div(count)?));
        let lately = all.count.saturating_sub(since.count);
        of(lately, all.micros.saturating_sub(since.micros)).or_else(|| of(all.count, all.micros))
    }

    /// How much work requests are at least. `served` and `left` tell how long all took that ended so
    /// far, and how many left the queue before their turn.
    pub(super) fn work(
        &self,
        served: impl FnOnce() -> TimeHistogram,
        left: u64,
        now: Duration,
    ) -> Option<Work> {
        let mut learned = self.0.lock();
        let is_new = |at: Duration| now.saturating_sub(at) < LEARN_EVERY;
        if !learned.work_at.is_some_and(is_new) {
            learned.work = Work::learn(&served().at_least(), left);
            learned.work_at = Some(now);
        }
        learned.work.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_the_last_minutes_while_there_were_any_requests() {
        let pace = Pace::default();
        let mut all = Served::default();
        let mut after = |second: u64, count: u64, each: u64| {
            all.count += count;
            all.micros += count * each * 1_000_000;
            let mean = pace.mean(all, Duration::from_secs(second));
            mean.map(|mean| mean.as_secs())
        };
        assert_eq!(after(0, 0, 0), None);
        assert_eq!(after(10, 10, 2), Some(2));
        assert_eq!(after(60, 10, 4), Some(3));
        // Everything that took 2 s or 4 s is long ago.
        after(120, 0, 0);
        assert_eq!(after(130, 1, 9), Some(9));
        after(300, 0, 0);
        assert_eq!(after(400, 0, 0), Some(3), "of all there ever were");
    }
}
