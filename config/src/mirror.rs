//! Copies of requests for a deployment that shall see real traffic without answering it.

use std::time::Duration;

use crate::DeploymentName;

/// A copy of a share of a service's requests goes to a deployment whose answers are thrown away.
#[derive(Debug, Clone, PartialEq)]
pub struct Mirror {
    /// The deployment that gets the copies; it belongs to the same service. Requests that the split
    /// sends there are not copied.
    pub to: DeploymentName,
    /// Share of requests that are copied; above 0, at most 100.
    pub percent: f64,
    /// Most copies in flight at once; more are dropped.
    pub max_in_flight: u32,
    /// Most bytes of a request's body that are kept for a copy which is slower than the original;
    /// then the copy is dropped.
    pub buffer_bytes: u64,
    /// Longest time from the start of a copy to the end of its answer.
    pub timeout: Duration,
    /// Whether a copy may wait for a worker and wake a deployment that is at zero.
    pub wakes: bool,
    /// Whether copies count as load when the deployment is scaled.
    pub scales: bool,
}
