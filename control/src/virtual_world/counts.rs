//! What a gateway counts of one deployment, as sums that only grow.

use std::time::Duration;

use penstock_config::fleet::{DeploymentLoad, Outcomes, TimeHistogram, TokenLoad, WorkerLoad};

use crate::core::Key;

/// The sums of reports.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Requests in flight and queued, times seconds.
    pub integral: f64,
    /// Requests that came.
    pub arrivals: u64,
    /// Requests that are over, be they answered or not.
    pub completions: u64,
    /// How long requests took that were answered.
    pub served: TimeHistogram,
    /// Requests that found no worker free.
    pub no_capacity: u64,
    /// Mirrored copies that are no load.
    pub woken: u64,
    /// How long requests waited that found no worker free.
    pub waits: TimeHistogram,
}

impl Counts {
    /// A request got a worker after so long.
    pub fn waited(&mut self, wait: Duration) {
        self.waits.counts[TimeHistogram::bucket(wait)] += 1;
    }

    /// A request was answered after it was on its worker for so long.
    pub fn answered(&mut self, took: Duration) {
        self.completions += 1;
        self.served.counts[TimeHistogram::bucket(took)] += 1;
    }

    /// What a report says of the deployment now.
    pub fn load(
        &self,
        key: &Key,
        in_flight: u32,
        queued: u32,
        workers: Vec<WorkerLoad>,
    ) -> DeploymentLoad {
        DeploymentLoad {
            service: key.service.clone(),
            deployment: key.deployment.clone(),
            current: in_flight.saturating_add(queued),
            queued,
            integral: self.integral,
            arrivals: self.arrivals,
            completions: self.completions,
            errors: 0,
            no_capacity: self.no_capacity,
            wait: self.waits,
            service_time: self.served,
            outcomes: Outcomes::default(),
            woken: self.woken,
            tokens: TokenLoad::default(),
            workers,
        }
    }
}
