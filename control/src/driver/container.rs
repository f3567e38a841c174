//! Workers as containers of Docker or Podman on this machine.
//!
//! The engine keeps containers alive, and what they write, when control crashes; labels lead the next run
//! of control to its own, and only to those. While the engine is away, workers that run are served on.

mod adopt;
mod create;
mod credentials;
mod engine;
mod exit;
mod image;
mod label;
mod life;
mod output;
mod progress;
mod saved;
mod shared;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{ContainerSpec, Source, WorkerLogs, fleet::WorkerId};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use self::{
    engine::{Engine, Trouble},
    image::Pulls,
    life::Life,
    shared::Shared,
};
use crate::driver::{
    Driver, ExitSender, NewWorker, ProgressSender, StartError, StartedWorker, process::Resources,
};

/// How long a stop waits for an engine beyond the time that the container has. Then it goes on behind
/// the scenes.
const STOP_MARGIN: Duration = Duration::from_secs(15);

/// How long an engine may take to kill a container and to remove it.
const HURRIED_END: Duration = Duration::from_secs(5);

/// How long the first starts wait for what an earlier run has left.
const BEGIN_LIMIT: Duration = Duration::from_secs(15);

/// How often an engine that is away is asked again for containers that nobody knows.
const SWEEP_AGAIN: Duration = Duration::from_secs(2);

/// How this installation runs containers.
#[derive(Debug, Clone)]
pub struct ContainerSettings {
    /// Tells the containers of this installation from those of others at the same engine.
    pub installation: String,
    /// The engine's socket, if the configuration names it.
    pub socket: Option<PathBuf>,
    /// Whether there is anything in the configuration that runs as a container: else nobody waits for an
    /// engine.
    pub is_used: bool,
    /// Where the output of workers goes.
    pub logs: WorkerLogs,
    /// What workers of all kinds share.
    pub resources: Resources,
}

/// Runs workers as containers.
///
/// Dropping it leaves the containers running, as a crash would.
pub struct ContainerDriver {
    shared: Arc<Shared>,
    /// Becomes true when no worker has time left to end by itself.
    hurry: watch::Sender<bool>,
    sweeper: Mutex<Option<AbortHandle>>,
}

/// How to stop a worker that the driver follows.
struct Running {
    stop: watch::Sender<bool>,
    /// Closed when nothing of the worker is left.
    gone: watch::Receiver<()>,
    grace: Duration,
    task: AbortHandle,
}

