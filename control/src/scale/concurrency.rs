//! The `concurrency` rule: workers in proportion to in-flight and queued requests, and a little more
//! for chance.
//!
//! Requests that come at random make the concurrency vary around its mean, and with workers for
//! just the mean every second request would wait. What is needed beyond the mean grows with the square root
//! of the load (square-root staffing; Halfin and Whitt 1981), so a fixed share would be too little
//! for a small deployment and too much for a large one. The room is therefore a number of standard
//! deviations. They are measured, so that clients whose number is fixed cost nothing extra, and
//! taken to be at most that of independent arrivals, so that one step of the load does not count as
//! chance.

use std::time::Duration;

use penstock_config::ConcurrencyRule;

use super::{
    demand::Demand,
    rules::View,
    wish::{Basis, Wish, workers_for},
};
use crate::window::Window;

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct ConcurrencyState {
    long: Window,
    /// Squares of what the long window averages.
    squares: Window,
    burst: Window,
    demand: Demand,
    /// Since when workers have been missing.
    missing_since: Option<Duration>,
}

impl ConcurrencyState {
    pub(super) fn new(rule: &ConcurrencyRule) -> Self {
        Self {
            long: Window::new(rule.window),
            squares: Window::new(rule.window),
            burst: Window::new(rule.burst_window),
            demand: Demand::new(rule.window, rule.clear_within),
            missing_since: None,
        }
    }

    /// Takes in what happened.
    pub(super) fn record(&mut self, view: View<'_>) {
        let (load, now) = (&view.seen.load, view.now);
        let over = load.over.as_secs_f64();
        if over <= 0.0 {
            return;
        }
        let since = self.missing_since.filter(|_| view.missing).unwrap_or(now);
        self.missing_since = view.missing.then_some(since);
        let demand = self
            .demand
            .update(load, view.seen.start_time, now.saturating_sub(since));
        self.long.record(demand * over, load.over, now);
        self.squares.record(demand * demand * over, load.over, now);
        self.burst.record(demand * over, load.over, now);
    }

    /// What the rule asks for, at least one worker.
    pub(super) fn wish(&self, rule: &ConcurrencyRule) -> Wish {
        let burst = self.burst.average().unwrap_or(0.0);
        let room = rule.headroom * self.deviation().min(burst.sqrt());
        Wish {
            rule: "concurrency",
            workers: workers_for(burst + room, rule.target),
            shrinks: true,
            basis: Basis::Concurrency {
                concurrency: burst,
                room,
                target: rule.target,
                left_out: self.demand.left_out(),
            },
        }
    }

    /// The average over the long window; `None` before anything was recorded.
    pub(super) fn long(&self) -> Option<f64> {
        self.long.average()
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.long.clear();
        self.squares.clear();
        self.burst.clear();
        self.demand.clear();
        self.missing_since = None;
    }

    /// Standard deviation over the long window.
    fn deviation(&self) -> f64 {
        let mean = self.long.average().unwrap_or(0.0);
        let square = self.squares.average().unwrap_or(0.0);
        (square - mean * mean).max(0.0).sqrt()
    }
}
