//! The `step` rule: more or fewer workers by how far a metric has been from a threshold.
//!
//! As with alarms in AWS: at the end of every period the last values are looked at; when all are in
//! one of the steps on the same side of the threshold, the step of the newest is taken. While the
//! cooldown of a scale-out lasts, steps count from the workers there were before it, so that those
//! that were added count, and nothing is taken away. A scale-out ends the cooldown after a scale-in.

mod outlook;

use std::time::Duration;

use penstock_config::{Adjustment, Step, StepRule};

use super::{
    datapoints::{Datapoints, Point},
    rules::View,
    wish::{Basis, Pause, Wish},
};

/// What the rule remembers.
#[derive(Debug, Clone)]
pub(super) struct StepState {
    points: Datapoints,
    /// Whether a period ended since the rule was asked last.
    fresh: bool,
    /// What the last look asked for, until it is reached or the next one.
    goal: Option<u32>,
    /// Whether the last look would have asked for fewer, had all workers told.
    unsure: bool,
    /// The scale-out whose cooldown may last: when it was, and the count before it.
    grown: Option<(Duration, u32)>,
    shrunk_at: Option<Duration>,
    wished: u32,
}

/// What a look at the values leads to.
enum Look {
    /// This count.
    At(u32),
    /// Nothing.
    Nowhere,
    /// Fewer, but not all workers have told.
    Unsure,
}

impl StepState {
    pub(super) fn new(rule: &StepRule) -> Self {
        Self {
            points: Datapoints::new(rule),
            fresh: false,
            goal: None,
            unsure: false,
            grown: None,
            shrunk_at: None,
            wished: 0,
        }
    }

    pub(super) fn record(&mut self, rule: &StepRule, view: View<'_>) {
        self.fresh |= self.points.record(rule, view);
    }

    /// `None` before the first period ended.
    pub(super) fn wish(&mut self, rule: &StepRule, view: View<'_>) -> Option<Wish> {
        let value = self.points.newest()?;
        if std::mem::take(&mut self.fresh) {
            (self.goal, self.unsure) = match self.look(rule, view) {
                Look::At(goal) => (Some(goal), false),
                Look::Nowhere => (None, false),
                Look::Unsure => (None, true),
            };
        }
        self.goal = self.goal.filter(|goal| *goal != view.desired);
        let pause = self.pause(rule, view.now);
        let held = match self.goal {
            Some(goal) if goal < view.desired => pause,
            Some(_) => None,
            None => pause.filter(|pause| matches!(pause, Pause::ScaleOut(_))),
        };
        // A rule that could ask for fewer and does not is against it. One that could not, or does not
        // know, has nothing to say, unless workers that it added are still to show what they do.
        let (workers, shrinks) = match self.goal {
            Some(goal) if held.is_none() => (goal, true),
            _ if held.is_some() || (rule.shrinks() && !self.unsure) => (view.desired, true),
            _ => (0, false),
        };
        self.wished = workers;
        Some(Wish {
            rule: "step",
            workers,
            shrinks,
            basis: Basis::Step {
                metric: rule.metric.clone(),
                value,
                threshold: rule.threshold,
                goal: self.goal,
                held,
                tellers: view.seen.tellers(&rule.metric),
            },
        })
    }

    /// Looks at the values of the last periods.
    fn look(&self, rule: &StepRule, view: View<'_>) -> Look {
        let (mut whole, mut silent) = (true, false);
        let goal = self.goal(rule, view, |point| {
            whole &= point.whole;
            silent |= point.silent;
        });
        match goal {
            // What is missing makes values small: where they are large all the same, more is right.
            Some((goal, is_above)) if whole || (is_above && goal > view.desired) => Look::At(goal),
            Some(_) if silent => Look::Unsure,
            _ => Look::Nowhere,
        }
    }

    /// The count that follows from the values of the last periods, if they are all on one side of the
    /// threshold, and whether that is above it. `saw` is told of each.
    fn goal(
        &self,
        rule: &StepRule,
        view: View<'_>,
        mut saw: impl FnMut(Point),
    ) -> Option<(u32, bool)> {
        let newest = rule.step(self.points.newest()?)?;
        let same_side = |point: Point| {
            saw(point);
            let step = rule.step(point.value);
            step.is_some_and(|step| step.is_above() == newest.is_above())
        };
        if !self.points.values()?.all(same_side) {
            return None;
        }
        let goal = leads_to(
            rule,
            newest,
            self.base(rule, view.desired, view.now),
            view.desired,
        );
        Some((goal, newest.is_above()))
    }

