//! The `queue_wait` rule: as many workers as keep the wait of 95 % of the requests within a target.
//!
//! Two things make requests wait, and the larger need counts:
//!
//! - **Chance.** With `m` places and offered load `a` (arrivals × service time, Little's law), the
//!   wait in an M/M/m queue passes `t` with probability `C × exp(-(m - a) × t / service time)`, where
//!   `C`, Erlang's, is the probability to wait at all. `C ≤ 1` gives `m = a + ln 20 × service time / t`
//!   for 5 %; where the target is short, `C ≤ 5 %` is cheaper: `m = a + β √a` with β = 1.74 (Halfin
//!   and Whitt 1981, from `[1 + β Φ(β) / φ(β)]⁻¹ = 0.05`).
//! - **A queue.** Workers that are still to start take nothing before their start time is over. What
//!   is left of the queue then must be served in what remains of the target; and when the start takes
//!   most of the target or more, in half of it, so that whoever comes later is served in time.

mod outlook;

use std::time::Duration;

use penstock_config::QueueWaitRule;

use super::{
    rules::View,
    service_time::ServiceTime,
    total::WINDOW,
    waits::Waits,
    wish::{Basis, Wish, workers_for},
};
use crate::window::Window;

/// ln 20: the wait of 5 % may be longer.
const LN_20: f64 = 2.995_732;

/// Places beyond the load, over the square root of the load, with which 5 % of the requests wait.
const BETA: f64 = 1.74;

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct QueueWaitState {
    arrivals: Window,
    service: ServiceTime,
    service_time: Option<f64>,
    /// Waits of the present and of the last whole minute.
    waits: [Waits; 2],
    minute_began: Option<Duration>,
    /// Since when workers have been missing: those ordered then need so much less time still.
    missing_since: Option<Duration>,
    /// What the last wish was made from.
    asked: Option<Need>,
}

/// What the wish follows from.
#[derive(Debug, Clone, Copy)]
struct Need {
    /// Requests that come in a second.
    arrivals: f64,
    /// How long a worker has a request, in seconds.
    service_time: f64,
    /// Requests that wait.
    queued: u32,
    /// Workers that take requests.
    ready: u32,
    /// How long it takes until a further one does.
    start: Duration,
}

impl QueueWaitState {
    pub(super) fn new() -> Self {
        Self {
            arrivals: Window::new(WINDOW),
            service: ServiceTime::new(WINDOW),
            service_time: None,
            waits: [Waits::default(); 2],
            minute_began: None,
            missing_since: None,
            asked: None,
        }
    }

    pub(super) fn record(&mut self, view: View<'_>) {
        let load = &view.seen.load;
        self.arrivals
            .record(load.arrivals as f64, load.over, view.now);
        self.service_time = self.service.update(load);
        self.missing_since = view.missing.then(|| self.missing_since.unwrap_or(view.now));
        let began = *self.minute_began.get_or_insert(view.now);
        if view.now.saturating_sub(began) >= WINDOW {
            self.minute_began = Some(view.now);
            self.waits[1] = self.waits[0];
            self.waits[0].restart();
        }
        self.waits[0].record(view.seen);
    }

    /// `None` before it is known how long requests take.
    pub(super) fn wish(&mut self, rule: &QueueWaitRule, view: View<'_>) -> Option<Wish> {
        let need = Need {
            arrivals: self.arrivals.average()?,
            service_time: self.service_time?,
            queued: view.seen.queued,
            ready: view.seen.ready,
            start: self.start_time(view),
        };
        self.asked = Some(need);
        Some(Wish {
            rule: "queue_wait",
            workers: need.workers(rule),
            shrinks: true,
            basis: Basis::QueueWait {
                p95: self.waits[0].p95().max(self.waits[1].p95()),
                target: rule.target,
                queued: need.queued,
                arrivals: need.arrivals,
                service_time: need.service_time,
                start: need.start,
            },
        })
    }

    /// How long it takes until a worker that is asked for now, or has been, takes requests.
    fn start_time(&self, view: View<'_>) -> Duration {
        let whole = view.seen.start_time.unwrap_or_default();
        let passed = self.missing_since.map(|at| view.now.saturating_sub(at));
        whole.saturating_sub(passed.unwrap_or_default())
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.arrivals.clear();
        self.waits = [Waits::default(); 2];
        self.minute_began = None;
        self.missing_since = None;
        self.asked = None;
    }
}

impl Need {
    /// Workers that keep the wait within the target.
    fn workers(&self, rule: &QueueWaitRule) -> u32 {
        let Self {
            arrivals,
            service_time,
            ..
        } = *self;
        let by_chance = places_for_chance(arrivals * service_time, service_time, rule.target);
        let queued = f64::from(self.queued);
        let by_queue = if queued > 0.0 {
            let served = f64::from(self.ready) * rule.concurrency / service_time;
            let left = (queued + (arrivals - served) * self.start.as_secs_f64()).max(0.0);
            let remaining = rule.target.saturating_sub(self.start).max(rule.target / 2);
            service_time * (arrivals + left / remaining.as_secs_f64())
        } else {
            0.0
        };
        workers_for(by_chance.max(by_queue), rule.concurrency)
    }
}

/// Places on workers with which chance makes only 5 % of the requests wait longer than the target.
fn places_for_chance(load: f64, service_time: f64, target: Duration) -> f64 {
    let for_the_wait = LN_20 * service_time / target.as_secs_f64();
    // Half a place more, because the formula is that of large systems.
    let for_no_wait = BETA * load.sqrt() + 0.5;
    load + for_the_wait.min(for_no_wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Erlang's C by the usual recursion of B.
    fn probability_to_wait(load: f64, places: u32) -> f64 {
        let mut b = 1.0;
        for n in 1..=places {
            b = load * b / (f64::from(n) + load * b);
        }
        let use_of_one = load / f64::from(places);
        b / (1.0 - use_of_one * (1.0 - b))
    }

    #[test]
    fn with_the_places_that_are_asked_for_at_most_about_five_percent_wait_too_long() {
        for load in [0.5, 3.0, 20.0, 300.0] {
            for target in [0.1, 1.0, 10.0] {
                let service_time = 5.0;
                let places =
                    places_for_chance(load, service_time, Duration::from_secs_f64(target)).ceil();
                let too_long = probability_to_wait(load, places as u32)
                    * (-(places - load) * target / service_time).exp();
                assert!(too_long < 0.06, "{too_long} with {places} for {load}");
            }
        }
    }
}
