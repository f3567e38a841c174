//! When requests are due. An open loop: whatever the target does, the next request comes when it comes.

use std::{
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use rand::{Rng, RngExt};

use super::now;

/// The longest sleep, so that whoever no longer wants requests is heard in time.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Times from one request to the next: as from many clients who do not know of each other
/// (exponentially distributed, a Poisson process).
pub(super) struct Gaps<R> {
    /// Requests a second, above 0.
    rate: f64,
    random: R,
}

impl<R: Rng> Gaps<R> {
    pub(super) fn new(rate: f64, random: R) -> Self {
        Self { rate, random }
    }

    fn next(&mut self) -> Duration {
        // 1 − x, for the logarithm of 0 is not a time.
        let uniform: f64 = self.random.random();
        let gap = -(1.0 - uniform).ln() / self.rate;
        Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX)
    }
}

/// Calls `send` with the time of each request when it is due, from `begin` for `length`; sleeps in
/// between. A thread of its own does this: the timers of a runtime have a grain of 1 ms.
#[allow(clippy::disallowed_methods, reason = "the time is what is waited for")]
pub(super) fn pace<R: Rng>(
    gaps: &mut Gaps<R>,
    begin: Instant,
    length: Duration,
    mut send: impl FnMut(Instant) -> ControlFlow<()>,
    is_over: impl Fn() -> bool,
) {
    let mut due = Duration::ZERO;
    loop {
        due = due.saturating_add(gaps.next());
        if due >= length {
            return;
        }
        let at = begin + due;
        loop {
            if is_over() {
                return;
            }
            let left = at.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            thread::sleep(left.min(SLEEP_MAX));
        }
        if send(at).is_break() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_rate_is_kept_and_gaps_are_exponential() {
        let mut gaps = Gaps::new(200.0, StdRng::seed_from_u64(1));
        let all: Vec<f64> = (0..20_000).map(|_| gaps.next().as_secs_f64()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        assert!((mean * 200.0 - 1.0).abs() < 0.03, "{mean}");
        // Of an exponential distribution 63.2 % are below the mean.
        let below = all.iter().filter(|gap| **gap < mean).count() as f64 / all.len() as f64;
        assert!((below - 0.632).abs() < 0.01, "{below}");
    }

    #[test]
    fn what_is_late_is_sent_at_once_and_keeps_its_time() {
        // All of these were due in the past: none may be left out, or stalls would not be measured.
        let length = Duration::from_secs(2);
        let begin = now() - length;
        let mut gaps = Gaps::new(1000.0, StdRng::seed_from_u64(2));
        let mut sent = Vec::new();
        let send = |due| {
            sent.push(due);
            ControlFlow::Continue(())
        };
        pace(&mut gaps, begin, length, send, || false);
        assert!((1800..2200).contains(&sent.len()), "{}", sent.len());
        assert!(sent.is_sorted() && sent[0] - begin < Duration::from_millis(50));
    }
}
