//! Fills a fresh worker gently, so that its first request warms it before many arrive.
//!
//! The limit of a fresh worker is 1. It doubles with every answer that begins, and [`STEP`] after the
//! last doubling if none did, until it is the worker's `max_concurrency`. The time counts from the
//! worker's first request on. So requests that take long, or whose answers come in one piece, wait for a
//! fraction of a second for a worker that gets warm meanwhile.
//!
//! A worker that is readmitted after an ejection begins at 1 as well, but stays there until it has
//! answered: whether it works at all is just what the first request is to show.

mod stage;

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use self::stage::{Filling, Stage, StepClock};
use crate::Gate;

/// A limit under which no answer begins doubles after this time. A worker for 1,000 requests at a time
/// has them after ten such steps, one for 8 after three.
pub const STEP: Duration = Duration::from_millis(100);

/// The growing limit of one worker. It owns what the limit of the worker's [`Gate`] is set to.
///
/// `max_concurrency` and where the ramp stands are one word, so that a reload that changes the one
/// and an answer that doubles the other cannot undo each other.
#[derive(Debug)]
pub struct Ramp {
    word: AtomicU64,
}

impl Ramp {
    /// The ramp of a worker with this `max_concurrency` (`None`: unlimited), together with its gate.
    /// `gentle = false` makes the worker count as warm.
    pub fn new(max: Option<u32>, gentle: bool) -> (Self, Gate) {
        let stage = Stage {
            max,
            filling: gentle.then_some(Filling::FRESH),
        }
        .settled();
        let ramp = Self {
            word: AtomicU64::new(stage.pack()),
        };
        (ramp, Gate::new(stage.limit()))
    }

    /// Whether the worker is still fresh.
    pub fn is_under_way(&self) -> bool {
        self.stage().filling.is_some()
    }

    /// Notes that the worker got a request. If that made the clock start: when to
    /// [`grow`](Self::grow) the limit.
    pub fn requested(&self, gate: &Gate, now: impl FnOnce() -> Duration) -> Option<Duration> {
        // The usual case, a warm worker, costs one load of a word that nobody writes.
        if !self.stage().awaits_request() {
            return None;
        }
        let now = now();
        let change = self.change(gate, |stage| stage.clock_started(now));
        (change.before != change.after).then_some(now + STEP)
    }

    /// Notes that the worker began to answer a request.
    pub fn answered(&self, gate: &Gate, now: Duration) -> Grown {
        if !self.is_under_way() {
            return Grown::default();
        }
        self.change(gate, |stage| stage.doubled(now)).grown(now)
    }

    /// Lets the limit double if its time has come.
    pub fn grow(&self, gate: &Gate, now: Duration) -> Grown {
        let Some(left) = self.stage().left(now) else {
            return Grown::default();
        };
        if !left.is_zero() {
            return Grown {
                has_more: false,
                next: Some(now + left),
            };
        }
        self.change(gate, |stage| match stage.left(now) {
            Some(Duration::ZERO) => stage.doubled(now),
            _ => stage,
        })
        .grown(now)
    }

    /// Begins again at 1, and stays there until the worker has answered.
    pub fn restart(&self, gate: &Gate) {
        self.change(gate, |stage| Stage {
            filling: Some(Filling {
                clock: StepClock::AtAnswer,
                ..Filling::FRESH
            }),
            ..stage
        });
    }

    /// Takes a new `max_concurrency`; a ramp that is under way goes on. True when the limit grew.
    pub fn set_max(&self, gate: &Gate, max: Option<u32>) -> bool {
        self.change(gate, |stage| Stage { max, ..stage }).has_more()
    }

    fn stage(&self) -> Stage {
        Stage::unpack(self.word.load(SeqCst))
    }

    /// Changes the stage and carries its limit to the gate.
    fn change(&self, gate: &Gate, next: impl Fn(Stage) -> Stage) -> Change {
        let mut seen = self.word.load(SeqCst);
        let (before, mut after) = loop {
            let before = Stage::unpack(seen);
            let after = next(before).settled();
            match self
                .word
                .compare_exchange_weak(seen, after.pack(), SeqCst, SeqCst)
            {
                Ok(_) => break (before, after),
                Err(now) => seen = now,
            }
        };
        let change = Change { before, after };
        // Another change may reach the gate between our change of the word and our change of the
        // gate: whoever writes the gate last has looked at the word after that.
        loop {
            gate.set_limit(after.limit());
            let now = self.stage();
            if now == after {
                return change;
            }
            after = now;
        }
    }
}

/// What a step of a ramp led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grown {
    /// Whether the limit is larger now, so that requests which wait should be offered the room.
    pub has_more: bool,
    /// When to look at the ramp again, if its time runs.
    pub next: Option<Duration>,
}

/// What a change was.
struct Change {
    before: Stage,
    after: Stage,
}

impl Change {
    fn has_more(&self) -> bool {
        self.after.room() > self.before.room()
    }

    fn grown(&self, now: Duration) -> Grown {
        Grown {
            has_more: self.has_more(),
            next: self.after.left(now).map(|left| now + left),
        }
    }
}

#[cfg(test)]
mod tests;
