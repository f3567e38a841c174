//! `ejection` and `retries` of a service.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{ByteSize, PositiveDuration};

/// When a worker that fails requests is taken out of picking, and for how long.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ejection {
    /// Failures in a row after which a worker is ejected. 0 never ejects. A failure is an answer of 500
    /// or above, a connection that breaks or cannot be opened, or no answer in time.
    #[schemars(range(max = 1000))]
    pub(crate) failures: u32,
    /// Length of the first ejection; each further one lasts twice as long.
    pub(crate) first: PositiveDuration,
    /// Longest ejection, and longest rest that a worker's Retry-After may ask for. At least `first`.
    pub(crate) longest: PositiveDuration,
    /// Most workers ejected at once, in percent of the deployment's. 0 never ejects.
    #[schemars(range(max = 100))]
    pub(crate) max_ejected_percent: u32,
}

impl Default for Ejection {
    // Failures and times are those of Envoy's outlier detection. Its 10 percent are too few for
    // deployments of two or three workers, where it would eject none or, as Envoy does, one anyway.
    fn default() -> Self {
        Self {
            failures: 5,
            first: PositiveDuration(Duration::from_secs(30)),
            longest: PositiveDuration(Duration::from_secs(300)),
            max_ejected_percent: 50,
        }
    }
}

/// When a request that failed is sent again, to another worker where there is one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retries {
    /// Most further tries of one request. 0 for none.
    #[schemars(range(max = 10))]
    pub(crate) attempts: u32,
    /// Whether a request with a method that is not idempotent, such as POST, may be sent again although
    /// a worker may have begun it. Never once the client got a byte of an answer.
    pub(crate) any_method: bool,
    /// Statuses of a worker's answer, 500 to 599, upon which another worker is tried.
    /// 504 stands for no answer within `first_byte` too. A 429 or 503 with Retry-After always leads
    /// to another worker, like a status in this list.
    #[schemars(inner(range(min = 500, max = 599)))]
    pub(crate) statuses: Vec<u16>,
    /// How much of a request's body is kept. So much is read before the request takes a place at a worker, and
    /// a body that is not longer can be sent again. At most 64MiB.
    pub(crate) buffer: ByteSize,
    /// Share of requests that may be retried, in percent. What no worker has begun is not counted.
    #[schemars(range(max = 100))]
    pub(crate) budget_percent: u32,
    /// Retries per second that are allowed without any traffic.
    #[schemars(range(max = 1000))]
    pub(crate) budget_per_second: u32,
}

impl Default for Retries {
    // The budget is that of Finagle and Linkerd: 20 percent, and 10 per second for services with
    // little traffic.
    fn default() -> Self {
        Self {
            attempts: 2,
            any_method: false,
            statuses: Vec::new(),
            // A prompt of 100 KiB, the context of most models, fits.
            buffer: ByteSize(128 << 10),
            budget_percent: 20,
            budget_per_second: 10,
        }
    }
}
