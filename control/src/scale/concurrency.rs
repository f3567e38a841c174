//! The `concurrency` rule: workers in proportion to in-flight and queued requests.

use std::time::Duration;

use penstock_config::ConcurrencyRule;

use super::{decision::Wish, observation::Load, pile::Pile};
use crate::window::Window;

/// A wish is rounded up only when it passes a whole number by this share of a worker; without it
/// the last digit of a floating-point sum could cost a GPU.
const ROUNDING: f64 = 1e-3;

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

    /// Takes in what happened. `missing`: whether fewer workers are ready than the load asks for.
    pub(super) fn record(&mut self, current: u32, load: &Load, missing: bool, now: Duration) {
        let over = load.over.as_secs_f64();
        if over <= 0.0 {
            return;
        }
        let ceiling = self
            .pile
            .ceiling(current, self.counted(), load, missing, now);
        let counted = load
            .request_seconds
            .min(ceiling.unwrap_or(f64::INFINITY) * over);
        self.long.record(counted, load.over, now);
        self.burst.record(counted, load.over, now);
    }

    /// What the rule asks for, at least one worker.
    pub(super) fn wish(&self, rule: &ConcurrencyRule) -> Wish {
        // The total divided by the target of one worker; never `current × metric / target`, which
        // multiplies the error by the workers that are still starting.
        let wish = (self.counted() / rule.target - ROUNDING).ceil().max(1.0);
        Wish {
            workers: if wish >= f64::from(u32::MAX) {
                u32::MAX
            } else {
                wish as u32
            },
            long: self.long.average().unwrap_or(0.0),
            burst: self.burst.average().unwrap_or(0.0),
            target: rule.target,
            pile: self.pile.size(),
        }
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
