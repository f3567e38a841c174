//! For how long fewer workers must have been enough before one goes.
//!
//! Half of a start ([`DownPace::patience`]), because a worker that is needed again costs a start. Where
//! starts are short that is too little: a steady load varies by chance, so that a worker goes and is
//! missed seconds later, again and again. The right time is not known beforehand. It is learned as
//! networks learn when to send again (exponential back-off, RFC 6298): the patience doubles each time a
//! removed worker is soon missed, and halves each time none is.

use std::time::Duration;

use penstock_config::DownPace;

/// A removed worker that is missed within this time, or within twice the patience, was worth keeping.
const SOON: Duration = Duration::from_secs(60);

/// Most doublings: from the shortest patience to the longest learned one.
const DOUBLINGS_MAX: u32 = 3;

/// Doublings end here, which is what Knative's window keeps workers for. Measured: up to three minutes
/// cost 12 % more GPU time (`benches/RESULTS.md`). Whoever wants them kept for longer sets `stable_for`.
const LONGEST: Duration = Duration::from_secs(60);

/// The patience of one deployment. A `stable_for` that is set is kept to, whatever is learned.
#[derive(Debug, Clone, Default)]
pub(super) struct Patience {
    current: Duration,
    doublings: u32,
    /// When a worker last went because of the load, while it may still be missed.
    shrunk_at: Option<Duration>,
    told_at: Duration,
}

impl Patience {
    /// Nothing is learned yet.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            told_at: now,
            ..Self::default()
        }
    }

    /// What it is now.
    pub(super) fn current(&self) -> Duration {
        self.current
    }

    /// Follows the settings, what is known of starts, and time. It becomes shorter only as time
    /// passes: or in the moment in which the first start is over, and its length known, workers still on
    /// their way would be stopped.
    pub(super) fn follow(&mut self, pace: &DownPace, start_time: Option<Duration>, now: Duration) {
        let passed = now.saturating_sub(std::mem::replace(&mut self.told_at, now));
        if self
            .shrunk_at
            .is_some_and(|at| now.saturating_sub(at) >= self.soon())
        {
            self.doublings = self.doublings.saturating_sub(1);
            self.shrunk_at = None;
        }
        let base = pace.patience(start_time);
        self.current = match pace.stable_for {
            Some(_) => base,
            None => {
                let learned = base.saturating_mul(1 << self.doublings);
                let learned = learned.min(LONGEST).max(base);
                learned.max(self.current.saturating_sub(passed))
            }
        };
    }

    /// The load wanted fewer workers, and they go.
    pub(super) fn shrank(&mut self, now: Duration) {
        self.shrunk_at = Some(now);
    }

    /// The load wants more workers.
    pub(super) fn grew(&mut self) {
        if self.shrunk_at.take().is_some() {
            self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        }
    }

    fn soon(&self) -> Duration {
        SOON.max(self.current * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pace(stable_for: Option<Duration>) -> DownPace {
        DownPace {
            stable_for,
            step: DownPace::NO_LIMIT,
            percent: 100,
            period: at(60),
        }
    }

    const START: Option<Duration> = Some(Duration::from_secs(5));

    #[test]
    fn it_doubles_while_workers_are_missed_up_to_a_bound() {
        let (mut patience, pace) = (Patience::new(at(0)), pace(None));
        let mut seen = Vec::new();
        for round in 0..7 {
            patience.follow(&pace, START, at(round * 100));
            seen.push(patience.current().as_secs());
            patience.shrank(at(round * 100));
            patience.follow(&pace, START, at(round * 100 + 30));
            patience.grew();
        }
        assert_eq!(seen, [10, 20, 40, 60, 60, 60, 60]);
        patience.follow(&pace, Some(at(400)), at(800));
        assert_eq!(
            patience.current(),
            at(200),
            "never less than half of a start"
        );
    }

    #[test]
    fn it_halves_when_a_worker_that_went_is_not_missed() {
        let (mut patience, pace) = (Patience::new(at(0)), pace(None));
        patience.follow(&pace, START, at(0));
        for _ in 0..2 {
            patience.shrank(at(0));
            patience.grew();
        }
        patience.follow(&pace, START, at(1));
        assert_eq!(patience.current(), at(40));
        patience.shrank(at(1));
        patience.follow(&pace, START, at(80));
        patience.grew();
        assert_eq!(
            patience.doublings, 3,
            "within twice the patience it is missed"
        );
        patience.shrank(at(80));
        patience.follow(&pace, START, at(500));
        assert_eq!(patience.current(), at(40));
        patience.grew();
        assert_eq!(patience.doublings, 2, "later it would have gone anyway");
    }

    #[test]
    fn a_length_that_is_set_is_kept_to() {
        let (mut patience, pace) = (Patience::new(at(0)), pace(Some(at(7))));
        for round in 0..5 {
            patience.shrank(at(round));
            patience.grew();
            patience.follow(&pace, START, at(round));
            assert_eq!(patience.current(), at(7));
        }
    }
}
