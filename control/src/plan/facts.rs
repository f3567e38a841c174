//! What a plan is made from: plain facts about the workers of one deployment.

use std::{sync::Arc, time::Duration};

use penstock_config::{Update, fleet::WorkerId};

/// The situation of one deployment.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// Every worker that is not gone yet.
    pub workers: &'a [WorkerFacts],
    /// How starting went lately.
    pub starts: &'a StartFacts,
    /// Longest time from start to readiness; `None` for ever.
    pub start_timeout: Option<Duration>,
    /// Whether workers of an earlier run may still hold what new ones need.
    pub starts_wait: bool,
    /// How workers of one revision make place for those of the next.
    pub update: Update,
}

/// One worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerFacts {
    /// Its identity.
    pub id: WorkerId,
    /// Its number within the deployment.
    pub slot: u32,
    /// Where it stands.
    pub stage: Stage,
    /// When it was started.
    pub started_at: Duration,
    /// Requests it has now, by the newest reports of all gateways.
    pub in_flight: u32,
    /// Whether an earlier run of control started it: while it is starting it is only not known to
    /// be ready.
    pub adopted: bool,
    /// Whether it runs something else than is configured now.
    pub outdated: bool,
    /// Whether it has been ready for so long that its start was a good one, whatever came of others.
    pub is_proven: bool,
    /// Why it must be replaced although it is what is configured: its liveness probe failed.
    pub broken: Option<Arc<str>>,
}

impl WorkerFacts {
    /// Whether it counts as one of the workers there should be.
    pub fn is_kept(&self) -> bool {
        matches!(
            self.stage,
            Stage::Starting | Stage::Waking | Stage::Ready | Stage::NotReady
        ) && self.broken.is_none()
    }
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// On its way; has never been ready.
    Starting,
    /// On its way from sleep.
    Waking,
    /// Takes requests.
    Ready,
    /// Has been ready, but its readiness probe fails now.
    NotReady,
    /// Takes no new requests.
    Draining {
        /// When it is stopped whatever it still has.
        deadline: Duration,
        /// Whether every live gateway obeys a snapshot in which the worker drains.
        gates_closed: bool,
        /// Whether it may go back to work.
        cancellable: bool,
    },
    /// Sleeps, or is falling asleep. It counts as none of the workers there should be.
    Asleep,
    /// Being ended by the driver.
    Stopping,
}

/// How starting went lately.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartFacts {
    /// No start before this time.
    pub not_before: Option<Duration>,
    /// Why the last attempt found no room, until there may be some.
    pub no_room: Option<Arc<str>>,
    /// Whether that is for want of GPUs: those who share them out know when there are some.
    pub lacks_gpus: bool,
    /// Whether it would be vain that an older worker gives way: its GPUs would not be enough, or are not those that
    /// are wanted, or others make room already.
    pub giving_way_is_vain: bool,
    /// Whether starts failed and none has proved good since.
    pub failing: bool,
    /// Whether a worker of an older revision made room for one that is not ready yet.
    pub gave_way: bool,
}
