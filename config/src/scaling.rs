//! How many workers a deployment should have.

mod metric;
mod rule;
pub(crate) mod schedule;
mod step;

use std::time::Duration;

pub use self::{
    metric::Metric,
    rule::{BacklogRule, ConcurrencyRule, QueueWaitRule, Rule, TargetTrackingRule},
    schedule::{Activity, ScheduleRule},
    step::{Adjustment, Statistic, Step, StepRule},
};

/// Checked scaling settings of one deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Fewest workers; 0 allows scale to zero.
    pub min: u32,
    /// Most workers; at least `min` and at least 1.
    pub max: u32,
    /// With `min = 0`: how long nothing may have been in flight, queued or open before the last worker goes.
    pub idle_timeout: Duration,
    /// The rules; the largest wish wins. Never empty.
    pub rules: Vec<Rule>,
    /// How fast the desired count may grow.
    pub up: UpPace,
    /// When and how fast the desired count may shrink.
    pub down: DownPace,
}

/// In any rolling `period` the desired count may grow by at most `percent` of what it was at the
/// period's start, rounded up. From zero the base is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpPace {
    /// Growth in percent of the count at the period's start; above 0.
    pub percent: u32,
    /// Length of the rolling period.
    pub period: Duration,
    /// From zero, `ceil(queued / target)` workers may be started at once whatever `percent` says.
    pub burst_from_zero: bool,
}

/// The desired count shrinks only when for the whole of `stable_for` the load would also have
/// fitted one worker less; then by at most `step`, and by at most `percent` per rolling `period`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DownPace {
    /// How long the load must have fitted the smaller count.
    pub stable_for: Duration,
    /// Most workers taken away at once; at least 1.
    pub step: u32,
    /// Most taken away in a period, in percent of the count at its start (at least one worker).
    pub percent: u32,
    /// Length of the rolling period.
    pub period: Duration,
}
