//! What a decision is made from: plain numbers.

use std::{fmt, time::Duration};

use penstock_config::fleet::TimeHistogram;

use super::told::Told;

/// What is known of one deployment at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// What wall clocks say, in milliseconds since 1970: for schedules and forecasts.
    pub wall_ms: u64,
    /// Requests now in flight or queued. Those on draining workers are left out: they need no
    /// other worker.
    pub current: u32,
    /// Requests now queued.
    pub queued: u32,
    /// What happened since the previous observation.
    pub load: Load,
    /// Workers that take requests.
    pub ready: u32,
    /// Workers on their way.
    pub starting: u32,
    /// How long a start takes at most, by experience (in nine of ten cases); `None` while unknown.
    pub start_time: Option<Duration>,
    /// Why the count must not shrink now, if so.
    pub hold: Option<Hold>,
    /// Whether starting failed for good and is not tried again yet.
    pub start_failed: bool,
    /// What workers tell of themselves, for each metric that rules ask them for.
    pub told: Vec<Told>,
}

/// What happened over a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// The stretch, ending now.
    pub over: Duration,
    /// Sum of concurrency × time, requests on draining workers left out.
    pub request_seconds: f64,
    /// Of these, the part spent on workers.
    pub in_flight_seconds: f64,
    /// Requests that came.
    pub arrivals: u64,
    /// Requests per second that came, by the newest reports.
    pub arrival_rate: f64,
    /// Waits in the queue that ended with a worker.
    pub waits: TimeHistogram,
    /// Requests that ended, in whatever way.
    pub completions: u64,
    /// Requests that ended after a worker had them.
    pub served: u64,
    /// Requests that found no worker ready or free: those that wait, and those that went to a sibling
    /// because of `when_cold = "spill"`, which did not arrive here otherwise.
    pub no_capacity: u64,
    /// Whether mirrored copies that are no load wanted the deployment awake.
    pub woken: bool,
}

impl Load {
    /// Requests that wanted a worker, whether they stayed or not.
    pub fn wanted(&self) -> u64 {
        self.arrivals.max(self.no_capacity)
    }
}

/// Why the count of workers must not shrink for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub since: Duration,
    /// The reason.
    pub cause: HoldCause,
}

/// Reasons not to trust a measurement that says "less".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldCause {
    /// Control began to observe while workers were running.
    ControlStarted,
    /// A gateway began to report: its requests are only about to come (back).
    GatewayStarted,
    /// A gateway has not reported for so long that its load is unknown.
    GatewaySilent,
    /// No gateway reports at all.
    NoGateway,
}

impl fmt::Display for HoldCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlStarted => "control has just started",
            Self::GatewayStarted => "a gateway has just started",
            Self::GatewaySilent => "a gateway fell silent",
            Self::NoGateway => "no gateway reports",
        })
    }
}
