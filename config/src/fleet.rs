//! The two types in which gateway and control meet: [`FleetSnapshot`] down, [`LoadReport`] up.
//!
//! Any message may be lost or repeated without harm: a snapshot is the full state under an
//! increasing generation, and the numbers of a report only ever grow, so that control takes
//! differences between whichever two it has seen.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::{
    coming::Coming,
    insight::{DeploymentInsight, OpenRequest, Recent, ServiceInsight, Stage},
    latency::{LatencyHistogram, METRIC_BOUNDS_MS},
    service_load::{MirrorLoad, OverflowLoad, ServiceLoad},
};
use crate::{Deployment, DeploymentName, Service, ServiceName};

mod coming;
mod insight;
mod latency;
mod service_load;

/// Everything the gateway needs to know, under a generation that increases with every change.
#[derive(Debug, Clone, Default)]
pub struct FleetSnapshot {
    /// Increases with every published change.
    pub generation: u64,
    /// Every service. One that did not change since the last snapshot is the same `Arc`.
    pub services: Vec<Arc<ServiceFleet>>,
}

/// One service and its workers.
#[derive(Debug, Clone)]
pub struct ServiceFleet {
    /// What the user set.
    pub spec: Arc<Service>,
    /// Every deployment of `spec`, in the order of names.
    pub deployments: Vec<DeploymentFleet>,
}

/// One deployment and its workers.
#[derive(Debug, Clone)]
pub struct DeploymentFleet {
    /// What the user set.
    pub spec: Arc<Deployment>,
    /// Its share of the service's traffic in force: `spec.weight`, unless an operator or a rollout
    /// has set another one.
    pub weight: u32,
    /// Whether requests may hope for a worker.
    pub phase: Phase,
    /// Workers that take requests or still finish some: ready and draining ones.
    pub workers: Vec<WorkerEntry>,
    /// What is known of workers that are not ready yet.
    pub coming: Coming,
}

/// Where a deployment stands between nothing and serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// No worker and none on its way; the first request wakes one.
    Cold,
    /// A worker is on its way.
    Starting,
    /// At least one worker is ready.
    Warm,
    /// Starting failed for good. Requests are refused until control tries again, at the earliest
    /// after `retry_after`.
    Failed {
        /// What went wrong, for people.
        reason: Arc<str>,
        /// How long until control would try again.
        retry_after: Duration,
    },
    /// Stopped by the operator. Requests are refused, and the split passes it over while a sibling
    /// is left.
    Paused {
        /// Why, in the operator's words.
        reason: Arc<str>,
        /// When it ends by itself; by the wall clock, so that an old snapshot tells it as well as a
        /// new one. `None`: when the operator says so.
        until: Option<SystemTime>,
    },
}

/// Identity of a worker process: never used twice, not even by a later run of control.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub Arc<str>);

impl std::fmt::Display for WorkerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One worker as the gateway sees it. A worker whose id stays keeps its address, weight aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEntry {
    /// Its identity.
    pub id: WorkerId,
    /// The smallest number that no other worker of the deployment had when this one came: the
    /// bounded label for metrics and log files.
    pub slot: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// The host by which the user named it; `None` when nobody did.
    pub host: Option<Arc<str>>,
    /// Whether it takes new requests.
    pub state: WorkerState,
    /// Share of the deployment's traffic in relation to the other workers; at least 1.
    pub weight: u32,
    /// Whether it is fresh and wants to be filled gently.
    pub ramp: bool,
}

/// Whether a worker takes new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// Takes requests.
    Ready,
    /// Takes no new requests and finishes the old ones.
    Draining,
}

/// What a gateway measured. Sums count from the gateway's own start and never decrease.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Which run of which gateway: another value means that all sums began again at zero.
    pub gateway: u64,
    /// Increases by one with every report.
    pub sequence: u64,
    /// Generation of the snapshot that all of this gateway's threads obey: a worker that was
    /// draining or absent in it can have got no new request since.
    pub generation: u64,
    /// Time of the measurement, since the gateway's start.
    pub at: Duration,
    /// One entry per deployment that this gateway knows.
    pub deployments: Vec<DeploymentLoad>,
    /// One entry per service that there is more to tell of.
    pub services: Vec<ServiceLoad>,
}

