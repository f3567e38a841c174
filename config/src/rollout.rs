//! A canary that watches itself.

use std::time::Duration;

/// Raises a deployment's share step by step, as long as it does as well as its siblings, and takes
/// all of it back when it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// Shares of the service's traffic in percent, each above the one before, 1 to 100; the last
    /// one stays.
    pub steps: Vec<u32>,
    /// Shortest time of each step.
    pub interval: Duration,
    /// Requests that the deployment must have had in a step before the step is judged.
    pub min_requests: u32,
    /// Share of failed requests (0 to 1) that is accepted even if the siblings have fewer.
    pub max_error_rate: f64,
    /// How many times the siblings' 95th percentile of the time to the first byte the deployment's
    /// own may be; at least 1. `None`: latency is not judged.
    pub max_p95_ratio: Option<f64>,
    /// How sure a verdict against the deployment must be, 0.5 to 0.9999.
    pub confidence: f64,
}
