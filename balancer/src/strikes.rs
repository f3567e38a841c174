//! Keeps a worker that fails, or a whole deployment, from looking idle.
//!
//! A worker that refuses in a millisecond has few requests in flight, and any rule that prefers the
//! least loaded would send it nearly everything. So failures count as load: each one doubles what the
//! worker seems to cost, each good answer takes back a fifth of the doublings, and time forgets them
//! one by one. After some failures in a row the worker is therefore tried again once, with one request
//! (which already doubles its cost), and rested for longer when that fails too.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::stamped::{Stamp, pack, unpack};

/// Time in which one doubling is forgotten.
const FORGET_ONE: Duration = Duration::from_secs(5);

/// Most doublings: a worker that never recovers is tried once in `STRIKES_MAX × FORGET_ONE`, one
/// minute, even when the others have nothing to do.
const STRIKES_MAX: f32 = 12.0;

/// What a good answer leaves of the doublings. A worker that fails every second request so settles at
/// five doublings and gets next to nothing; one that fails every tenth at half a doubling.
const FORGIVEN: f32 = 0.8;

/// The recent failures of one worker or deployment: a count that decays, with the time it was true.
#[derive(Debug, Default)]
pub struct Strikes {
    word: AtomicU64,
}

impl Strikes {
    /// Counts a failure.
    pub fn failed(&self, now: Duration) {
        self.change(now, |strikes| (strikes + 1.0).min(STRIKES_MAX));
    }

    /// Counts a good answer; writes nothing when there are no strikes.
    pub fn succeeded(&self, now: Duration) {
        // The usual case, no strikes, must not write to a shared line.
        if self.word.load(Relaxed) != 0 {
            self.change(now, |strikes| {
                if strikes < 0.25 {
                    0.0
                } else {
                    strikes * FORGIVEN
                }
            });
        }
    }

    /// How many times more than its load the worker seems to cost; 1 without strikes.
    pub fn factor(&self, now: Duration) -> f64 {
        match self.word.load(Relaxed) {
            0 => 1.0,
            word => f64::from(left(word, Stamp::at(now)).exp2()),
        }
    }

    fn change(&self, now: Duration, next: impl Fn(f32) -> f32) {
        let now = Stamp::at(now);
        let mut seen = self.word.load(Relaxed);
        loop {
            let strikes = next(left(seen, now));
            let word = if strikes > 0.0 {
                pack(strikes.to_bits(), now)
            } else {
                0
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
}

/// Strikes not yet forgotten.
fn left(word: u64, now: Stamp) -> f32 {
    let (strikes, since) = unpack(word);
    let forgotten = now.since(since).as_secs_f32() / FORGET_ONE.as_secs_f32();
    (f32::from_bits(strikes) - forgotten).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_double_the_cost_and_time_forgets_them() {
        let strikes = Strikes::default();
        assert_eq!(strikes.factor(SECOND), 1.0);
        for _ in 0..3 {
            strikes.failed(SECOND);
        }
        assert_eq!(strikes.factor(SECOND), 8.0);
        assert_eq!(strikes.factor(6 * SECOND), 4.0);
        assert_eq!(strikes.factor(60 * SECOND), 1.0);
    }

    #[test]
    fn good_answers_take_the_doublings_back() {
        let strikes = Strikes::default();
        for _ in 0..100 {
            strikes.failed(SECOND);
        }
        assert_eq!(strikes.factor(SECOND), 4096.0);
        strikes.succeeded(SECOND);
        assert!((strikes.factor(SECOND).log2() - 9.6).abs() < 0.01);
        for _ in 0..20 {
            strikes.succeeded(SECOND);
        }
        assert_eq!(strikes.word.load(Relaxed), 0);
    }
}
