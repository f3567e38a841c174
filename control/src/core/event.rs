//! What the core is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use penstock_config::{
    Config, Deployment, DeploymentName, ServiceName,
    fleet::{LoadReport, WorkerId},
};

use super::{
    deployment::Key,
    gpus::FoundGpu,
    pauses::PauseRequest,
    scrapes::{Sample, ScrapeSpec},
    traffic::TrafficRequest,
    updates::WorkersRequest,
};
use crate::{remembered::StateFailure, revisions::Origin};

/// The time at which an event is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since a fixed moment well before control began; never goes back.
    pub at: Duration,
    /// Milliseconds since 1970, as far from the beginning as `at` is: for the journal and for schedules.
    pub wall_ms: u64,
    /// Milliseconds since 1970. Unlike `wall_ms` it follows a wall clock that is set, and goes on while
    /// the machine sleeps.
    pub today_ms: u64,
}

impl Moment {
    /// The time that was at `wall_ms`, but not later than now: a wall clock that was set back in
    /// between must not put the past into the future.
    pub(super) fn of_wall_ms(&self, wall_ms: u64) -> Duration {
        let ago = Duration::from_millis(self.wall_ms.saturating_sub(wall_ms));
        self.at.saturating_sub(ago)
    }
}

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// All that has happened by now is told. Deployments have their turn, and what came of it is
    /// published; a burst of events costs one turn.
    Turn,
    /// A gateway reports its load.
    Report(LoadReport),
    /// No gateway can report any more.
    NobodyReports,
    /// A worker ended without being asked to.
    Exited(WorkerExit),
    /// A worker exists and will listen there, or could not be started.
    Started(WorkerId, Result<SocketAddr, StartError>),
    /// How far the start of a worker is, for people, where it takes a while.
    Progress(WorkerId, Arc<str>),
    /// The image of a worker is there, or why it is not.
    Prepared(WorkerId, Result<(), StartError>),
    /// The GPUs of this machine, for where the configuration names none.
    GpusFound(Vec<FoundGpu>),
    /// A worker of an earlier run, which is about to be adopted, has these GPUs.
    Holds(WorkerId, Vec<String>),
    /// A start that had not begun was called off.
    CalledOff(WorkerId),
    /// A worker of an earlier run was taken over, or is not there any more.
    Adopted(WorkerId, Option<SocketAddr>),
    /// Nothing is left of a worker.
    Stopped(WorkerId),
    /// A worker sleeps, and the memory of its GPUs is free; with what it answered before, where that was asked.
    /// Or it could not be put to sleep, for this reason.
    Slept(WorkerId, Result<Option<Arc<str>>, String>),
    /// A file says that the worker with this number, or all workers of a deployment, are taken away, within the time
    /// of the configuration or this one.
    Noticed {
        /// The deployment.
        key: Key,
        /// The worker; `None`: all of them.
        slot: Option<u32>,
        /// How long they have.
        within: Option<Duration>,
    },
    /// A worker is awake and works as before, or does not, for this reason.
    Woke(WorkerId, Result<(), String>),
    /// Whether a worker says that it sleeps, while it was watched under this number.
    Sleeps(WorkerId, u64, bool),
    /// Workers of earlier runs that nobody knows are gone.
    Swept,
    /// A probe found something out.
    Probed(ProbeEvent),
    /// A worker's page was read, or could not be.
    Scraped(ScrapeEvent),
    /// What became of [`Save`](super::Effect::Save) with this number.
    Saved(u64, Result<(), NotSaved>),
    /// The state file can be written, or cannot for this reason.
    StateFile(Option<StateFailure>),
    /// A configuration was not taken over; what is wrong with it.
    Rejected(String),
    /// Somebody asks, and is answered under this number.
    Asked(AskId, Ask),
    /// Every worker is to be stopped.
    Shutdown,
    /// While shutting down: wait for no request any more.
    Hurry,
}

/// Tells one question from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What may be asked from outside.
#[derive(Debug)]
pub enum Ask {
    /// Follow this configuration from now on, which came in this way.
    Apply(Arc<Config>, Origin),
    /// Say how things are.
    Status,
    /// Say how one service is.
    Service(String),
    /// Say why a service's deployments, or one of them, have as many workers as they have.
    Explain(String, Option<String>),
    /// Change how a service's traffic is shared, or tell.
    Traffic(TrafficRequest),
    /// Pause or resume a service or a deployment, or tell.
    Pause(PauseRequest),
    /// Do something with the workers of a deployment, or tell of its revisions.
    Workers(WorkersRequest),
}

/// A worker to be started or adopted.
#[derive(Debug, Clone)]
pub struct NewWorker {
    /// Its identity, made by the core.
    pub id: WorkerId,
    /// The service it works for.
    pub service: ServiceName,
    /// The deployment it belongs to.
    pub deployment: DeploymentName,
    /// Its number within the deployment; names its log file.
    pub slot: u32,
    /// What to run.
    pub spec: Arc<Deployment>,
    /// Its GPUs, as `CUDA_VISIBLE_DEVICES` takes them; `None` where no worker is given any.
    pub gpus: Option<Arc<[String]>>,
}

/// Why a worker could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Nothing is wrong with the worker, but there is no room for it now.
    #[error("{0}")]
    NoRoom(String),
    /// Starting it failed, and trying the same again is not likely to help.
    #[error("{0}")]
    Failed(String),
}

/// A worker ended without being asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerExit {
    /// Which one.
    pub id: WorkerId,
    /// How it ended, for people: `exit status 1`, `killed by SIGSEGV`; with the last line it wrote
    /// to standard error when there is one.
    pub reason: String,
}

/// What probes found out about a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEvent {
    /// It may get requests.
    Ready(WorkerId),
    /// It may not get requests any more, for the reason given, until it is ready again.
    NotReady(WorkerId, String),
    /// Why its startup or readiness probe fails now; `None` when it passes. Sent when that changes: it
    /// tells why a worker does not become ready.
    Says(WorkerId, Option<ProbeFailure>),
    /// A given address did not pass its first probe. Sent once: until then nobody knows whether the
    /// deployment has a worker.
    Unreachable(WorkerId),
    /// It must be replaced, for the reason given. Sent once; liveness is not asked after it.
    LivenessFailed(WorkerId, String),
}

/// Why a probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// In words.
    pub text: Arc<str>,
    /// Whether somebody else holds the worker's port, or it listens on another one: that is worth
    /// telling while the worker still loads.
    pub wrong_port: bool,
}

/// What came of one attempt to read a worker's page.
#[derive(Debug)]
pub struct ScrapeEvent {
    /// Which one.
    pub worker: WorkerId,
    /// By which it was made: another may be in force by now.
    pub spec: Arc<ScrapeSpec>,
    /// A sample for each metric, or why there is none at all.
    pub result: Result<Vec<Option<Sample>>, String>,
}

/// Why something is not in the state file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSaved {
    /// The disk does not keep up. The row was not taken, and must be given again.
    Busy,
    /// It cannot be written; it is tried again by whoever keeps the file.
    Failed(Arc<str>),
    /// The file was closed.
    Closed,
}
