//! The `concurrency` rule: workers in proportion to in-flight and queued requests.

use penstock_config::ConcurrencyRule;

use super::{
    pile::Pile,
    rules::View,
    wish::{Basis, Wish, workers_for},
};
use crate::window::Window;

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct ConcurrencyState {
    long: Window,
    burst: Window,
    pile: Pile,
}

impl ConcurrencyState {
    pub(super) fn new(rule: &ConcurrencyRule) -> Self {
        Self {
            long: Window::new(rule.window),
            burst: Window::new(rule.burst_window),
            pile: Pile::new(rule.window, rule.burst_window),
        }
    }

    /// Takes in what happened.
    pub(super) fn record(&mut self, view: View<'_>) {
        let (load, now) = (&view.seen.load, view.now);
        let over = load.over.as_secs_f64();
        if over <= 0.0 {
            return;
        }
        let ceiling = self
            .pile
            .ceiling(view.seen.current, self.counted(), load, view.missing, now);
        let counted = load
            .request_seconds
            .min(ceiling.unwrap_or(f64::INFINITY) * over);
        self.long.record(counted, load.over, now);
        self.burst.record(counted, load.over, now);
    }

    /// What the rule asks for, at least one worker.
    pub(super) fn wish(&self, rule: &ConcurrencyRule) -> Wish {
        Wish {
            rule: "concurrency",
            workers: workers_for(self.counted(), rule.target),
            shrinks: true,
            basis: Basis::Concurrency {
                long: self.long().unwrap_or(0.0),
                burst: self.burst.average().unwrap_or(0.0),
                target: rule.target,
                pile: self.pile.size(),
            },
        }
    }

    /// The average over the long window, without the pile; `None` before anything was recorded.
    pub(super) fn long(&self) -> Option<f64> {
        self.long.average()
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.long.clear();
        self.burst.clear();
        self.pile.clear();
    }

    fn counted(&self) -> f64 {
        let long = self.long.average().unwrap_or(0.0);
        long.max(self.burst.average().unwrap_or(0.0))
    }
}
