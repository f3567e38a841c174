//! Workers as processes of this machine.
//!
//! Every worker has a [supervisor](supervise) between itself and control, so that it outlives a crash of
//! control with its log and with all it started still in one place. What the state of control
//! keeps of a worker leads the next run of control back to its supervisor.
//!
//! Linux 5.3 or later: processes are held by pidfd, so that a number that went to somebody else
//! is never signalled.

mod children;
mod command;
mod end;
pub(crate) mod gpu;
mod identity;
mod launch;
mod life;
mod listener;
pub mod logs;
pub(crate) mod port;
mod saved;
mod supervisor;
mod tree;

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use penstock_config::{ProcessSpec, Source, WorkerLogs, fleet::WorkerId};
use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
};

use self::{
    launch::Launch,
    life::Life,
    port::{Port, Ports},
    saved::Saved,
};
use crate::driver::{
    Driver, ExitSender, NewWorker, StartError, StartedWorker,
    numa::{Near, Numa},
};

pub use self::{
    command::missing_program,
    listener::ProcessTree,
    supervisor::{
        clean::{close_inherited_descriptors, raise_open_files},
        supervise,
    },
};
pub(crate) use self::{
    command::{fill, find as find_program},
    identity::{Identity, Watch},
    launch::inherited,
    listener::{Listener, holder, must_be_the_workers},
    supervisor::{
        EXIT_NOTE,
        clean::open_files_before,
        describe,
        lines::Lines,
        log_file::LogWriter,
        output::{for_reason, time as log_time},
        wire::LogOrder,
    },
};

/// First argument that makes this executable a supervisor; see [`supervise`].
pub const SUPERVISE: &str = "supervise";

/// How this installation runs processes.
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// The `penstock` executable: the supervisor of every worker, and what a command that begins
    /// with `penstock` means. Normally `std::env::current_exe()`.
    pub executable: PathBuf,
    /// Tells the workers of this installation from those of others on the same machine: the
    /// absolute path of the state file is a good one.
    pub installation: String,
    /// Where the output of workers goes.
    pub logs: WorkerLogs,
}

/// The ports of this machine, of which each worker has its own.
#[derive(Debug, Clone)]
pub struct Resources {
    pub(crate) ports: Arc<Ports>,
}

/// Runs workers as processes.
///
/// Dropping it leaves the workers running, as a crash would.
#[derive(Debug)]
pub struct ProcessDriver {
    settings: ProcessSettings,
    ports: Arc<Ports>,
    numa: Numa,
    exits: ExitSender,
    workers: Arc<Mutex<HashMap<WorkerId, Running>>>,
    /// Becomes true when no worker has time left to end by itself.
    hurry: watch::Sender<bool>,
}

/// How to stop a worker that the driver follows.
#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    /// Closed when nothing of the worker is left.
    gone: watch::Receiver<()>,
    task: AbortHandle,
}

impl ProcessDriver {
    /// A driver without workers.
    ///
    /// # Errors
    ///
    /// When this process cannot become a child subreaper.
    pub fn new(settings: ProcessSettings, exits: ExitSender) -> io::Result<Self> {
        children::adopt_orphans()?;
        // The installation is told by its state file, and what is beside that belongs to it too.
        let state = Path::new(&settings.installation);
        Ok(Self {
            ports: Arc::new(Ports::new(state.parent().unwrap_or(state))),
            numa: Numa::default(),
            workers: Arc::default(),
            hurry: watch::channel(false).0,
            settings,
            exits,
        })
    }

    /// Finds the CPUs near GPUs by these files.
    pub fn with_numa(mut self, numa: Numa) -> Self {
        self.numa = numa;
        self
    }

    /// What workers of other drivers share with those of this one.
    pub fn resources(&self) -> Resources {
        Resources {
            ports: Arc::clone(&self.ports),
        }
    }

    /// All that a start needs, or why it cannot be.
    fn launch(&self, worker: &NewWorker) -> Result<(Launch, Port), StartError> {
        let spec = process_spec(worker)?;
        let holder = title(worker);
        let no_port = || StartError::NoRoom("no port from 20000 to 29999 is free".to_owned());
        let port = self.ports.claim().ok_or_else(no_port)?;
        let executable = &self.settings.executable;
        let program =
            command::program(spec, port.number, executable).map_err(StartError::Failed)?;
        let launch = Launch {
            executable: launch::supervisor_file(executable),
            title: holder,
            program,
            env: launch::environment(
                spec,
                port.number,
                visible_gpus(spec, worker),
                &worker.id,
                &self.settings.installation,
            ),
            directory: spec.directory.clone(),
            stop_grace: spec.stop_grace,
            cpus: None,
            log: self.log(worker),
        };
        Ok((launch, port))
    }

    fn log(&self, worker: &NewWorker) -> LogOrder {
        logs::order(
            &self.settings.logs,
            &worker.service,
            &worker.deployment,
            worker.slot,
        )
    }

