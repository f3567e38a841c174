//! Kubernetes' horizontal pod autoscaler (HPA), `autoscaling/v2` with its default behaviour.

use std::{collections::VecDeque, time::Duration};

use super::{Bounds, toward::toward};
use crate::simulate::scaler::{Scaler, Seen, Turn};

/// `--horizontal-pod-autoscaler-sync-period`.
const SYNC: Duration = Duration::from_secs(15);
/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// The target when none is given, 80 % utilisation, of what a worker can take at once.
const TARGET_SHARE: f64 = 0.8;
/// `scaleDown.stabilizationWindowSeconds`.
const STABILIZATION: Duration = Duration::from_secs(300);
/// `scaleUp.policies`: per 15 s the larger of so many pods...
const UP_PODS: u32 = 4;
/// ...and this share more.
const UP_SHARE: f64 = 1.0;

/// Kubernetes' autoscaler.
#[derive(Debug)]
pub struct Hpa {
    bounds: Bounds,
    desired: u32,
    recommendations: VecDeque<(Duration, u32)>,
    /// Pods added, by when; for the policies' period.
    added: VecDeque<(Duration, u32)>,
}

impl Hpa {
    /// With its defaults. It cannot scale to zero: `min` is at least 1.
    pub fn new(bounds: Bounds) -> Self {
        let bounds = bounds.above_zero();
        Self {
            bounds,
            desired: bounds.min,
            recommendations: VecDeque::new(),
            added: VecDeque::new(),
        }
    }

    /// What the metric asks for. Pods that are not ready count as without load when that would
    /// mean more, and a change of direction by that means no change.
    fn recommendation(&self, seen: &Seen<'_>) -> u32 {
        let target = f64::from(self.bounds.max_concurrency) * TARGET_SHARE;
        let total = if seen.observation.load.over.is_zero() {
            f64::from(seen.observation.current)
        } else {
            seen.observation.load.request_seconds / seen.observation.load.over.as_secs_f64()
        };
        let ready = f64::from(seen.observation.ready.max(1));
        let ratio = total / ready / target;
        if (ratio - 1.0).abs() <= TOLERANCE {
            return self.desired;
        }
        if ratio > 1.0 && seen.observation.starting > 0 {
            let all = ready + f64::from(seen.observation.starting);
            let ratio = total / all / target;
            if ratio <= 1.0 + TOLERANCE {
                return self.desired;
            }
            return (ratio * all).ceil() as u32;
        }
        (ratio * ready).ceil() as u32
    }
}

impl Scaler for Hpa {
    fn name(&self) -> &'static str {
        "Kubernetes HPA"
    }

    fn interval(&self) -> Duration {
        SYNC
    }

    fn wakes_at_once(&self) -> bool {
        false
    }

    fn begins_with(&self) -> u32 {
        self.bounds.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        let wish = self.recommendation(seen);
        self.recommendations.push_back((now, wish));
        while self
            .recommendations
            .front()
            .is_some_and(|(at, _)| *at + STABILIZATION < now)
        {
            self.recommendations.pop_front();
        }
        while self.added.front().is_some_and(|(at, _)| *at + SYNC <= now) {
            self.added.pop_front();
        }
        let mut desired = wish;
        if desired < self.desired {
            // The largest of the last five minutes, but not more than there are.
            let largest = self.recommendations.iter().map(|(_, wish)| *wish).max();
            desired = largest.unwrap_or(desired).min(self.desired);
        } else {
            let added: u32 = self.added.iter().map(|(_, count)| count).sum();
            let start = self.desired.saturating_sub(added);
            let by_share = (f64::from(start) * (1.0 + UP_SHARE)).ceil() as u32;
            let most = by_share.max(start + UP_PODS).max(self.desired);
            desired = desired.min(most);
        }
        let desired = self.bounds.hold(f64::from(desired));
        if desired > self.desired {
            self.added.push_back((now, desired - self.desired));
        }
        self.desired = desired;
        toward(desired, seen.workers, now)
    }
}
