//! `metrics` of a deployment.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{PositiveDuration, UrlPath};

/// The Prometheus page of every worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsPage {
    /// Path of the page, at the worker's own port.
    pub(crate) path: UrlPath,
    /// From one reading of a worker's page to the next. 1s to 5m.
    pub(crate) interval: PositiveDuration,
    /// Longest time of one reading. At most `interval`. Default: 2s, or `interval` when that is
    /// shorter.
    pub(crate) timeout: Option<PositiveDuration>,
}

impl Default for MetricsPage {
    fn default() -> Self {
        Self {
            path: UrlPath("/metrics".to_owned()),
            interval: PositiveDuration(Duration::from_secs(5)),
            timeout: None,
        }
    }
}
