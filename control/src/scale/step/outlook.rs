//! Values at which the next step would be taken.

use std::time::Duration;

use penstock_config::{Metric, Statistic, Step, StepRule};

use super::{StepState, leads_to};
use crate::scale::{Edge, Outlook, Threshold};

impl StepState {
    /// Where the nearest steps to more and to fewer workers than `desired` begin, and the cooldown.
    pub(in super::super) fn outlook(
        &self,
        rule: &StepRule,
        desired: u32,
        now: Duration,
    ) -> Vec<Outlook> {
        let value = self.points.newest().unwrap_or(rule.threshold);
        let base = self.base(rule, desired, now);
        let up = nearest(rule, value, |step| {
            Some(leads_to(rule, step, base, desired)).filter(|goal| *goal > desired)
        });
        // None go before the cooldown is over, and then steps count from all there are.
        let down = nearest(rule, value, |step| {
            Some(leads_to(rule, step, desired, desired)).filter(|goal| *goal < desired)
        });
        let threshold = |(to, edge)| Threshold {
            rule: "step",
            than: desired,
            to: Some(to),
            measure: measure(rule),
            edge,
        };
        let pause = self.pause(rule, now);
        let cooldown = pause.map(|pause| Outlook::Cooldown {
            rule: "step",
            pause,
        });
        let up = up.map(threshold).map(Outlook::More);
        let down = down.map(threshold).map(Outlook::Agrees);
        [up, down, cooldown].into_iter().flatten().collect()
    }
}

/// Of the steps that lead somewhere the one that is nearest to a value: to where, and its edge.
fn nearest(
    rule: &StepRule,
    value: f64,
    leads: impl Fn(&Step) -> Option<u32>,
) -> Option<(u32, Edge)> {
    let found = rule.steps.iter().filter_map(|step| {
        let edge = edge(rule, step, value);
        Some((leads(step)?, edge))
    });
    let distance = |edge: Edge| match edge {
        Edge::Above(at) | Edge::AtLeast(at) => (at - value).max(0.0),
        Edge::AtMost(at) | Edge::Below(at) => (value - at).max(0.0),
    };
    found.min_by(|(_, one), (_, other)| distance(*one).total_cmp(&distance(*other)))
}

/// Where values enter an interval when they come from `value`; from within, its edge on the side of
/// the threshold. Which bound belongs to it, [`StepRule::step`] says.
fn edge(rule: &StepRule, step: &Step, value: f64) -> Edge {
    let at = |bound: f64| rule.threshold + bound;
    let from = step.from.map_or(f64::NEG_INFINITY, at);
    let to = step.to.map_or(f64::INFINITY, at);
    if step.is_above() {
        if value >= to {
            Edge::Below(to)
        } else {
            Edge::AtLeast(from)
        }
    } else if value <= from {
        Edge::Above(from)
    } else if to < rule.threshold {
        Edge::AtMost(to)
    } else {
        // The threshold itself belongs to the upper side.
        Edge::Below(to)
    }
}

/// What the rule looks at, in words.
fn measure(rule: &StepRule) -> String {
    let metric = &rule.metric;
    let value = match rule.statistic {
        Statistic::Average if *metric == Metric::QueueWaitP95 => metric.to_string(),
        Statistic::Average => format!("the mean of {metric}"),
        Statistic::Maximum => format!("the largest {metric}"),
        Statistic::Minimum => format!("the smallest {metric}"),
        Statistic::Sum => format!("the sum of {metric}"),
    };
    let period = crate::scale::Seconds(rule.period);
    match rule.datapoints {
        0 | 1 => format!("{value} over {period}"),
        times => format!("{value} over {period}, {times} times in a row,"),
    }
}
