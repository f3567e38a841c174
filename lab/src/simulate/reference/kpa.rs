//! Knative's pod autoscaler (KPA), by `config-autoscaler` and the description of its algorithm.

use std::time::Duration;

use super::{Bounds, toward::toward};
use crate::simulate::scaler::{Scaler, Seen, Turn};
use penstock_control::window::Window;

/// `stable-window`.
const STABLE: Duration = Duration::from_secs(60);
/// `panic-window-percentage` 10.
const PANIC: Duration = Duration::from_secs(6);
/// `panic-threshold-percentage` 200.
const PANIC_THRESHOLD: f64 = 2.0;
/// `max-scale-up-rate`.
const UP_RATE: f64 = 1000.0;
/// `max-scale-down-rate`.
const DOWN_RATE: f64 = 2.0;
/// `container-concurrency-target-percentage` 70 of the revision's `containerConcurrency`.
const TARGET_SHARE: f64 = 0.7;
/// `scale-to-zero-grace-period`.
const GRACE: Duration = Duration::from_secs(30);

/// Knative's autoscaler.
#[derive(Debug)]
pub struct Kpa {
    bounds: Bounds,
    stable: Window,
    panic: Window,
    panic_since: Option<Duration>,
    panic_most: u32,
    desired: u32,
    /// Since when nothing has come for a whole stable window.
    inactive_since: Option<Duration>,
}

impl Kpa {
    /// With its defaults.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            stable: Window::new(STABLE),
            panic: Window::new(PANIC),
            panic_since: None,
            panic_most: 0,
            desired: bounds.min,
            inactive_since: None,
        }
    }

    fn wish(&mut self, ready: u32, now: Duration) -> u32 {
        let target = (f64::from(self.bounds.max_concurrency) * TARGET_SHARE).max(0.01);
        let ready = f64::from(ready.max(1));
        let (most, least) = ((UP_RATE * ready).ceil(), (ready / DOWN_RATE).floor());
        let want = |average: Option<f64>| (average.unwrap_or(0.0) / target).ceil();
        let (stable, panic) = (want(self.stable.average()), want(self.panic.average()));
        let over = panic / ready >= PANIC_THRESHOLD;
        if over {
            if self.panic_since.is_none() {
                self.panic_most = 0;
            }
            self.panic_since = Some(now);
        } else if self.panic_since.is_some_and(|since| since + STABLE < now) {
            self.panic_since = None;
        }
        let clamp = |wish: f64| wish.max(least).min(most);
        if self.panic_since.is_none() {
            return clamp(stable) as u32;
        }
        self.panic_most = self.panic_most.max(clamp(stable).max(clamp(panic)) as u32);
        self.panic_most
    }

    /// To zero only after a stable window without load and the grace period after that.
    fn may_be_zero(&mut self, seen: &Seen<'_>, now: Duration) -> bool {
        let idle = self.stable.average().is_none_or(|average| average == 0.0)
            && seen.observation.current == 0;
        if !idle {
            self.inactive_since = None;
            return false;
        }
        now - *self.inactive_since.get_or_insert(now) >= GRACE
    }
}

impl Scaler for Kpa {
    fn name(&self) -> &'static str {
        "Knative KPA"
    }

    /// `tick-interval`.
    fn interval(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// The activator pokes the autoscaler.
    fn wakes_at_once(&self) -> bool {
        self.desired == 0
    }

    fn begins_with(&self) -> u32 {
        self.bounds.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        self.stable.record(
            seen.observation.load.request_seconds,
            seen.observation.load.over,
            now,
        );
        self.panic.record(
            seen.observation.load.request_seconds,
            seen.observation.load.over,
            now,
        );
        let mut desired = self.wish(seen.observation.ready, now);
        if seen.observation.current > 0 {
            desired = desired.max(1);
        }
        if desired == 0 && self.desired > 0 && !self.may_be_zero(seen, now) {
            desired = 1;
        }
        self.desired = self.bounds.hold(f64::from(desired));
        toward(self.desired, seen.workers, now)
    }
}
