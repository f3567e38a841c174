//! The step rule.

use std::time::Duration;

use super::Metric;

/// Adjusts the count by how far a metric has been from a threshold for a number of periods.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRule {
    /// What is measured.
    pub metric: Metric,
    /// From where `steps` count.
    pub threshold: f64,
    /// What is made of the values within a period.
    pub statistic: Statistic,
    /// Length of a period.
    pub period: Duration,
    /// How many periods in a row must be in one of the steps on the same side; at least 1.
    pub datapoints: u32,
    /// What `by` means.
    pub adjustment: Adjustment,
    /// For [`Adjustment::Percent`]: fewest workers of one adjustment; at least 1.
    pub min_adjustment: u32,
    /// Without overlap or gap, in rising order.
    pub steps: Vec<Step>,
    /// After a change: for so long workers that were added count, and none are taken away.
    pub cooldown: Duration,
}

/// What is made of the values within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Their mean over the time; of `queue_wait_p95`, the percentile over the whole period.
    Average,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// How many there were in all.
    Sum,
}

/// What `by` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// So many more, or fewer when negative.
    Change,
    /// So many percent more, or fewer when negative.
    Percent,
    /// So many, whatever there are now.
    Exact,
}

/// What to do for values in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Lower bound, from the threshold. `None`: no bound.
    pub from: Option<f64>,
    /// Upper bound, from the threshold. `None`: no bound.
    pub to: Option<f64>,
    /// The adjustment.
    pub by: i32,
}

impl StepRule {
    /// The step for a value, if there is one. An interval above the threshold has its lower bound
    /// in it, one below has its upper bound, so that the threshold itself belongs to the upper side.
    pub fn step(&self, value: f64) -> Option<&Step> {
        let distance = value - self.threshold;
        self.steps.iter().find(|step| {
            let (from, to) = (
                step.from.unwrap_or(f64::NEG_INFINITY),
                step.to.unwrap_or(f64::INFINITY),
            );
            if step.is_above() {
                from <= distance && distance < to
            } else {
                distance < 0.0 && from < distance && distance <= to
            }
        })
    }

    /// Whether any step asks for fewer workers, whatever there are.
    pub fn shrinks(&self) -> bool {
        self.adjustment == Adjustment::Exact || self.steps.iter().any(|step| step.by < 0)
    }
}

impl Step {
    /// Whether the interval is at or above the threshold; else it is at or below.
    pub fn is_above(&self) -> bool {
        self.from.is_some_and(|from| from >= 0.0)
    }
}
