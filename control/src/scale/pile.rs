//! Keeps the queue that builds up during slow starts from ordering workers twice.
//!
//! While workers load for a minute or two, requests pile up that those workers will clear.
//! Counted as concurrency, the pile would order more workers, and more as it grows (wind-up;
//! Knative #3153, Ray #63279). So as long as workers are missing, the concurrency counts only up to
//! the larger of
//!
//! - what it was when workers began to be missing, and
//! - what it would be if no request had to wait: arrivals × service time (Little's law).
//!
//! The rest is the *pile*. When the workers are there it goes on not counting while it is being
//! cleared. A pile that neither grows nor shrinks is something else: clients that each wait for an
//! answer before they ask again. It counts after all.

use std::time::Duration;

use super::observation::Load;

/// Arrivals and completions that differ by less than this share count as equal.
const STANDING: f64 = 0.1;

/// The pile of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Pile {
    /// Half of this long, arrivals and completions must be equal for the pile to be standing.
    window: Duration,
    service_time: ServiceTime,
    /// Concurrency if no request had to wait.
    offered: f64,
    /// Set while workers are missing or what piled up meanwhile is not cleared.
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    /// Concurrency that counts.
    base: f64,
    size: f64,
    /// When the comparison of arrivals and completions began.
    compared_since: Duration,
    arrivals: u64,
    completions: u64,
}

impl Pile {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            window,
            service_time: ServiceTime::default(),
            offered: 0.0,
            open: None,
        }
    }

    /// The part of the concurrency `total`, averaged over `load.over`, that does not count.
    /// `missing`: whether fewer workers are ready than the load asks for. `counted`: the
    /// concurrency that counted so far.
    pub(super) fn update(
        &mut self,
        total: f64,
        counted: f64,
        load: &Load,
        missing: bool,
        now: Duration,
    ) -> f64 {
        let service_time = self.service_time.update(load, self.window);
        let Some(service_time) = service_time else {
            // Without any experience every request may be a long one.
            self.open = None;
            return 0.0;
        };
        self.offer(load, service_time);
        if self.open.is_none() && !missing {
            return 0.0;
        }
        let open = self.open.get_or_insert(Open {
            base: counted,
            size: 0.0,
            compared_since: now,
            arrivals: 0,
            completions: 0,
        });
        open.base = open.base.max(self.offered);
        let excess = (total - open.base).max(0.0);
        // With all workers there it may only shrink: what grows now is load.
        open.size = if missing {
            excess
        } else {
            excess.min(open.size)
        };
        if open.is_standing(load, self.window / 2, now) {
            open.base = open.base.max(total);
            open.size = 0.0;
        }
        let size = open.size;
        if !missing && size <= 0.0 {
            self.open = None;
        }
        size
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.offered = 0.0;
        self.open = None;
    }

    /// Concurrency of endlessly many workers: it gains the arrivals and loses what is served.
    fn offer(&mut self, load: &Load, service_time: f64) {
        let over = load.over.as_secs_f64();
        let kept = (-over / service_time).exp();
        let gained = if over > 0.0 {
            load.arrivals as f64 / over * service_time * (1.0 - kept)
        } else {
            load.arrivals as f64
        };
        self.offered = self.offered * kept + gained;
    }
}

impl Open {
    fn is_standing(&mut self, load: &Load, period: Duration, now: Duration) -> bool {
        self.arrivals += load.arrivals;
        self.completions += load.completions;
        if now.saturating_sub(self.compared_since) < period {
            return false;
        }
        let difference = self.arrivals.abs_diff(self.completions) as f64;
        let standing = difference <= STANDING * self.arrivals as f64;
        (self.compared_since, self.arrivals, self.completions) = (now, 0, 0);
        standing
    }
}

/// Mean time a request spends on a worker, in seconds: time spent there over requests served,
/// both forgotten with the window. It is right for requests that take longer than the window too,
/// once a few ended, because the time of those still running is in it.
#[derive(Debug, Clone, Default)]
struct ServiceTime {
    spent: f64,
    served: f64,
    mean: Option<f64>,
}

impl ServiceTime {
    fn update(&mut self, load: &Load, window: Duration) -> Option<f64> {
        let kept = (-load.over.as_secs_f64() / window.as_secs_f64().max(1e-3)).exp();
        self.spent = self.spent * kept + load.in_flight_seconds;
        self.served = self.served * kept + load.served as f64;
        // Less than half a request left: the old mean says more.
        if self.served >= 0.5 {
            self.mean = Some((self.spent / self.served).max(1e-6));
        }
        self.mean
    }
}
