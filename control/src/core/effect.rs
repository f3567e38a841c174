//! What the core wants done. It says *what*: how a worker is started, probed or ended is the business
//! of whoever carries it out, who tells what came of it as an [`Event`](super::Event).

use std::{fmt, path::Path, sync::Arc, time::Duration};

use penstock_config::{
    Deployment, DeploymentName, Probes, ServiceName, Sleep,
    fleet::{FleetSnapshot, WorkerId},
};

use super::{
    deployment::Key,
    event::{AskId, NewWorker},
    explain::Explained,
    scrapes::ScrapeSpec,
    tally::{Metric, RolloutTold},
};
use crate::{
    explain::Unknown,
    remembered::{AdviceRow, DemandRow, DesiredRow, JournalEntry, ServiceRow, StartRow, Table},
    status::{PauseStatus, RevisionsStatus, ServiceStatus, Status, WeightsStatus},
    weights::Refused,
};

/// Something to be done, in the order in which it is told.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Start a worker of this revision. Comes back as `Started`, or as `CalledOff` when `CallOff` was
    /// told before its start began.
    Start {
        /// Which, and what it runs.
        worker: NewWorker,
        /// What tells what it runs from what others of its deployment run.
        revision: Arc<str>,
    },
    /// See to it that all is there that a worker needs before it is given GPUs: its image. Comes back as
    /// `Prepared`, or as `CalledOff`.
    Prepare(NewWorker),
    /// Do not begin the start of a worker, if it waits for its turn; hasten its end, if it is under way.
    CallOff(WorkerId),
    /// End a worker that exists. Comes back as `Stopped`.
    Stop(WorkerId),
    /// Make a worker give the memory of its GPUs up. Comes back as `Slept`.
    Sleep(Nap),
    /// Make it take the memory again, and see whether it works as before. Comes back as `Woke`.
    Wake(Nap),
    /// Ask it now and then whether it sleeps, in place of any asking before. Comes back as `Sleeps`, again and
    /// again.
    WatchSleep {
        /// Which one.
        worker: WorkerId,
        /// How it is asked.
        sleep: Arc<Sleep>,
        /// Comes back with the answers.
        number: u64,
    },
    /// Look out for these files, in place of any before: `{slot}` in a name stands for the number of a worker. One
    /// that appears comes back as `Noticed`.
    Notices(Vec<(Key, Arc<Path>, Duration)>),
    /// Do not ask it any more.
    StopWatchingSleep(WorkerId),
    /// Take over a worker of an earlier run, of which `saved` was written down. Comes back as `Adopted`.
    Adopt {
        /// Which, and what it runs.
        worker: NewWorker,
        /// What its driver wrote down.
        saved: String,
    },
    /// End what earlier runs left and is not among these. Comes back as `Swept`.
    Sweep(Vec<WorkerId>),
    /// Nothing is left of a worker that nobody was asked to end: forget what is written of it.
    Forget(WorkerId),
    /// End at once, now and from now on, what would be given time to end.
    Hurry,
    /// Probe a worker that exists, in place of any probes before. Comes back as `Probed`, again and again.
    Probe {
        /// Which one.
        worker: WorkerId,
        /// What it runs and how it is spoken to.
        spec: Arc<Deployment>,
        /// What is asked.
        probes: Probes,
    },
    /// A request was answered by this worker. That counts as a passed liveness probe.
    Answered(WorkerId),
    /// Do not probe it any more.
    StopProbing(WorkerId),
    /// Read a worker's own page, in place of any reading before. Comes back as `Scraped`, again and again.
    Scrape {
        /// Which one.
        worker: WorkerId,
        /// What is wanted of the page.
        spec: Arc<ScrapeSpec>,
    },
    /// Do not read its page any more.
    StopScraping(WorkerId),
    /// Tell the gateways.
    Publish(Arc<FleetSnapshot>),
    /// Write a line into the journal and into the log. It may be lost.
    Journal(JournalEntry),
    /// Write something down for the next run. It may be lost.
    Remember(Memory),
    /// Write down what an operator did. Comes back as `Saved` with the number.
    Save {
        /// Tells one from the next.
        number: u64,
        /// What the row is about.
        table: Table,
        /// What is to be written.
        row: ServiceRow,
    },
    /// Try again to write what could not be written.
    SaveAgain,
    /// Answer whoever asked under this number.
    Answer(AskId, Answer),
    /// Something about a deployment for the page of metrics.
    Metric(Key, Metric),
    /// Take a deployment off the page of metrics.
    ForgetMetrics(Key),
    /// How many GPUs of each group are in use, and how many are free, for the page of metrics.
    GpuGroups(Vec<(Arc<str>, u32, u32)>),
    /// How far a service's rollout is, for the page of metrics; `None`: there is none any more.
    Rollout(ServiceName, Option<RolloutTold>),
    /// Something for the log alone.
    Log(Log),
    /// Tell [`Turn`](super::Event::Turn) at this time if nothing happens before. In place of the one
    /// told before.
    Alarm(Duration),
    /// Every worker is gone after a shutdown. Nothing more is to come.
    Ended,
}

/// A worker that is put to sleep or woken.
#[derive(Debug, Clone)]
pub struct Nap {
    /// Which one.
    pub worker: WorkerId,
    /// How it is done.
    pub sleep: Arc<Sleep>,
    /// What it answered before it slept for the first time.
    pub recorded: Option<Arc<str>>,
}

/// Something to be remembered.
#[derive(Debug, Clone, PartialEq)]
pub enum Memory {
    /// A desired count.
    Desired(DesiredRow),
    /// How long a start took.
    Started(StartRow),
    /// Counts of a deployment whose scaling only advises.
    Advice(AdviceRow),
    /// The load of a day.
    Demand(DemandRow),
    /// Nothing any more of the load and the desired counts of this deployment of a service.
    NoDemand(String, String),
}

/// An answer to an [`Ask`](super::Ask).
#[derive(Debug, Clone)]
pub enum Answer {
    /// The generation of the first snapshot by the configuration.
    Applied(u64),
    /// How things are.
    Status(Box<Status>),
    /// How one service is.
    Service(Result<Box<ServiceStatus>, Unknown>),
    /// Why deployments have as many workers as they have.
    Explained(Result<Explained, Unknown>),
    /// How a service's traffic is shared.
    Traffic(Result<WeightsStatus, Declined>),
    /// What is paused.
    Pause(Result<PauseStatus, Declined>),
    /// Which revisions there are, and what was done with workers.
    Workers(Result<Box<RevisionsStatus>, Declined>),
}

/// Why something asked for was not done, or is not done for good.
#[derive(Debug, Clone, PartialEq)]
pub enum Declined {
    /// It makes no sense, or not now.
    Refused(Refused),
    /// It is done, but not in the state file yet, for this reason.
    NotWritten(Arc<str>),
    /// It is done, but the state file was closed.
    Closed,
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub about: Option<About>,
    /// In words.
    pub text: String,
}

/// What a line of the log is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The service.
    pub service: ServiceName,
    /// Its deployment, if it is about one.
    pub deployment: Option<DeploymentName>,
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It is as it should be.
    Info,
    /// Somebody may have to act on it.
    Warn,
    /// Somebody has to.
    Error,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.deployment)
    }
}
