//! A metric of all workers together.

use std::{sync::Arc, time::Duration};

use penstock_config::{ConcurrencyRule, Metric, TargetTrackingRule, WorkerMetric};

use super::{concurrency::ConcurrencyState, rules::View};
use crate::window::Window;

/// What is averaged over: one period of the metrics that target tracking has in AWS.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// Of no matter: only the long average is looked at.
const BURST: Duration = Duration::from_secs(3);

/// Not the time that a start takes, as in the rule `concurrency`: of requests that take longer than
/// this a whole queue counts.
const CLEAR_WITHIN: Duration = Duration::from_secs(3);

/// The mean of a metric over the last [`WINDOW`], for all workers together.
#[derive(Debug, Clone)]
pub(super) enum Total {
    /// Requests that pile up while workers start count for what clears them.
    Concurrency(Box<ConcurrencyState>),
    Requests {
        window: Window,
        /// In how many seconds they are counted.
        unit: f64,
    },
    Queued(Window),
    /// What workers tell.
    Told {
        metric: Arc<WorkerMetric>,
        sum: Window,
        /// Ready workers that tell nothing.
        missing: Window,
    },
}

impl Total {
    pub(super) fn new(metric: &Metric) -> Self {
        let requests = |unit| Self::Requests {
            window: Window::new(WINDOW),
            unit,
        };
        match metric {
            Metric::ConcurrencyPerWorker => {
                Self::Concurrency(Box::new(ConcurrencyState::new(&ConcurrencyRule {
                    target: 1.0,
                    window: WINDOW,
                    burst_window: BURST,
                    clear_within: Some(CLEAR_WITHIN),
                    anticipate: 0.0,
                    headroom: 0.0,
                })))
            }
            Metric::RequestsPerSecond | Metric::RequestsPerSecondPerWorker => requests(1.0),
            Metric::RequestsPerMinutePerWorker => requests(60.0),
            Metric::Worker(metric) => Self::Told {
                metric: Arc::clone(metric),
                sum: Window::new(WINDOW),
                missing: Window::new(WINDOW),
            },
            // The others are not shared by the workers, which the configuration has checked.
            Metric::Queued | Metric::NoCapacityRequests | Metric::QueueWaitP95 => {
                Self::Queued(Window::new(WINDOW))
            }
        }
    }

    pub(super) fn record(&mut self, view: View<'_>) {
        let load = &view.seen.load;
        match self {
            Self::Concurrency(state) => state.record(view),
            Self::Requests { window, .. } => {
                window.record(load.arrivals as f64, load.over, view.now);
            }
            Self::Queued(window) => {
                let queued = f64::from(view.seen.queued) * load.over.as_secs_f64();
                window.record(queued, load.over, view.now);
            }
            Self::Told {
                metric,
                sum,
                missing,
            } => match view.seen.told(metric) {
                Some(told) => {
                    let over = load.over.as_secs_f64();
                    let silent = f64::from(view.seen.ready.saturating_sub(told.fresh));
                    sum.record(told.sum * over, load.over, view.now);
                    missing.record(silent * over, load.over, view.now);
                }
                // A time of which nothing is known must not count as one of nothing.
                None => self.clear(),
            },
        }
    }

    /// In the unit of the metric; `None` before anything was measured.
    pub(super) fn value(&self) -> Option<f64> {
        match self {
            Self::Concurrency(state) => state.long(),
            Self::Requests { window, unit } => Some(window.average()? * unit),
            Self::Queued(window) => window.average(),
            Self::Told { sum, .. } => sum.average(),
        }
    }

    /// What is added to the value if workers that tell nothing have what one worker should have.
    pub(super) fn missing(&self, target: f64) -> f64 {
        match self {
            Self::Told { missing, .. } => missing.average().unwrap_or(0.0) * target,
            _ => 0.0,
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Concurrency(state) => state.clear(),
            Self::Requests { window, .. } | Self::Queued(window) => window.clear(),
            Self::Told { sum, missing, .. } => {
                sum.clear();
                missing.clear();
            }
        }
    }
}

/// Requests at a time that one worker should have, for metrics that count these.
pub(super) fn requests_per_worker(rule: &TargetTrackingRule) -> Option<f64> {
    match rule.metric {
        Metric::ConcurrencyPerWorker | Metric::Queued => Some(rule.target),
        _ => None,
    }
}
