//! The `target_tracking` rule: workers in proportion to a metric, with pauses between changes.
//!
//! As in AWS, whose words these are: a scale-out is followed at once only by a larger one, in which
//! the workers that were just added count; there is no scale-in while a scale-out settles, nor soon
//! after another; a scale-out ends the pause after a scale-in. Unlike there, the count follows from
//! the total, so that workers which are still starting do not multiply the error.

use std::time::Duration;

use penstock_config::TargetTrackingRule;

use super::{
    rules::View,
    total::Total,
    wish::{Basis, Pause, Wish, workers_for},
};

/// Fewer workers are asked for only when each has less than this share of its target, as in AWS
/// and in Kubernetes' default tolerance.
const TOLERANCE: f64 = 0.9;

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct TrackingState {
    total: Total,
    /// The scale-out whose cooldown lasts.
    grown: Option<Growth>,
    /// When the last scale-in was.
    shrunk_at: Option<Duration>,
    /// What it asked for last.
    wished: u32,
}

/// One scale-out, or several within each other's cooldowns.
#[derive(Debug, Clone, Copy)]
struct Growth {
    /// When the last of them was.
    at: Duration,
    /// The count before the first.
    base: u32,
    /// What was asked for; the pace may have allowed less at first.
    asked: u32,
}

impl TrackingState {
    pub(super) fn new(rule: &TargetTrackingRule) -> Self {
        Self {
            total: Total::new(&rule.metric),
            grown: None,
            shrunk_at: None,
            wished: 0,
        }
    }

    pub(super) fn record(&mut self, view: View<'_>) {
        self.total.record(view);
    }

    /// `None` before anything was measured.
    pub(super) fn wish(&mut self, rule: &TargetTrackingRule, view: View<'_>) -> Option<Wish> {
        let total = self.total.value()?;
        // What workers do not tell counts as nothing for more of them, and in full for fewer.
        let most = total + self.total.missing(rule.target);
        let need = workers_for(total, rule.target);
        let enough = workers_for(most, rule.target);
        let (workers, pause) = if need > view.desired {
            self.out(rule, need, view)
        } else if enough < view.desired && !rule.disable_scale_in {
            self.inward(rule, most, enough, view)
        } else {
            (enough.min(view.desired).max(need), None)
        };
        let asked = if need > view.desired { need } else { enough };
        self.wished = workers;
        Some(Wish {
            rule: "target_tracking",
            workers,
            shrinks: !rule.disable_scale_in,
            basis: Basis::TargetTracking {
                metric: rule.metric.clone(),
                total,
                target: rule.target,
                held: pause.map(|pause| (asked, pause)),
                tellers: view.seen.tellers(&rule.metric),
            },
        })
    }

    /// More are needed. During the cooldown the workers added count toward what is asked for on
    /// top of those that are ready.
    fn out(&self, rule: &TargetTrackingRule, need: u32, view: View<'_>) -> (u32, Option<Pause>) {
        let Some((grown, left)) = self.settling(rule, view.now) else {
            return (need, None);
        };
        let base = grown.base.min(view.desired);
        let have = view.seen.ready.clamp(base, view.desired);
        let more = base.saturating_add(need.saturating_sub(have));
        let workers = more.max(grown.asked).max(view.desired).min(need);
        (workers, (workers < need).then_some(Pause::ScaleOut(left)))
    }

    /// Fewer would do.
    fn inward(
        &self,
        rule: &TargetTrackingRule,
        total: f64,
        need: u32,
        view: View<'_>,
    ) -> (u32, Option<Pause>) {
        let in_pause = self.shrunk_at.and_then(|at| {
            let left = rule
                .scale_in_cooldown
                .checked_sub(view.now.saturating_sub(at))?;
            (!left.is_zero()).then_some(Pause::ScaleIn(left))
        });
        let pause = match self.settling(rule, view.now) {
            Some((_, left)) => Some(Pause::ScaleOut(left)),
            None if total > TOLERANCE * rule.target * f64::from(view.desired) => {
                Some(Pause::Tolerance)
            }
            None => in_pause,
        };
        (pause.map_or(need, |_| view.desired), pause)
    }

    /// The scale-out whose cooldown lasts, and for how long still.
    fn settling(&self, rule: &TargetTrackingRule, now: Duration) -> Option<(Growth, Duration)> {
        let grown = self.grown?;
        let left = rule
            .scale_out_cooldown
            .checked_sub(now.saturating_sub(grown.at))?;
        (!left.is_zero()).then_some((grown, left))
    }

    /// The count changed after the rule was asked. What other rules did starts no cooldown here.
    pub(super) fn settled(
        &mut self,
        rule: &TargetTrackingRule,
        before: u32,
        after: u32,
        now: Duration,
    ) {
        if after > before && self.wished > before {
            let lasting = self.settling(rule, now).map(|(grown, _)| grown);
            self.grown = Some(Growth {
                at: now,
                base: lasting.map_or(before, |grown| grown.base),
                asked: lasting.map_or(self.wished, |grown| grown.asked.max(self.wished)),
            });
            self.shrunk_at = None;
        } else if after < before {
            self.grown = None;
            if self.wished < before {
                self.shrunk_at = Some(now);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.total.clear();
        self.grown = None;
        self.shrunk_at = None;
        self.wished = 0;
    }
}
