//! The handle to a running control service.

mod failure;

use std::{path::PathBuf, sync::Arc};

use penstock_config::{
    Config, Source,
    fleet::{FleetSnapshot, LoadReport},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use self::failure::Failure;
use crate::{
    core::{Answer, Ask, Declined, PauseRequest, TrafficRequest, WorkersRequest},
    driver::{
        ExitSender, WorkerExit,
        container::{ContainerDriver, ContainerSettings},
        fixed::StaticDriver,
        process::{ProcessDriver, ProcessSettings},
    },
    explain::{Explanation, Unknown},
    history::History,
    revisions::Origin,
    secret::SecretKey,
    shell::{Command, Drivers, Ends, Shell},
    status::{PauseStatus, RevisionsStatus, ServiceStatus, Status, WeightsStatus},
    store::{ChangesQuery, JournalEntry, JournalQuery, Remembered, Store, StoreError},
    weights::Refused,
};

/// Reports waiting for the loop. A gateway whose report does not fit sends the next one a second
/// later, and that one holds all.
const REPORTS_MAX: usize = 1024;

/// Commands waiting for the loop.
const COMMANDS_MAX: usize = 64;

/// Why control could not start, or does not answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The state file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process driver.
    #[error("worker processes cannot be run: {0}")]
    Processes(std::io::Error),
    /// What was asked for makes no sense, or not now.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was asked about does not exist.
    #[error(transparent)]
    Unknown(#[from] Unknown),
    /// The loop has ended because it was to.
    #[error("control has been shut down")]
    Ended,
    /// The loop has ended although it was not to.
    #[error("{0}")]
    Failed(String),
}

impl From<Declined> for ControlError {
    fn from(why: Declined) -> Self {
        match why {
            Declined::Refused(refused) => Self::Refused(refused),
            Declined::NotWritten(reason) => Self::Store(StoreError::NotWritten(reason)),
            Declined::Closed => Self::Store(StoreError::Closed),
        }
    }
}

/// A running control service. Dropping it leaves the workers running, as a crash would; the next run takes them
/// over. To stop them use [`Control::shutdown`].
#[derive(Debug)]
pub struct Control {
    fleet: watch::Receiver<Arc<FleetSnapshot>>,
    reports: parking_lot::Mutex<Option<mpsc::Sender<LoadReport>>>,
    commands: mpsc::Sender<Command>,
    store: Store,
    history: Arc<parking_lot::Mutex<History>>,
    task: AbortHandle,
    failure: Failure,
}

impl Control {
    /// Starts control in the current tokio runtime: opens the state file, takes over the workers
    /// of an earlier run and begins to bring the fleet to what `config` asks for. `executable` is
    /// the `penstock` program, which supervises every worker process.
    ///
    /// The first snapshot is available as soon as this returns.
    ///
    /// # Errors
    ///
    /// When the state file cannot be used, or processes cannot be run on this system.
    pub async fn start(config: Arc<Config>, executable: PathBuf) -> Result<Self, ControlError> {
        let (exits, exited) = mpsc::unbounded_channel();
        let (store, remembered) = open(&config).await?;
        let drivers = drivers(&config, executable, &remembered.key, exits)?;
        Self::run(&config, drivers, exited, store, remembered).await
    }

    /// As [`Self::start`], with other drivers; `exits` is where they report workers that ended.
    ///
    /// # Errors
    ///
    /// When the state file cannot be used.
    pub async fn start_with(
        config: Arc<Config>,
        drivers: Drivers,
        exits: mpsc::UnboundedReceiver<WorkerExit>,
    ) -> Result<Self, ControlError> {
        let (store, remembered) = open(&config).await?;
        Self::run(&config, drivers, exits, store, remembered).await
    }

    async fn run(
        config: &Arc<Config>,
        drivers: Drivers,
        exits: mpsc::UnboundedReceiver<WorkerExit>,
        store: Store,
        remembered: Remembered,
    ) -> Result<Self, ControlError> {
        let (reports, reports_end) = mpsc::channel(REPORTS_MAX);
        let (commands, commands_end) = mpsc::channel(COMMANDS_MAX);
        let (snapshots, mut fleet) = watch::channel(Arc::default());
        let history = Arc::<parking_lot::Mutex<History>>::default();
        let ends = Ends {
            reports: reports_end,
            exits,
            commands: commands_end,
            snapshots,
            history: Arc::clone(&history),
        };
        let shell = Shell::new(config, drivers, store.clone(), remembered, ends);
        let failure = Failure::default();
        let task = failure.watch(shell.run());
        fleet.changed().await.map_err(|_| ControlError::Ended)?;
        let reports = parking_lot::Mutex::new(Some(reports));
        Ok(Self {
            fleet,
            reports,
            commands,
            store,
            history,
            task,
            failure,
        })
    }

    /// The fleet as it is, and as it changes.
    pub fn fleet(&self) -> watch::Receiver<Arc<FleetSnapshot>> {
        self.fleet.clone()
    }

    /// Why control works no more although nobody asked it to end. Gateways go on by the last fleet that
    /// they were told of.
    pub fn failure(&self) -> Option<String> {
        self.failure.reason()
    }

    /// Where gateways send their load reports. Nobody listens any more once control shuts down.
    pub fn reports(&self) -> mpsc::Sender<LoadReport> {
        let reports = self.reports.lock().clone();
        reports.unwrap_or_else(|| mpsc::channel(1).0)
    }

    /// Follows another configuration from now on, which came in this way. Log settings and the state file stay as
    /// they were at the start. Returns the generation of the first snapshot that follows it; 0 when
    /// control has been shut down.
    pub async fn apply(&self, config: Arc<Config>, origin: Origin) -> u64 {
        match self.ask(Ask::Apply(config, origin)).await {
            Ok(Answer::Applied(generation)) => generation,
            _ => 0,
        }
    }

    /// Notes for the status why a new configuration was not taken over.
    pub async fn config_rejected(&self, error: String) {
        self.command(Command::Rejected(error)).await;
    }

    /// How things are.
    ///
    /// # Errors
    ///
    /// When control has been shut down.
    pub async fn status(&self) -> Result<Status, ControlError> {
        match self.ask(Ask::Status).await? {
            Answer::Status(status) => Ok(*status),
            _ => Err(self.ended()),
        }
    }

    /// How one service is.
    ///
    /// # Errors
    ///
    /// When there is no such service, or control has been shut down.
    pub async fn service(&self, name: String) -> Result<ServiceStatus, ControlError> {
        match self.ask(Ask::Service(name)).await? {
            Answer::Service(service) => Ok(*service?),
            _ => Err(self.ended()),
        }
    }

    /// Changes how a service's traffic is shared, or only tells. When this returns the change is in
    /// the state file and the gateways are being told.
    pub(crate) async fn traffic(
        &self,
        request: TrafficRequest,
    ) -> Result<WeightsStatus, ControlError> {
        match self.ask(Ask::Traffic(request)).await? {
            Answer::Traffic(status) => Ok(status?),
            _ => Err(self.ended()),
        }
    }

    /// Pauses or resumes a service or a deployment, or only tells. When this returns the change is in
    /// the state file and the gateways are being told.
    pub(crate) async fn pause(&self, request: PauseRequest) -> Result<PauseStatus, ControlError> {
        match self.ask(Ask::Pause(request)).await? {
            Answer::Pause(status) => Ok(status?),
            _ => Err(self.ended()),
        }
    }

    /// Does something with the workers of a deployment, or only tells of its revisions. When this returns
    /// the change is in the state file.
    pub(crate) async fn workers(
        &self,
        request: WorkersRequest,
    ) -> Result<RevisionsStatus, ControlError> {
        match self.ask(Ask::Workers(request)).await? {
            Answer::Workers(status) => Ok(*status?),
            _ => Err(self.ended()),
        }
    }

    /// Why the deployments of a service, or one of them, have as many workers as they have: the
    /// decisions now, and the last `changes` since `since_ms` (milliseconds since 1970).
    ///
    /// # Errors
    ///
    /// When there is no such service or deployment, control has been shut down, or the state file
    /// cannot be read.
    pub async fn explain(
        &self,
        service: String,
        deployment: Option<String>,
        changes: u32,
        since_ms: u64,
    ) -> Result<Vec<Explanation>, ControlError> {
        let asked = self.ask(Ask::Explain(service.clone(), deployment));
        let Answer::Explained(decided) = asked.await? else {
            return Err(self.ended());
        };
        let decided = decided?;
        let mut explained = Vec::with_capacity(decided.len());
        for (deployment, present) in decided {
            let query = ChangesQuery {
                service: service.clone(),
                deployment: deployment.clone(),
                changes,
                since_ms,
            };
            let journal = self.store.changes(query).await?;
            explained.push(Explanation {
                service: service.clone(),
                deployment,
                present,
                journal,
            });
        }
        Ok(explained)
    }

    /// How deployments did in the last minutes, for as long as it is looked at: control waits meanwhile.
    pub(crate) fn history(&self) -> parking_lot::MutexGuard<'_, History> {
        self.history.lock()
    }

    /// What was decided and what happened, newest first.
    ///
    /// # Errors
    ///
    /// When the state file cannot be read.
    pub async fn journal(&self, query: JournalQuery) -> Result<Vec<JournalEntry>, ControlError> {
        Ok(self.store.journal(query).await?)
    }

    /// Drains and stops every worker; returns when all are gone and the state file is closed.
    /// Gateways should have finished, or be about to: a worker is stopped as soon as the newest
    /// reports show nothing in flight on it.
    pub async fn shutdown(&self) {
        self.failure.is_no_failure_any_more();
        // With the gateways' own senders dropped too, nothing is in flight any more.
        self.reports.lock().take();
        let (done, gone) = oneshot::channel();
        self.command(Command::Shutdown(done)).await;
        // An error means that it was shut down before.
        let _ = gone.await;
        self.store.close().await;
    }

    /// Ends workers at once, without waiting for their requests or for themselves, while
    /// [`Self::shutdown`] is under way.
    pub async fn hurry(&self) {
        self.command(Command::Hurry).await;
    }

    /// Ends as a crash would, leaving the workers to the next run; returns when the state file is
    /// free. For tests.
    #[doc(hidden)]
    pub async fn crash(&self) {
        self.task.abort();
        self.store.close().await;
    }

    /// Makes the loop panic. For tests.
    #[doc(hidden)]
    pub async fn break_down(&self) {
        self.command(Command::BreakDown).await;
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Ask(ask, reply)).await;
        answer.await.map_err(|_| self.ended())
    }

    /// Why there is no answer.
    fn ended(&self) -> ControlError {
        self.failure()
            .map_or(ControlError::Ended, ControlError::Failed)
    }

    async fn command(&self, command: Command) {
        // Whoever waits for an answer learns from its absence.
        let _ = self.commands.send(command).await;
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn open(config: &Config) -> Result<(Store, Remembered), ControlError> {
    let path = config.admin.state.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path)).await;
    Ok(opened.map_err(|_| StoreError::Closed)??)
}

fn drivers(
    config: &Config,
    executable: PathBuf,
    key: &SecretKey,
    exits: ExitSender,
) -> Result<Drivers, ControlError> {
    let settings = ProcessSettings {
        executable,
        installation: config.admin.state.to_string_lossy().into_owned(),
        logs: config.worker_logs.clone(),
    };
    let process = ProcessDriver::new(settings, exits.clone()).map_err(ControlError::Processes)?;
    let settings = ContainerSettings {
        // By the key beside the state and not by its path: an engine may serve many machines' worth of
        // installations, each of which has its state at /data/penstock.db.
        installation: key.digest("installation of containers")[..32].to_owned(),
        socket: config.containers.socket.clone(),
        is_used: config.services.values().any(|service| {
            let mut deployments = service.deployments.values();
            deployments.any(|deployment| matches!(deployment.source, Source::Container(_)))
        }),
        logs: config.worker_logs.clone(),
        resources: process.resources(),
    };
    Ok(Drivers {
        container: Arc::new(ContainerDriver::new(settings, exits.clone())),
        process: Arc::new(process),
        fixed: Arc::new(StaticDriver::new(exits)),
    })
}
