//! The plain rule that many gateways begin with: more than the target per worker, up by 200 % per
//! minute; less, down by one after a minute.

use std::time::Duration;

use super::{Bounds, toward::toward};
use crate::simulate::scaler::{Scaler, Seen, Turn};

/// In a minute the count may grow by twice what it was.
const GROWTH: u32 = 3;
const PERIOD: Duration = Duration::from_secs(60);
/// Requests per worker that it aims at, at most: beyond this a worker that can take more does not.
const TARGET: u32 = 100;

/// The plain rule.
#[derive(Debug)]
pub struct Plain {
    bounds: Bounds,
    desired: u32,
    period_began: Duration,
    period_base: u32,
    low_since: Option<Duration>,
}

impl Plain {
    /// With a target of 100 requests per worker, or of what a worker can take if that is less.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            desired: bounds.min,
            period_began: Duration::ZERO,
            period_base: bounds.min,
            low_since: None,
        }
    }
}

impl Scaler for Plain {
    fn name(&self) -> &'static str {
        "plain rule"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wakes_at_once(&self) -> bool {
        self.desired == 0
    }

    fn begins_with(&self) -> u32 {
        self.bounds.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        let target = TARGET.min(self.bounds.max_concurrency);
        if now >= self.period_began + PERIOD {
            self.period_began = now;
            self.period_base = self.desired;
        }
        let wish = seen.observation.current.div_ceil(target);
        if wish > self.desired {
            let most = self.period_base.max(1).saturating_mul(GROWTH);
            self.desired = self
                .bounds
                .hold(f64::from(wish.min(most).max(self.desired)));
            self.low_since = None;
        } else if wish < self.desired {
            let since = *self.low_since.get_or_insert(now);
            if now - since >= PERIOD {
                self.desired = self.bounds.hold(f64::from(self.desired - 1));
                self.low_since = Some(now);
            }
        } else {
            self.low_since = None;
        }
        toward(self.desired, seen.workers, now)
    }
}