/// Load of one deployment.
#[derive(Debug, Clone)]
pub struct DeploymentLoad {
    /// Its service.
    pub service: ServiceName,
    /// Its name.
    pub deployment: DeploymentName,
    /// Requests now in flight or queued, open upgrades included.
    pub current: u32,
    /// Requests now queued.
    pub queued: u32,
    /// Sum of `current × dt` up to `at`, in request-seconds.
    pub integral: f64,
    /// Requests that came so far.
    pub arrivals: u64,
    /// Requests that ended so far, in whatever way.
    pub completions: u64,
    /// Of these, those that were answered with a status from 500, also by the gateway, or cut off.
    pub errors: u64,
    /// Requests so far that found no worker ready or free.
    pub no_capacity: u64,
    /// Waits in the queue of requests that got a worker.
    pub wait: TimeHistogram,
    /// Times from getting a worker to the end of the answer.
    pub service_time: TimeHistogram,
    /// How well requests that got a worker were answered.
    pub outcomes: Outcomes,
    /// Grows with every mirrored copy that wakes the deployment, and from report to report as long
    /// as there is one. Such a copy is no load by that, but keeps the deployment from sleeping.
    pub woken: u64,
    /// Tokens of its models so far.
    pub tokens: TokenLoad,
    /// The workers this gateway knows, draining ones included.
    pub workers: Vec<WorkerLoad>,
}

/// Tokens of a deployment's models, as far as answers tell them. Those of an answer that is not over are counted
/// as they pass; the sum may seem to stand still where that was too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenLoad {
    /// Of prompts.
    pub input: u64,
    /// Of answers.
    pub output: u64,
}

/// How well a deployment answered what the split sent there. Mirrored copies and requests at its own
/// host do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// Requests answered with a status below 500 (gRPC: without a server's error) to the end.
    pub succeeded: u64,
    /// Requests that the workers failed. Those that the client broke off count in neither.
    pub failed: u64,
    /// Times from getting a worker to the head of its answer, of those that succeeded.
    pub first_byte: LatencyHistogram,
    /// Of all that the requests of some clients, those among them whose requests fail most or take
    /// longest; only where a rollout is judged by it.
    pub suspects: Vec<ClientOutcomes>,
}

/// How well one client's requests were answered, since it is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOutcomes {
    /// Its number, which means nothing else.
    pub client: u32,
    /// As in [`Outcomes`].
    pub succeeded: u64,
    /// As in [`Outcomes`].
    pub failed: u64,
    /// Of those that succeeded, those that took longer than 95 % of all the deployment's had by then.
    pub slow: u64,
    /// As in [`Outcomes`].
    pub first_byte: LatencyHistogram,
}

/// Load of one worker.
#[derive(Debug, Clone)]
pub struct WorkerLoad {
    /// Which one.
    pub id: WorkerId,
    /// Requests it has now.
    pub in_flight: u32,
    /// Of these, mirrored copies that are no load.
    pub copies: u32,
    /// Requests it answered so far (response head below 500 seen, or one that asks for rest); each
    /// counts as a passed liveness probe.
    pub answered: u64,
    /// Requests it failed so far.
    pub failed: u64,
    /// Whether this gateway sends it no requests for a while, because it failed too many or asked
    /// for rest. For control it is ready all the same.
    pub ejected: bool,
}

/// Counts of durations in buckets that double: bucket `i` holds those below `1 ms × 2^i`, the
/// last one all others. Sums that only grow, so that the difference of two is a histogram too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeHistogram {
    /// The counts.
    pub counts: [u64; Self::BUCKETS],
}

impl TimeHistogram {
    /// Number of buckets; the last bound, 2^22 ms, is more than an hour.
    pub const BUCKETS: usize = 24;

    /// The bucket a duration falls into.
    pub fn bucket(duration: Duration) -> usize {
        let millis = duration.as_secs().saturating_mul(1000);
        let millis = millis.saturating_add(u64::from(duration.subsec_millis()));
        let bits = (u64::BITS - millis.leading_zeros()) as usize;
        bits.min(Self::BUCKETS - 1)
    }

    /// The shortest duration of every bucket, and how many it holds.
    pub fn at_least(&self) -> [(Duration, u64); Self::BUCKETS] {
        std::array::from_fn(|bucket| {
            let millis = if bucket == 0 { 0 } else { 1 << (bucket - 1) };
            (Duration::from_millis(millis), self.counts[bucket])
        })
    }
}