impl ContainerDriver {
    /// A driver without workers. The engine is not asked yet.
    pub fn new(settings: ContainerSettings, exits: ExitSender) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine: Arc::new(Engine::new(settings.socket)),
                pulls: Pulls::default(),
                installation: settings.installation,
                logs: settings.logs,
                ports: settings.resources.ports,
                exits,
                progress: Mutex::default(),
                workers: Mutex::default(),
                spared: Mutex::default(),
                is_used: AtomicBool::new(settings.is_used),
                sweep: tokio::sync::Notify::new(),
            }),
            hurry: watch::channel(false).0,
            sweeper: Mutex::default(),
        }
    }

    /// Notes a worker and runs its life. The note goes when nothing of the worker is left.
    fn follow<F>(&self, worker: &NewWorker, grace: Duration, run: impl FnOnce(Life) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stop_wanted) = watch::channel(false);
        let (here, gone) = watch::channel(());
        let life = run(Life {
            shared: Arc::clone(&self.shared),
            worker: worker.clone(),
            stop: stop_wanted,
            hurry: self.hurry.subscribe(),
        });
        let (id, shared) = (worker.id.clone(), Arc::clone(&self.shared));
        // Locked until the note is there, so that the task cannot remove it before.
        let mut workers = self.shared.workers.lock();
        let task = tokio::spawn(async move {
            life.await;
            shared.workers.lock().remove(&id);
            drop(here);
        });
        let running = Running {
            stop,
            gone,
            grace,
            task: task.abort_handle(),
        };
        workers.insert(worker.id.clone(), running);
    }

    /// Ends what nobody knows once the engine can be asked; now and whenever something was left behind.
    fn keep_swept(&self) {
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            loop {
                shared.sweep.notified().await;
                while shared.sweep_now().await.is_err() {
                    sleep(SWEEP_AGAIN).await;
                }
            }
        });
        let before = self.sweeper.lock().replace(task.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for ContainerDriver {
    fn drop(&mut self) {
        if let Some(sweeper) = self.sweeper.lock().take() {
            sweeper.abort();
        }
        for worker in self.shared.workers.lock().values() {
            worker.task.abort();
        }
    }
}

#[async_trait]
impl Driver for ContainerDriver {
    async fn prepare(&self, worker: &NewWorker) -> Result<(), StartError> {
        self.shared.is_used.store(true, Ordering::Relaxed);
        let grace = container_spec(worker)?.stop_grace;
        let (tell, told) = oneshot::channel();
        self.follow(worker, grace, |life| life.prepare(tell));
        let ending = || Err(StartError::Failed("control is ending".to_owned()));
        told.await.unwrap_or_else(|_| ending())
    }

    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError> {
        self.shared.is_used.store(true, Ordering::Relaxed);
        let grace = container_spec(worker)?.stop_grace;
        let log = self.shared.log_of(worker);
        let (tell, told) = oneshot::channel();
        self.follow(worker, grace, |life| life.start(log, tell));
        let ending = || Err(StartError::Failed("control is ending".to_owned()));
        told.await.unwrap_or_else(|_| ending())
    }

    fn call_off(&self, id: &WorkerId) {
        if let Some(worker) = self.shared.workers.lock().get(id) {
            worker.stop.send_replace(true);
        }
    }

    async fn stop(&self, id: &WorkerId) {
        let running = self.shared.workers.lock().get(id).map(|worker| {
            worker.stop.send_replace(true);
            (worker.gone.clone(), worker.grace)
        });
        let Some((mut gone, grace)) = running else {
            return;
        };
        // An error is what is waited for: the task has let go of its end.
        let all = async { while gone.changed().await.is_ok() {} };
        let mut hurry = self.hurry.subscribe();
        let no_time_left = async {
            tokio::select! {
                () = sleep(grace + STOP_MARGIN) => {}
                () = async { life::wanted(&mut hurry).await; sleep(HURRIED_END).await } => {}
            }
        };
        let is_gone = tokio::select! {
            () = all => true,
            () = no_time_left => false,
        };
        if !is_gone {
            tracing::warn!(
                worker = %id,
                "a container is not gone yet because its engine does not answer; it is ended as soon as it does, by the next run of penstock if need be"
            );
        }
    }

    fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker> {
        self.shared.is_used.store(true, Ordering::Relaxed);
        self.adopt_or_end(worker, saved).await
    }

    fn tell_progress(&self, to: ProgressSender) {
        *self.shared.progress.lock() = Some(to);
    }

    async fn sweep(&self, known: &[WorkerId]) -> Vec<WorkerId> {
        let shared = &self.shared;
        {
            let mut spared = shared.spared.lock();
            let waiting = known.iter().filter(|id| !spared.tried.contains(*id));
            spared.waiting = waiting.cloned().collect();
        }
        self.keep_swept();
        let is_used = shared.is_used.load(Ordering::Relaxed);
        if !is_used && !shared.engine.may_be_there() {
            return Vec::new();
        }
        match in_time(shared.sweep_now()).await {
            Ok(ended) => ended,
            Err(trouble) if is_used => {
                tracing::warn!(reason = %trouble, "containers of an earlier run are looked for as soon as their engine answers");
                shared.sweep_later();
                Vec::new()
            }
            // Somebody else's engine, which we may not use.
            Err(_) => Vec::new(),
        }
    }
}

/// What is asked of the engine before anything is started, on this machine: nobody waits for long.
async fn in_time<T>(asked: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let too_late = |_| {
        Err(Trouble::Away(
            "the container engine takes too long".to_owned(),
        ))
    };
    timeout(BEGIN_LIMIT, asked).await.unwrap_or_else(too_late)
}

fn container_spec(worker: &NewWorker) -> Result<&ContainerSpec, StartError> {
    match &worker.spec.source {
        Source::Container(spec) => Ok(spec),
        Source::Process(_) | Source::Static(_) => {
            let message = format!("{} is not made of containers", worker.deployment);
            Err(StartError::Failed(message))
        }
    }
}

/// What people call a worker.
fn title(worker: &NewWorker) -> String {
    format!("{}/{}#{}", worker.service, worker.deployment, worker.slot)
}
