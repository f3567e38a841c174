//! What is done about workers that fail, and about requests they failed.

use std::time::Duration;

/// When a worker that fails requests is taken out of picking, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row after which a worker is ejected; 0 never ejects. A failure is an answer of 500
    /// or above, a connection that breaks or cannot be opened, or no answer in time.
    pub failures: u32,
    /// Length of the first ejection; each further one lasts twice as long.
    pub first: Duration,
    /// Longest ejection, and longest rest that a worker's `Retry-After` may ask for.
    pub longest: Duration,
    /// Most workers ejected at once, in percent of the deployment's; 0 never ejects.
    pub max_ejected_percent: u32,
}

/// When a request that failed is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// Most further tries of one request, on other workers where there are some; 0 for none.
    pub attempts: u32,
    /// Whether a request with a method that is not idempotent (POST) may be sent again although a
    /// worker may have begun it. Never once the client got a byte of an answer.
    pub any_method: bool,
    /// Statuses of a worker's answer, 500 to 599, upon which another worker is tried. For gRPC, UNAVAILABLE
    /// always counts as one.
    /// A first-byte timeout counts as a 504; a 429 or 503 with `Retry-After` always leads elsewhere.
    pub statuses: Vec<u16>,
    /// How much of a request's body is kept, in bytes: so much is read before the request takes a place at a
    /// worker, and a body that is not longer can be sent again.
    pub buffer_bytes: u64,
    /// Share of requests that may be retried, in percent. What no worker has begun is not counted.
    pub budget_percent: u32,
    /// Retries per second that are allowed without any traffic.
    pub budget_per_second: u32,
}
