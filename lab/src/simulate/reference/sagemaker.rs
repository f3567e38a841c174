//! Target tracking as Amazon SageMaker and Application Auto Scaling do it.

use std::{collections::VecDeque, time::Duration};

use super::{Bounds, toward::toward};
use crate::simulate::scaler::{Scaler, Seen, Turn};

/// Length of a data point.
const PERIOD: Duration = Duration::from_secs(60);
/// Data points in a row above the target that make it scale out.
const OUT_POINTS: usize = 3;
/// Data points in a row clearly below the target that make it scale in.
const IN_POINTS: usize = 15;
/// What "clearly" means: more than 10 % below.
const IN_SHARE: f64 = 0.9;
/// `ScaleOutCooldown` and `ScaleInCooldown`.
const COOLDOWN: Duration = Duration::from_secs(300);
/// The target as a share of what a worker can take at once: the 70 % of the documentation's
/// recommendation (maximum load with a safety factor).
const TARGET_SHARE: f64 = 0.7;

/// SageMaker's target tracking.
#[derive(Debug)]
pub struct SageMaker {
    bounds: Bounds,
    desired: u32,
    /// Data points of requests per worker, the newest last.
    points: VecDeque<f64>,
    changed_at: Option<Duration>,
    /// Whether the last change was a scale-in, whose cooldown a scale-out interrupts.
    was_in: bool,
}

impl SageMaker {
    /// With its defaults. Endpoints that answer at once cannot scale to zero: `min` is at least 1.
    pub fn new(bounds: Bounds) -> Self {
        let bounds = bounds.above_zero();
        Self {
            bounds,
            desired: bounds.min,
            points: VecDeque::new(),
            changed_at: None,
            was_in: false,
        }
    }

    fn cools(&self, now: Duration) -> bool {
        self.changed_at.is_some_and(|at| now < at + COOLDOWN)
    }

    fn change(&mut self, desired: u32, now: Duration) {
        if desired != self.desired {
            self.was_in = desired < self.desired;
            self.desired = desired;
            self.changed_at = Some(now);
        }
    }
}

impl Scaler for SageMaker {
    fn name(&self) -> &'static str {
        "SageMaker target tracking"
    }

    fn interval(&self) -> Duration {
        PERIOD
    }

    fn wakes_at_once(&self) -> bool {
        false
    }

    fn begins_with(&self) -> u32 {
        self.bounds.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        let over = seen.observation.load.over.as_secs_f64();
        if over > 0.0 {
            let metric = seen.observation.load.request_seconds
                / over
                / f64::from(seen.observation.ready.max(1));
            self.points.push_back(metric);
            if self.points.len() > IN_POINTS {
                self.points.pop_front();
            }
        }
        let target = f64::from(self.bounds.max_concurrency) * TARGET_SHARE;
        let newest = self.points.back().copied().unwrap_or(0.0);
        let last = |count: usize| self.points.iter().rev().take(count);
        let high = self.points.len() >= OUT_POINTS && last(OUT_POINTS).all(|p| *p > target);
        let low = self.points.len() >= IN_POINTS && last(IN_POINTS).all(|p| *p < target * IN_SHARE);
        let wish = self
            .bounds
            .hold((f64::from(self.desired) * newest / target).ceil());
        let out = high && wish > self.desired && (!self.cools(now) || self.was_in);
        let back = low && wish < self.desired && !self.cools(now);
        if out || back {
            self.change(wish, now);
        }
        toward(self.desired, seen.workers, now)
    }
}
