//! `mirror` of a service.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{self, ByteSize, PositiveDuration};
use crate::DeploymentName;

/// Copies of requests go to a deployment whose answers are thrown away.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mirror {
    /// The deployment that gets the copies. Requests that the split sends there are not copied, nor
    /// are those to a deployment's own host name.
    #[schemars(schema_with = "text::schema_of_names")]
    pub(crate) to: DeploymentName,
    /// Share of the requests that are copied; more than 0.
    #[serde(default = "all")]
    #[schemars(range(max = 100), extend("exclusiveMinimum" = 0))]
    pub(crate) percent: f64,
    /// Most copies at once; further requests are not copied.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_in_flight: u32,
    /// How far a copy's body may fall behind the original's before the copy is given up. 16KiB to
    /// 1GiB.
    #[serde(default = "buffer")]
    pub(crate) buffer: ByteSize,
    /// Longest time from the start of a copy to the end of its answer.
    #[serde(default = "timeout")]
    pub(crate) timeout: PositiveDuration,
    /// Whether a copy waits for a worker when none is free, and wakes a deployment that is at zero.
    #[serde(default)]
    pub(crate) wakes: bool,
    /// Whether copies count as load when the deployment is scaled.
    #[serde(default)]
    pub(crate) scales: bool,
}

fn all() -> f64 {
    100.0
}

fn max_in_flight() -> u32 {
    100
}

/// Room for a prompt with an image while the copy's connection is being opened.
fn buffer() -> ByteSize {
    ByteSize(1 << 20)
}

/// As long as a worker may think about an original by default.
fn timeout() -> PositiveDuration {
    PositiveDuration(Duration::from_secs(300))
}
