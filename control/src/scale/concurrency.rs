//! The `concurrency` rule: workers in proportion to in-flight and queued requests, and a little more
//! for chance.
//!
//! Requests that come at random make the concurrency vary around its mean, and with workers for
//! just the mean every second request would wait. What is needed beyond the mean grows with the square root
//! of the load (square-root staffing; Halfin and Whitt 1981), so a fixed share would be too little
//! for a small deployment and too much for a large one. The room is therefore a number of standard
//! deviations. They are measured, so that clients whose number is fixed cost nothing extra, and
//! taken to be at most twice that of independent arrivals, so that one step of the load does not count
//! as chance. A load that falls has a large deviation by that alone, which is no reason to grow.
//!
//! The larger of two sums counts: the mean over the long window and `headroom` deviations, which is
//! what a load needs that stays as it is and what makes the count calm; and the mean over the burst window
//! and half of `headroom`, because the last seconds show what comes, but also some of the chance.

use std::time::Duration;

use penstock_config::ConcurrencyRule;

use super::{
    demand::Demand,
    rules::View,
    wish::{Basis, Wish, workers_for},
};
use crate::window::Window;

/// Deviations of independent arrivals that are taken for chance. Real ones come in bunches.
const CHANCE_MAX: f64 = 2.0;

/// Share of `headroom` that is kept beyond what the burst window shows.
const BURST_SHARE: f64 = 0.5;

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct ConcurrencyState {
    long: Window,
    /// How much the demand varied.
    of_demand: Spread,
    /// How much the concurrency itself did, those that wait included.
    of_all: Spread,
    burst: Window,
    demand: Demand,
    /// Since when workers have been missing.
    missing_since: Option<Duration>,
}

impl ConcurrencyState {
    pub(super) fn new(rule: &ConcurrencyRule) -> Self {
        Self {
            long: Window::new(rule.window),
            of_demand: Spread::new(rule.window),
            of_all: Spread::new(rule.window),
            burst: Window::new(rule.burst_window),
            demand: Demand::new(rule.window, rule.clear_within, rule.anticipate),
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
        self.of_demand.record(demand, load.over, now);
        self.of_all
            .record(load.request_seconds / over, load.over, now);
        self.burst.record(demand * over, load.over, now);
    }

    /// What the rule asks for, at least one worker; `desired` is what there should be now.
    pub(super) fn wish(&self, rule: &ConcurrencyRule, desired: u32) -> Wish {
        let (concurrency, room) = self.need(rule, desired);
        Wish {
            rule: "concurrency",
            workers: workers_for(concurrency + room, rule.target),
            shrinks: true,
            basis: Basis::Concurrency {
                concurrency,
                room,
                target: rule.target,
                growth: self.demand.parts().growth,
                left_out: self.demand.parts().left_out,
            },
        }
    }

    /// The concurrency to have workers for, and the room for chance beside it.
    fn need(&self, rule: &ConcurrencyRule, desired: u32) -> (f64, f64) {
        let deviation = self.deviation();
        let room = |mean: f64, headroom: f64| headroom * deviation.min(CHANCE_MAX * mean.sqrt());
        let long = self.long.average().unwrap_or(0.0);
        let burst = self.burst.average().unwrap_or(0.0);
        let mut calm = room(long, rule.headroom);
        if burst < long {
            let there_is = f64::from(desired) * rule.target - long;
            calm = calm.min(there_is.max(0.0));
        }
        let quick = room(burst, rule.headroom * BURST_SHARE);
        if long + calm > burst + quick {
            (long, calm)
        } else {
            (burst, quick)
        }
    }

    /// The concurrency, averaged over the long window; `None` before anything was recorded.
    pub(super) fn long(&self) -> Option<f64> {
        self.long.average()
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.long.clear();
        self.of_demand.clear();
        self.of_all.clear();
        self.burst.clear();
        self.demand.clear();
        self.missing_since = None;
    }

    /// Standard deviation over the long window. Random arrivals move both measures, a start only one of
    /// them: waiting clients that get a worker leave the concurrency as it was, and a queue that grows
    /// during a start leaves the demand as it was. So the smaller deviation counts.
    fn deviation(&self) -> f64 {
        self.of_demand.deviation().min(self.of_all.deviation())
    }
}

/// How much a measure varies.
#[derive(Debug, Clone)]
struct Spread {
    values: Window,
    squares: Window,
}

impl Spread {
    fn new(window: Duration) -> Self {
        Self {
            values: Window::new(window),
            squares: Window::new(window),
        }
    }

    /// It was `value` for the time `over`, which ends now.
    fn record(&mut self, value: f64, over: Duration, now: Duration) {
        let amount = value * over.as_secs_f64();
        self.values.record(amount, over, now);
        self.squares.record(value * amount, over, now);
    }

    /// Standard deviation.
    fn deviation(&self) -> f64 {
        let mean = self.values.average().unwrap_or(0.0);
        let square = self.squares.average().unwrap_or(0.0);
        (square - mean * mean).max(0.0).sqrt()
    }

    fn clear(&mut self) {
        self.values.clear();
        self.squares.clear();
    }
}
