//! Why a service may be slow: what its requests did of late, and which are open.

use std::time::Duration;

use penstock_config::fleet::{LatencyHistogram, OpenRequest, Recent, ServiceInsight, Stage};
use serde::{Deserialize, Serialize};

use super::ServiceStatus;

/// What the requests of the last half to whole minute came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecentStatus {
    /// Seconds that this is about.
    pub seconds: f64,
    /// Requests that ended.
    pub requests: u64,
    /// The same, for each second.
    pub requests_per_second: f64,
    /// Requests that got an error or were cut off.
    pub errors: u64,
    /// Requests whose client left before the end.
    pub clients_left: u64,
    /// Seconds to the first byte of the answer's body.
    pub first_byte: Option<Percentiles>,
    /// Seconds to the end of the answer.
    pub whole: Option<Percentiles>,
}

/// What half of the durations, and 95 % of them, are below; in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
}

/// The open requests of a service.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestsStatus {
    /// How many there are.
    pub open: usize,
    /// Those that have been open longest, oldest first.
    pub oldest: Vec<RequestStatus>,
}

/// One open request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequestStatus {
    /// Its id, as in the logs and in `x-request-id`; cut where it is long.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Its path without the query; cut where it is long.
    pub path: String,
    /// Address of the client.
    pub client: String,
    /// The deployment that is to answer it.
    pub deployment: String,
    /// The slot of the worker that it has, or had last.
    pub worker: Option<u32>,
    /// Seconds that it has been open.
    pub age: f64,
    /// What it waits for.
    pub stage: Stage,
    /// Seconds that it has.
    pub in_stage: f64,
}

impl From<&Recent> for RecentStatus {
    fn from(recent: &Recent) -> Self {
        let seconds = recent.over.as_secs_f64();
        Self {
            seconds,
            requests: recent.ended,
            // Of less than a second nothing can be said.
            requests_per_second: recent.ended as f64 / seconds.max(1.0),
            errors: recent.failed,
            clients_left: recent.left,
            first_byte: percentiles(&recent.first_byte),
            whole: percentiles(&recent.whole),
        }
    }
}

impl From<ServiceInsight> for RequestsStatus {
    fn from(insight: ServiceInsight) -> Self {
        Self {
            open: insight.open,
            oldest: insight
                .oldest
                .into_iter()
                .map(RequestStatus::from)
                .collect(),
        }
    }
}

impl From<OpenRequest> for RequestStatus {
    fn from(request: OpenRequest) -> Self {
        Self {
            id: request.id,
            method: request.method,
            path: request.path,
            client: request.client.to_string(),
            deployment: request.deployment.to_string(),
            worker: request.worker,
            age: request.age.as_secs_f64(),
            stage: request.stage,
            in_stage: request.in_stage.as_secs_f64(),
        }
    }
}

impl ServiceStatus {
    /// Adds what the requests of its deployments and workers did of late.
    pub(crate) fn add_recent(&mut self, insight: &ServiceInsight) {
        for told in &insight.deployments {
            let mut deployments = self.deployments.iter_mut();
            let Some(deployment) = deployments.find(|known| told.deployment.as_str() == known.name)
            else {
                continue;
            };
            deployment.recent = Some(RecentStatus::from(&told.recent));
            for worker in &mut deployment.workers {
                let mut told = told.workers.iter();
                let of_worker = told.find(|(id, _)| *worker.id == *id.0);
                worker.recent = of_worker.map(|(_, recent)| RecentStatus::from(recent));
            }
        }
    }
}

fn percentiles(histogram: &LatencyHistogram) -> Option<Percentiles> {
    let seconds = |share| {
        histogram
            .quantile(share)
            .as_ref()
            .map(Duration::as_secs_f64)
    };
    Some(Percentiles {
        p50: seconds(0.5)?,
        p95: seconds(0.95)?,
    })
}
