//! Calls drivers, outside the loop. What comes of a call comes back as a fact.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use penstock_config::{Source, fleet::WorkerId};
use tokio::sync::{Semaphore, mpsc};

use super::{gpu_memory::GpuMemory, sleep::Sleeper};
use crate::{
    core::{NewWorker, StartError},
    driver::{Driver, StartedWorker},
    remembered::{SleepNote, SleepState, WorkerRow},
    store::Store,
};

/// Starts at once. Each forks a process and waits for its first sign of life.
const STARTS_MAX: usize = 32;

/// Starts of containers at once. Most of the time they wait for one and the same pull.
const CONTAINER_STARTS_MAX: usize = 512;

/// Stops at once. Each mostly waits for a process to end.
const STOPS_MAX: usize = 512;

/// What came of a driver call.
#[derive(Debug)]
pub(super) enum Fact {
    /// A worker exists, or could not be started.
    Started(WorkerId, Result<StartedWorker, StartError>),
    /// How far the start of a worker is, for people.
    Progress(WorkerId, Arc<str>),
    /// The image of a worker is there, or why it is not.
    Prepared(WorkerId, Result<(), StartError>),
    /// A start that had not begun was called off.
    CalledOff(WorkerId),
    /// A worker of an earlier run was taken over, or is not there any more.
    Adopted(WorkerId, Option<StartedWorker>),
    /// Nothing is left of a worker.
    Stopped(WorkerId),
    /// A worker sleeps, with what it answered before; or it could not be put to sleep.
    Slept(WorkerId, Result<Option<Arc<str>>, String>),
    /// A worker is awake again, or could not be woken.
    Woke(WorkerId, Result<(), String>),
    /// Workers of earlier runs that nobody knows are gone.
    Swept,
}

/// A flag that is set once: a start that still waits for its turn is not to begin.
#[derive(Debug, Clone, Default)]
pub(super) struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The drivers, by what they start.
#[derive(Clone)]
pub struct Drivers {
    /// For `process`.
    pub process: Arc<dyn Driver>,
    /// For `container`.
    pub container: Arc<dyn Driver>,
    /// For `static`.
    pub fixed: Arc<dyn Driver>,
}

impl Drivers {
    fn of(&self, source: &Source) -> Arc<dyn Driver> {
        Arc::clone(match source {
            Source::Process(_) => &self.process,
            Source::Container(_) => &self.container,
            Source::Static(_) => &self.fixed,
        })
    }
}

/// Runs driver calls as tasks, a bounded number at a time.
#[derive(Clone)]
pub(super) struct Executor {
    drivers: Drivers,
    store: Store,
    /// Unbounded, but for each call there is at most one fact, and for each worker one call.
    facts: mpsc::UnboundedSender<Fact>,
    starts: Arc<Semaphore>,
    /// Those of containers, which may wait for a pull: the others must not wait for them.
    container_starts: Arc<Semaphore>,
    stops: Arc<Semaphore>,
    /// Tells when GPUs that a worker had can be used by the next.
    memory: GpuMemory,
}

impl Executor {
    pub(super) fn new(drivers: Drivers, store: Store, facts: mpsc::UnboundedSender<Fact>) -> Self {
        let told = facts.clone();
        drivers.container.tell_progress(Arc::new(move |id, text| {
            // The loop has ended; nobody wants to know.
            let _ = told.send(Fact::Progress(id, text.into()));
        }));
        Self {
            drivers,
            store,
            facts,
            starts: Arc::new(Semaphore::new(STARTS_MAX)),
            container_starts: Arc::new(Semaphore::new(CONTAINER_STARTS_MAX)),
            stops: Arc::new(Semaphore::new(STOPS_MAX)),
            memory: GpuMemory::default(),
        }
    }

    pub(super) fn start(&self, new: NewWorker, revision: Arc<str>, cancelled: Cancelled) {
        let this = self.clone();
        tokio::spawn(async move {
            let fact = this.run_start(new, &revision, &cancelled).await;
            this.tell(fact);
        });
    }

    /// Has all brought that a worker needs before it is given GPUs.
    pub(super) fn prepare(&self, new: NewWorker, cancelled: Cancelled) {
        let this = self.clone();
        tokio::spawn(async move {
            let turn = this.container_starts.acquire().await;
            let fact = if cancelled.is_set() {
                Fact::CalledOff(new.id)
            } else {
                let result = this.drivers.of(&new.spec.source).prepare(&new).await;
                Fact::Prepared(new.id, result)
            };
            drop(turn);
            this.tell(fact);
        });
    }

    async fn run_start(&self, new: NewWorker, revision: &str, cancelled: &Cancelled) -> Fact {
        let starts = match new.spec.source {
            Source::Container(_) => &self.container_starts,
            Source::Process(_) | Source::Static(_) => &self.starts,
        };
        let _turn = starts.acquire().await;
        if cancelled.is_set() {
            return Fact::CalledOff(new.id);
        }
        // Written down before it exists: control may be killed at any moment, and the next run
        // must find whatever there is.
        self.store.put_worker(row(&new, revision, "")).await;
        let result = self.drivers.of(&new.spec.source).start(&new).await;
        match &result {
            Ok(started) => {
                self.store
                    .put_worker(row(&new, revision, &started.saved))
                    .await
            }
            Err(_) => self.store.forget_worker(new.id.to_string()).await,
        }
        Fact::Started(new.id, result)
    }

