//! `rollout` of a deployment.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::PositiveDuration;

/// Raises a deployment's share step by step, as long as it does as well as the other deployments,
/// and takes all of it back when it does not. It stands in place of `weight`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rollout {
    /// Shares of the service's traffic in percent, 1 to 100, each above the one before. The last one
    /// stays.
    #[schemars(length(min = 1), inner(range(min = 1, max = 100)))]
    pub(crate) steps: Vec<u32>,
    /// Shortest time of each step.
    pub(crate) interval: PositiveDuration,
    /// Requests that the deployment must have had in a step before the step is judged.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(crate) min_requests: u32,
    /// Share of failed requests, 0 to 1, that is accepted even if the other deployments have fewer.
    #[schemars(range(min = 0, max = 1))]
    pub(crate) max_error_rate: f64,
    /// How many times the 95th percentile of the other deployments' time to the first byte its own
    /// may be. Default: latency is not judged.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) max_p95_ratio: Option<f64>,
    /// How sure a verdict against the deployment must be, 0.5 to 0.9999.
    #[schemars(range(min = 0.5, max = 0.9999))]
    pub(crate) confidence: f64,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            steps: vec![1, 5, 25, 50, 100],
            interval: PositiveDuration(Duration::from_secs(300)),
            min_requests: 100,
            max_error_rate: 0.01,
            max_p95_ratio: None,
            confidence: 0.95,
        }
    }
}