    /// The count that steps are taken from.
    fn base(&self, rule: &StepRule, desired: u32, now: Duration) -> u32 {
        match (self.grown, self.pause(rule, now)) {
            (Some((_, base)), Some(Pause::ScaleOut(_))) => base.min(desired),
            _ => desired,
        }
    }

    /// The cooldown that lasts, if one does.
    fn pause(&self, rule: &StepRule, now: Duration) -> Option<Pause> {
        let left = |at: Duration| {
            let left = rule.cooldown.checked_sub(now.saturating_sub(at))?;
            (!left.is_zero()).then_some(left)
        };
        let out = self.grown.and_then(|(at, _)| left(at)).map(Pause::ScaleOut);
        out.or_else(|| self.shrunk_at.and_then(left).map(Pause::ScaleIn))
    }

    /// The count changed after the rule was asked.
    pub(super) fn settled(&mut self, rule: &StepRule, before: u32, after: u32, now: Duration) {
        if after > before && self.wished > before {
            let base = match (self.grown, self.pause(rule, now)) {
                (Some((_, base)), Some(Pause::ScaleOut(_))) => base,
                _ => before,
            };
            self.grown = Some((now, base));
            self.shrunk_at = None;
        } else if after < before {
            self.grown = None;
            if self.goal.is_some_and(|goal| goal < before) {
                self.shrunk_at = Some(now);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.points.clear();
        self.fresh = false;
        self.goal = None;
        self.unsure = false;
        self.grown = None;
        self.shrunk_at = None;
        self.wished = 0;
    }
}

/// The count that a step from `base` leads to where there are `desired` workers.
fn leads_to(rule: &StepRule, step: &Step, base: u32, desired: u32) -> u32 {
    let goal = adjusted(rule, base, step.by);
    let grows = step.by > 0 && rule.adjustment != Adjustment::Exact;
    if grows { goal.max(desired) } else { goal }
}

/// The count after an adjustment, at least one. Percentages are rounded towards zero, but a part of
/// a worker is a whole one, and `min_adjustment` the least.
fn adjusted(rule: &StepRule, base: u32, by: i32) -> u32 {
    let by = i64::from(by);
    let change = match rule.adjustment {
        Adjustment::Exact => return u32::try_from(by.max(1)).unwrap_or(u32::MAX),
        Adjustment::Change => by,
        Adjustment::Percent => {
            let least = i64::from(rule.min_adjustment);
            let magnitude = (i64::from(base.max(1)) * by.abs() / 100).max(least);
            magnitude * by.signum()
        }
    };
    let count = i64::from(base).saturating_add(change).max(1);
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use penstock_config::{Metric, Statistic};

    use super::*;

    fn percent(min_adjustment: u32) -> StepRule {
        StepRule {
            metric: Metric::Queued,
            threshold: 0.0,
            statistic: Statistic::Average,
            period: Duration::from_secs(60),
            datapoints: 1,
            adjustment: Adjustment::Percent,
            min_adjustment,
            steps: Vec::new(),
            cooldown: Duration::ZERO,
        }
    }

    #[test]
    fn percentages_round_towards_zero_and_change_one_worker_at_least() {
        assert_eq!(adjusted(&percent(1), 10, 25), 12, "2.5 is 2");
        assert_eq!(adjusted(&percent(1), 10, -25), 8, "-2.5 is -2");
        assert_eq!(adjusted(&percent(1), 4, 10), 5, "0.4 is 1");
        assert_eq!(adjusted(&percent(1), 4, -10), 3, "-0.4 is -1");
        assert_eq!(adjusted(&percent(3), 10, 10), 13, "three at least");
        assert_eq!(adjusted(&percent(1), 10, 0), 10, "nothing is asked for");
    }

    #[test]
    fn no_adjustment_leads_below_one_worker() {
        assert_eq!(adjusted(&percent(1), 2, -1000), 1);
        assert_eq!(adjusted(&percent(1), u32::MAX, 1000), u32::MAX);
    }
}