    /// Hastens the end of a start that is under way and not wanted any more.
    pub(super) fn call_off(&self, new: &NewWorker) {
        self.drivers.of(&new.spec.source).call_off(&new.id);
    }

    pub(super) fn stop(&self, new: &NewWorker) {
        let (this, new) = (self.clone(), new.clone());
        tokio::spawn(async move {
            this.run_stop(&new).await;
            if let Some(gpus) = &new.gpus {
                this.memory.until_free(gpus).await;
            }
            this.tell(Fact::Stopped(new.id));
        });
    }

    pub(super) fn put_to_sleep(
        &self,
        sleeper: Sleeper,
        gpus: Option<Arc<[String]>>,
        recorded: Option<Arc<str>>,
    ) {
        let this = self.clone();
        tokio::spawn(async move {
            let id = sleeper.id.clone();
            let result = this.run_sleep(&sleeper, gpus, recorded).await;
            this.tell(Fact::Slept(id, result));
        });
    }

    async fn run_sleep(
        &self,
        sleeper: &Sleeper,
        gpus: Option<Arc<[String]>>,
        recorded: Option<Arc<str>>,
    ) -> Result<Option<Arc<str>>, String> {
        let recorded = match recorded {
            None => sleeper.record().await?,
            known => known,
        };
        // Written down before it is asked: a next run must know that it may sleep.
        let id = &sleeper.id;
        self.put_sleep(id, SleepState::FallingAsleep, recorded.as_deref())
            .await;
        sleeper.fall_asleep().await?;
        if let Some(gpus) = gpus {
            self.memory.until_given_up(&gpus).await;
        }
        // And before others are given its GPUs.
        self.put_sleep(id, SleepState::Asleep, recorded.as_deref())
            .await;
        Ok(recorded)
    }

    pub(super) fn wake(&self, sleeper: Sleeper, recorded: Option<Arc<str>>) {
        let this = self.clone();
        tokio::spawn(async move {
            let (id, recorded) = (&sleeper.id, recorded.as_deref());
            this.put_sleep(id, SleepState::Waking, recorded).await;
            let result = sleeper.wake_up(recorded).await;
            if result.is_ok() {
                this.put_sleep(id, SleepState::Awake, recorded).await;
            }
            this.tell(Fact::Woke(sleeper.id, result));
        });
    }

    async fn put_sleep(&self, id: &WorkerId, state: SleepState, recorded: Option<&str>) {
        let note = SleepNote {
            state,
            recorded: recorded.map(str::to_owned),
        };
        self.store.put_sleep(id.to_string(), note.to_text()).await;
    }

    /// Everything ends: nobody uses a GPU after whoever has it now.
    pub(super) fn end(&self) {
        self.memory.wait_no_more();
    }

    /// Ends at once, now and from now on, what would be given time to end.
    pub(super) fn hurry(&self) {
        self.drivers.process.hurry();
        self.drivers.container.hurry();
        self.drivers.fixed.hurry();
    }

    async fn run_stop(&self, new: &NewWorker) {
        let _turn = self.stops.acquire().await;
        self.drivers.of(&new.spec.source).stop(&new.id).await;
        self.store.forget_worker(new.id.to_string()).await;
    }

    /// A worker ended by itself.
    pub(super) fn forget(&self, id: WorkerId) {
        let store = self.store.clone();
        tokio::spawn(async move { store.forget_worker(id.to_string()).await });
    }

    pub(super) fn adopt(&self, new: NewWorker, saved: String) {
        let this = self.clone();
        tokio::spawn(async move {
            let found = this.drivers.of(&new.spec.source).adopt(&new, &saved).await;
            if found.is_none() {
                this.store.forget_worker(new.id.to_string()).await;
            }
            this.tell(Fact::Adopted(new.id, found));
        });
    }

    /// Ends the workers of earlier runs that are not among `kept`.
    pub(super) fn sweep(&self, kept: Vec<WorkerId>) {
        let this = self.clone();
        tokio::spawn(async move {
            let (processes, containers) = tokio::join!(
                this.drivers.process.sweep(&kept),
                this.drivers.container.sweep(&kept)
            );
            for id in processes.into_iter().chain(containers) {
                tracing::warn!(worker = %id, "ended a worker of an earlier run that nobody knows");
            }
            this.tell(Fact::Swept);
        });
    }

    pub(super) fn tell(&self, fact: Fact) {
        // The loop has ended; nobody wants to know.
        let _ = self.facts.send(fact);
    }
}

fn row(new: &NewWorker, revision: &str, saved: &str) -> WorkerRow {
    WorkerRow {
        id: new.id.to_string(),
        service: new.service.to_string(),
        deployment: new.deployment.to_string(),
        slot: new.slot,
        revision: revision.to_owned(),
        saved: saved.to_owned(),
        sleep: String::new(),
    }
}
