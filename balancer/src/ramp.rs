//! Fills a fresh worker gently, so that its first request warms it before many arrive.
//!
//! The limit of a fresh worker is 1, and doubles with every request it answered until it is the
//! worker's `max_concurrency`. The same happens to a worker that is readmitted after an ejection.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::Gate;

/// A worker without `max_concurrency` counts as warm from here: ten answers have shown that it works.
const WARM_WITHOUT_MAX: u32 = 1 << 10;

/// The growing limit of one worker. It owns what the limit of the worker's [`Gate`] is set to.
///
/// `max_concurrency` and the step of the ramp are one word, so that a reload that changes the one
/// and an answer that doubles the other cannot undo each other.
#[derive(Debug)]
pub struct Ramp {
    word: AtomicU64,
}

/// The word, taken apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stage {
    /// `max_concurrency`.
    max: Option<u32>,
    /// The limit while the worker is filled gently; `None` when it is warm.
    step: Option<u32>,
}

impl Ramp {
    /// The ramp of a worker with this `max_concurrency` (`None`: unlimited), together with its gate.
    /// `gentle = false` makes the worker count as warm.
    pub fn new(max: Option<u32>, gentle: bool) -> (Self, Gate) {
        let stage = Stage {
            max,
            step: gentle.then_some(1),
        }
        .settled();
        let ramp = Self {
            word: AtomicU64::new(stage.pack()),
        };
        (ramp, Gate::new(stage.limit()))
    }

    /// Notes that the worker answered a request. True when the limit grew by it, so that there may
    /// now be room for requests that wait.
    pub fn answered(&self, gate: &Gate) -> bool {
        // The usual case, a warm worker, costs one load of a word that nobody writes.
        if Stage::unpack(self.word.load(SeqCst)).step.is_none() {
            return false;
        }
        self.change(gate, |stage| Stage {
            step: stage.step.map(|step| step.saturating_mul(2)),
            ..stage
        })
    }

    /// Begins again at 1, as for a fresh worker.
    pub fn restart(&self, gate: &Gate) {
        self.change(gate, |stage| Stage {
            step: Some(1),
            ..stage
        });
    }

    /// Counts the worker as warm from now on. True when its limit grew.
    pub fn finish(&self, gate: &Gate) -> bool {
        self.change(gate, |stage| Stage {
            step: None,
            ..stage
        })
    }

    /// Takes a new `max_concurrency`; a ramp that is under way goes on. True when the limit grew.
    pub fn set_max(&self, gate: &Gate, max: Option<u32>) -> bool {
        self.change(gate, |stage| Stage { max, ..stage })
    }

    /// Changes the stage and carries its limit to the gate. True when the limit grew by this change.
    fn change(&self, gate: &Gate, next: impl Fn(Stage) -> Stage) -> bool {
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
        let grew = after.room() > before.room();
        // Another change may reach the gate between our change of the word and our change of the
        // gate: whoever writes the gate last has looked at the word after that.
        loop {
            gate.set_limit(after.limit());
            let now = Stage::unpack(self.word.load(SeqCst));
            if now == after {
                return grew;
            }
            after = now;
        }
    }
}

impl Stage {
    /// The limit this stage gives to the gate.
    fn limit(self) -> Option<u32> {
        match (self.max, self.step) {
            (Some(max), Some(step)) => Some(max.min(step)),
            (max, step) => max.or(step),
        }
    }

    /// The limit as a number that can be compared.
    fn room(self) -> u32 {
        self.limit().unwrap_or(u32::MAX)
    }

    /// Ends the ramp when it has reached its end.
    fn settled(self) -> Self {
        let end = self.max.unwrap_or(WARM_WITHOUT_MAX);
        Self {
            step: self.step.filter(|step| *step < end),
            ..self
        }
    }

    /// `None` becomes the largest number for `max` and 0, which no step has, for `step`.
    fn pack(self) -> u64 {
        let max = self.max.map_or(u32::MAX, |max| max.min(u32::MAX - 1));
        (u64::from(max) << 32) | u64::from(self.step.unwrap_or(0))
    }

    fn unpack(word: u64) -> Self {
        let (max, step) = ((word >> 32) as u32, word as u32);
        Self {
            max: (max != u32::MAX).then_some(max),
            step: (step != 0).then_some(step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits_while_answering(max: Option<u32>, answers: usize) -> Vec<Option<u32>> {
        let (ramp, gate) = Ramp::new(max, true);
        let mut limits = vec![gate.limit()];
        for _ in 0..answers {
            ramp.answered(&gate);
            limits.push(gate.limit());
        }
        limits
    }

    #[test]
    fn the_limit_doubles_with_every_answer_until_max_concurrency() {
        let limits = limits_while_answering(Some(10), 5);
        assert_eq!(limits, [1, 2, 4, 8, 10, 10].map(Some));
    }

    #[test]
    fn a_worker_without_max_concurrency_becomes_unlimited() {
        let limits = limits_while_answering(None, 10);
        assert_eq!((limits[9], limits[10]), (Some(512), None));
    }

    #[test]
    fn an_answer_says_whether_the_limit_grew() {
        let (ramp, gate) = Ramp::new(Some(2), true);
        assert!(ramp.answered(&gate));
        assert_eq!(gate.limit(), Some(2));
        assert!(!ramp.answered(&gate));
        let (warm, gate) = Ramp::new(Some(2), false);
        assert!(!warm.answered(&gate));
        assert_eq!(gate.limit(), Some(2));
    }

    #[test]
    fn a_changed_max_keeps_a_ramp_that_is_under_way() {
        let (ramp, gate) = Ramp::new(Some(100), true);
        ramp.answered(&gate);
        assert!(!ramp.set_max(&gate, Some(50)));
        assert_eq!(gate.limit(), Some(2));
        ramp.set_max(&gate, Some(1));
        assert_eq!(gate.limit(), Some(1));
        assert!(ramp.set_max(&gate, None));
        assert_eq!(gate.limit(), None, "at its end of 1 the ramp was over");
    }

    #[test]
    fn a_restarted_ramp_begins_at_one_again() {
        let (ramp, gate) = Ramp::new(Some(8), false);
        ramp.restart(&gate);
        assert_eq!(gate.limit(), Some(1));
        assert!(ramp.finish(&gate));
        assert_eq!(gate.limit(), Some(8));
    }

    #[test]
    fn answers_at_the_same_time_leave_the_gate_with_the_limit_of_the_ramp() {
        for _ in 0..200 {
            let (ramp, gate) = Ramp::new(Some(1 << 20), true);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..3).filter(|_| ramp.answered(&gate)).count());
                }
                scope.spawn(|| ramp.set_max(&gate, Some(1 << 21)));
            });
            assert_eq!(gate.limit(), Some(1 << 12));
        }
    }
}