    /// Notes a worker and runs its life. The note goes when nothing of the worker is left.
    fn follow<F>(
        &self,
        worker: &NewWorker,
        port: Port,
        gpus: Vec<String>,
        run: impl FnOnce(Life) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stop_wanted) = watch::channel(false);
        let (here, gone) = watch::channel(());
        let life = run(Life {
            id: worker.id.clone(),
            installation: self.settings.installation.clone(),
            exits: self.exits.clone(),
            stop: stop_wanted,
            hurry: self.hurry.subscribe(),
            port,
            gpus,
        });
        let (id, notes) = (worker.id.clone(), Arc::clone(&self.workers));
        // Locked until the note is there, so that the task cannot remove it before.
        let mut workers = self.workers.lock();
        let task = tokio::spawn(async move {
            life.await;
            notes.lock().remove(&id);
            drop(here);
        });
        let task = task.abort_handle();
        workers.insert(worker.id.clone(), Running { stop, gone, task });
    }
}

impl Drop for ProcessDriver {
    fn drop(&mut self) {
        for worker in self.workers.lock().values() {
            worker.task.abort();
        }
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    async fn start(&self, worker: &NewWorker) -> Result<StartedWorker, StartError> {
        let (mut launch, port) = self.launch(worker)?;
        let gpus = worker.gpus.as_deref().unwrap_or_default().to_vec();
        if process_spec(worker)?.numa {
            launch.cpus = Some(near(&self.numa, worker, &gpus).await);
        }
        let (tell, told) = oneshot::channel();
        self.follow(worker, port, gpus, |life| life.start(launch, tell));
        let saved = told
            .await
            .unwrap_or_else(|_| Err("control is ending".to_owned()));
        Ok(started(&saved.map_err(StartError::Failed)?))
    }

    async fn stop(&self, id: &WorkerId) {
        let gone = self.workers.lock().get(id).map(|worker| {
            worker.stop.send_replace(true);
            worker.gone.clone()
        });
        if let Some(mut gone) = gone {
            // An error is what is waited for: the task has let go of its end.
            while gone.changed().await.is_ok() {}
        }
    }

    fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    async fn adopt(&self, worker: &NewWorker, saved: &str) -> Option<StartedWorker> {
        let saved = Saved::from_text(saved);
        let both = saved.as_ref().and_then(follow_living);
        let (Some(saved), Some((supervisor, process))) = (saved, both) else {
            end::worker(&worker.id.0, &self.settings.installation, None).await;
            return None;
        };
        let gpus = saved.gpus.clone();
        let port = self.ports.reclaim(saved.port);
        let started = started(&saved);
        self.follow(worker, port, gpus, |life| {
            life.adopt(saved, supervisor, process)
        });
        Some(started)
    }

    async fn sweep(&self, known: &[WorkerId]) -> Vec<WorkerId> {
        let known: HashSet<WorkerId> = known.iter().cloned().collect();
        let workers = Arc::clone(&self.workers);
        // Workers are noted before they are started, so that none is seen and not known.
        let is_known = move |id: &str| {
            let id = WorkerId(id.into());
            known.contains(&id) || workers.lock().contains_key(&id)
        };
        let ended = end::unknown(is_known, self.settings.installation.clone()).await;
        ended.into_iter().map(|id| WorkerId(id.into())).collect()
    }
}

/// Supervisor and worker, if both run.
fn follow_living(saved: &Saved) -> Option<(Watch, Watch)> {
    let (supervisor, worker) = (saved.supervisor.open()?, saved.worker.open()?);
    let both_live = saved.supervisor.lives() && saved.worker.lives();
    both_live.then_some((supervisor.watch().ok()?, worker.watch().ok()?))
}

fn started(saved: &Saved) -> StartedWorker {
    StartedWorker {
        address: port::address(saved.port),
        processes: Some(ProcessTree::below(saved.supervisor)),
        gpus: saved.gpus.clone(),
        saved: saved.to_text(),
    }
}

/// What `CUDA_VISIBLE_DEVICES` becomes. A worker that asked for no GPU sees none of those that are
/// handed out, unless its own environment says otherwise.
fn visible_gpus<'w>(spec: &ProcessSpec, worker: &'w NewWorker) -> Option<&'w [String]> {
    let own_choice = spec.env.contains_key("CUDA_VISIBLE_DEVICES");
    let gpus = worker.gpus.as_deref()?;
    (!own_choice || !spec.gpus.is_none()).then_some(gpus)
}

fn process_spec(worker: &NewWorker) -> Result<&ProcessSpec, StartError> {
    match &worker.spec.source {
        Source::Process(spec) => Ok(spec),
        Source::Container(_) | Source::Static(_) => {
            let message = format!("{} is not made of processes", worker.deployment);
            Err(StartError::Failed(message))
        }
    }
}

/// The CPUs near the GPUs of a worker. Why they are not known is a warning too.
pub(crate) async fn near(numa: &Numa, worker: &NewWorker, gpus: &[String]) -> Result<Near, String> {
    let near = numa.near(gpus).await;
    if let Err(why) = &near {
        tracing::warn!(worker = title(worker), %why, "numa = true: the worker runs on all CPUs");
    }
    near
}

/// What people call a worker.
fn title(worker: &NewWorker) -> String {
    format!("{}/{}#{}", worker.service, worker.deployment, worker.slot)
}
