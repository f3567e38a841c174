//! Keeps the queue that builds up during slow starts from ordering workers twice.
//!
//! While workers load for a minute or two, requests pile up that those workers will clear.
//! Counted as concurrency, the pile would order more workers, and more as it grows (wind-up;
//! Knative #3153, Ray #63279). So while workers are missing, the concurrency counts only up to a
//! ceiling, the larger of
//!
//! - what it was when workers began to be missing, and
//! - what it would be if no request had to wait: arrivals × service time (Little's law).
//!
//! What is above is the *pile*. When all workers are there the pile goes on not counting while it
//! is being cleared; only what grows beyond it counts. A pile that neither grows nor shrinks is
//! something else: clients that each wait for an answer before they ask again. It counts after all.

use std::time::Duration;

use super::{observation::Load, service_time::ServiceTime};

/// Arrivals and completions that differ by less than this share count as equal.
const STANDING: f64 = 0.1;

/// What comes this soon after a wake from zero counts in full. Clients that wait for an answer
/// each come at once, and their number is the load; whoever comes later may be the pile already.
const WAKE_GRACE: Duration = Duration::from_secs(1);

/// The pile of one deployment.
#[derive(Debug, Clone)]
pub(super) struct Pile {
    /// The pile is looked at over periods of this length.
    period: Duration,
    /// While it is unknown how long requests take, what comes within this time after the first
    /// worker went missing counts in full.
    grace: Duration,
    service_time: ServiceTime,
    /// Concurrency if no request had to wait.
    offered: f64,
    missing_since: Option<Duration>,
    missing_until: Duration,
    /// Whether the deployment went to zero and nothing came since.
    asleep: bool,
    /// When it last woke.
    woken_at: Option<Duration>,
    /// Set while workers are missing or what piled up meanwhile is not cleared.
    open: Option<Open>,
}

#[derive(Debug, Clone)]
struct Open {
    ceiling: f64,
    size: f64,
    /// About the present period.
    period_began: Duration,
    largest: f64,
    arrivals: u64,
    completions: u64,
}

impl Pile {
    pub(super) fn new(window: Duration, burst_window: Duration) -> Self {
        Self {
            period: window / 2,
            grace: burst_window,
            service_time: ServiceTime::new(window),
            offered: 0.0,
            missing_since: None,
            missing_until: Duration::ZERO,
            asleep: false,
            woken_at: None,
            open: None,
        }
    }

    /// The concurrency up to which requests count; `None` when all do. `current`: requests now in
    /// flight or queued. `counted`: the averaged concurrency that counted so far. `missing`:
    /// whether fewer workers are ready than the load asks for.
    pub(super) fn ceiling(
        &mut self,
        current: u32,
        counted: f64,
        load: &Load,
        missing: bool,
        now: Duration,
    ) -> Option<f64> {
        let service_time = self.service_time.update(load);
        if let Some(service_time) = service_time {
            self.offer(load, service_time);
        }
        if std::mem::take(&mut self.asleep) {
            self.woken_at = Some(now);
        }
        if self
            .woken_at
            .is_some_and(|woken| now.saturating_sub(woken) < WAKE_GRACE)
        {
            return None;
        }
        let missing = self.is_missing(missing, service_time, now);
        if self.open.is_none() && !missing {
            return None;
        }
        let open = self.open.get_or_insert_with(|| Open::new(counted, now));
        open.ceiling = open.ceiling.max(self.offered);
        open.grow(f64::from(current), missing);
        open.arrivals += load.arrivals;
        open.completions += load.completions;
        let period_ended = now.saturating_sub(open.period_began) >= self.period;
        if period_ended && open.end_period(f64::from(current), missing, now) {
            self.open = None;
        }
        self.open.as_ref().map(|open| open.ceiling)
    }

    /// Whether workers are missing in the sense of the pile: after the grace, and until the
    /// requests that the last of them began with have had the time to end.
    fn is_missing(&mut self, missing: bool, service_time: Option<f64>, now: Duration) -> bool {
        let relief = service_time.map(Duration::from_secs_f64);
        if missing {
            let since = *self.missing_since.get_or_insert(now);
            self.missing_until = now.saturating_add(relief.unwrap_or_default());
            relief.is_some() || now.saturating_sub(since) >= self.grace
        } else {
            self.missing_since = None;
            self.open.is_some() && now < self.missing_until
        }
    }

    /// Forgets the load, but not how long requests take.
    pub(super) fn clear(&mut self) {
        self.offered = 0.0;
        self.missing_since = None;
        self.asleep = true;
        self.open = None;
    }

    /// Requests that do not count.
    pub(super) fn size(&self) -> f64 {
        self.open.as_ref().map_or(0.0, |open| open.size)
    }

    /// Concurrency of endlessly many workers: it gains the arrivals and loses what is served.
    fn offer(&mut self, load: &Load, service_time: f64) {
        let kept = (-load.over.as_secs_f64() / service_time).exp();
        self.offered = self.offered * kept + load.arrival_rate * service_time * (1.0 - kept);
    }
}

impl Open {
    fn new(ceiling: f64, now: Duration) -> Self {
        Self {
            ceiling,
            size: 0.0,
            period_began: now,
            largest: 0.0,
            arrivals: 0,
            completions: 0,
        }
    }

    fn grow(&mut self, current: f64, missing: bool) {
        let excess = (current - self.ceiling).max(0.0);
        self.largest = self.largest.max(excess);
        if missing {
            self.size = self.size.max(excess);
        } else if excess > self.size {
            // With all workers there, what grows now is load.
            self.ceiling = current - self.size;
        }
    }

    /// Looks back at the period and begins the next; whether the pile is cleared. It shrinks only
    /// here: workers that became ready together end their requests together, and the ups and downs
    /// of that are not load.
    fn end_period(&mut self, current: f64, missing: bool, now: Duration) -> bool {
        self.size = self.size.min(self.largest);
        let difference = self.arrivals.abs_diff(self.completions) as f64;
        if difference <= STANDING * self.arrivals as f64 {
            self.ceiling = self.ceiling.max(current);
            self.size = 0.0;
        }
        let (ceiling, size) = (self.ceiling, self.size);
        *self = Self {
            size,
            ..Self::new(ceiling, now)
        };
        !missing && size <= 0.0
    }
}
