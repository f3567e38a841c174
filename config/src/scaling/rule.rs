//! The scaling rules.

use std::{sync::Arc, time::Duration};

use super::{ForecastRule, Metric, ScheduleRule, StepRule, WorkerMetric};

/// One scaling rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Workers in proportion to the concurrency.
    Concurrency(ConcurrencyRule),
    /// Workers in proportion to a metric.
    TargetTracking(TargetTrackingRule),
    /// Workers more or fewer by how far a metric is from a threshold.
    Step(StepRule),
    /// Other bounds at certain times.
    Schedule(ScheduleRule),
    /// Workers that keep the wait in the queue short.
    QueueWait(QueueWaitRule),
    /// Workers in proportion to the requests there are now.
    Backlog(BacklogRule),
    /// Workers for the load of the near future.
    Forecast(ForecastRule),
}

impl Rule {
    /// What it asks of the workers' own pages, if it does.
    pub fn worker_metric(&self) -> Option<&Arc<WorkerMetric>> {
        match self {
            Self::TargetTracking(rule) => rule.metric.of_worker(),
            Self::Step(rule) => rule.metric.of_worker(),
            _ => None,
        }
    }
}

/// `wish = ceil(max(mean + headroom × deviation, burst mean + headroom / 2 × deviation) / target)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConcurrencyRule {
    /// Concurrency (in-flight + queued) one worker should have; above 0.
    pub target: f64,
    /// Over which the concurrency is averaged, and how much it varies by chance.
    pub window: Duration,
    /// Over which the concurrency is averaged to see a rise at once.
    pub burst_window: Duration,
    /// Within which workers should clear a queue, once they are there; `None`: as long as a worker
    /// takes to start.
    pub clear_within: Option<Duration>,
    /// How long a queue is expected to go on growing, as a multiple of the time for which it has been
    /// there; 0 to 10.
    pub anticipate: f64,
    /// Room for chance, in standard deviations of the concurrency; 0 to 10.
    pub headroom: f64,
}

/// `wish = ceil(total / target)`, where the total is the metric's over all workers, with pauses
/// between changes.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetTrackingRule {
    /// What is measured; [`Metric::is_shared`].
    pub metric: Metric,
    /// How much of it one worker should have; above 0.
    pub target: f64,
    /// After a scale-out, for so long only a larger one follows, and no scale-in.
    pub scale_out_cooldown: Duration,
    /// After a scale-in, for so long no other follows. A scale-out ends it.
    pub scale_in_cooldown: Duration,
    /// Whether the rule never asks for fewer workers.
    pub disable_scale_in: bool,
}

/// As many workers as keep the wait of 95 % of the requests within `target`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueWaitRule {
    /// How long a request may wait in the queue; above 0.
    pub target: Duration,
    /// Requests that a worker serves at the same time; above 0.
    pub concurrency: f64,
}

/// `wish = ceil((in-flight + queued) / target)`, as they are now and not averaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BacklogRule {
    /// Requests in flight and queued that one worker should have; above 0.
    pub target: f64,
}
