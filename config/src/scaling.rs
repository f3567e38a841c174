//! How many workers a deployment should have.

mod forecast;
mod metric;
mod rule;
pub(crate) mod schedule;
mod step;
mod worker_metric;

use std::{sync::Arc, time::Duration};

pub use self::{
    forecast::{ClockTime, ForecastRule},
    metric::Metric,
    rule::{BacklogRule, ConcurrencyRule, QueueWaitRule, Rule, TargetTrackingRule},
    schedule::{Activity, ScheduleRule},
    step::{Adjustment, Statistic, Step, StepRule},
    worker_metric::WorkerMetric,
};

/// Checked scaling settings of one deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Whether decisions are followed.
    pub mode: ScalingMode,
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

impl Scaling {
    /// Most workers that the settings allow at any time, schedules included.
    pub fn max_at_any_time(&self) -> u32 {
        let scheduled = self.rules.iter().filter_map(|rule| match rule {
            Rule::Schedule(schedule) => schedule.max,
            _ => None,
        });
        scheduled.fold(self.max, u32::max)
    }

    /// What the rules ask of the workers' own pages, each once.
    pub fn worker_metrics(&self) -> Vec<Arc<WorkerMetric>> {
        let mut metrics: Vec<Arc<WorkerMetric>> = Vec::new();
        for metric in self.rules.iter().filter_map(Rule::worker_metric) {
            if !metrics.contains(metric) {
                metrics.push(Arc::clone(metric));
            }
        }
        metrics
    }
}

/// Whether decisions of the rules are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingMode {
    /// They are.
    Act,
    /// They are only told; the count of workers stays.
    Advise,
}

/// In any rolling `period` the desired count may grow by at most `percent` of what it was at the
/// period's start, rounded up. From zero the base is 1.
///
/// There is no such limit by default. In simulations (`penstock simulate`) one of 200 % a minute let many
/// times as many requests wait when load came suddenly, and saved nothing in the long run: the
/// demand is measured so that starting workers do not make it grow, and `max` bounds the cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpPace {
    /// Growth in percent of the count at the period's start; above 0, or [`Self::NO_LIMIT`].
    pub percent: u32,
    /// Length of the rolling period.
    pub period: Duration,
    /// From zero, `ceil(queued / target)` workers may be started at once whatever `percent` says.
    pub burst_from_zero: bool,
}

impl UpPace {
    /// A `percent` that allows everything.
    pub const NO_LIMIT: u32 = u32::MAX;
}

/// The desired count shrinks to what would have been enough for the whole of `stable_for`, by at most
/// `step` in a second and by at most `percent` per rolling `period`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DownPace {
    /// How long the load must have fitted the smaller count; `None`: by [`Self::patience`].
    pub stable_for: Option<Duration>,
    /// Most workers taken away in a second; at least 1, or [`Self::NO_LIMIT`].
    pub step: u32,
    /// Most taken away in a period, in percent of the count at its start (at least one worker).
    pub percent: u32,
    /// Length of the rolling period.
    pub period: Duration,
}

impl DownPace {
    /// A `step` that allows everything.
    pub const NO_LIMIT: u32 = u32::MAX;

    /// How long the load must have fitted the smaller count, where a worker takes `start_time` to
    /// start, if that is known.
    ///
    /// A worker that goes and is needed again costs one start. To keep one that is not needed for as
    /// long as that never costs more than twice what knowing the future would (the ski-rental
    /// problem). The rules average over a window, which keeps workers for a while already; hence
    /// half of a start. While no start was seen it is a minute, as in Knative.
    pub fn patience(&self, start_time: Option<Duration>) -> Duration {
        const LEAST: Duration = Duration::from_secs(10);
        const UNKNOWN: Duration = Duration::from_secs(60);
        let by_start = || start_time.map_or(UNKNOWN, |start| (start / 2).max(LEAST));
        self.stable_for.unwrap_or_else(by_start)
    }
}
