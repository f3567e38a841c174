//! A metric of all workers together.

use std::time::Duration;

use penstock_config::{ConcurrencyRule, Metric, TargetTrackingRule};

use super::{concurrency::ConcurrencyState, rules::View};
use crate::window::Window;

/// What is averaged over: one period of the metrics that target tracking has in AWS.
pub(super) const WINDOW: Duration = Duration::from_secs(60);

/// The burst window of the default rule, which does not matter for a long average.
const BURST: Duration = Duration::from_secs(3);

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
                    clear_within: None,
                    headroom: 0.0,
                })))
            }
            Metric::RequestsPerSecond | Metric::RequestsPerSecondPerWorker => requests(1.0),
            Metric::RequestsPerMinutePerWorker => requests(60.0),
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
        }
    }

    /// `None` before anything was measured.
    pub(super) fn value(&self) -> Option<f64> {
        match self {
            Self::Concurrency(state) => state.long(),
            Self::Requests { window, unit } => Some(window.average()? * unit),
            Self::Queued(window) => window.average(),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Concurrency(state) => state.clear(),
            Self::Requests { window, .. } | Self::Queued(window) => window.clear(),
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
