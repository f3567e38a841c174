//! The machine that workers run on: what drivers were asked for, what runs, and what must never be.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use penstock_config::fleet::WorkerId;

use crate::{
    core::{Effect, Event, NewWorker, StartError, WorkerExit},
    remembered::{SleepNote, SleepState, WorkerRow},
};

/// What is written down of a worker that exists.
const SAVED: &str = "here";

/// Something that a driver was asked for and that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Bring the image of a worker.
    Prepare(WorkerId),
    /// Start a worker.
    Start(WorkerId),
    /// End a worker.
    Stop(WorkerId),
    /// Make a worker give its GPUs up.
    Sleep(WorkerId),
    /// Make it take them again.
    Wake(WorkerId),
    /// Take over a worker of an earlier run.
    Adopt(WorkerId),
    /// End what earlier runs left.
    Sweep,
}

/// One worker as it is, whatever control thinks of it.
#[derive(Debug, Clone)]
pub struct Process {
    /// What was asked for.
    pub worker: NewWorker,
    /// What tells what it runs from what others of its deployment run.
    pub revision: Arc<str>,
    /// Whether there is a process: not while it is being started, nor when it died.
    pub runs: bool,
    /// Whether this run of control had it ended.
    pub ends: bool,
    /// Whether it ended by itself, and is not cleaned up yet.
    died: bool,
    called_off: bool,
    /// Whether an earlier run of control started it, and this one has not taken it over.
    is_left: bool,
    /// What the driver wrote down of it.
    saved: &'static str,
    /// What is written down of its sleep.
    sleep: SleepState,
    /// Whether it is without the memory of its GPUs, which others may have.
    gave_up: bool,
}

impl Process {
    fn new(worker: NewWorker, revision: Arc<str>) -> Self {
        Self {
            worker,
            revision,
            runs: false,
            ends: false,
            died: false,
            called_off: false,
            is_left: false,
            saved: "",
            sleep: SleepState::Awake,
            gave_up: false,
        }
    }

    /// What the state file has of it.
    pub fn row(&self) -> WorkerRow {
        WorkerRow {
            id: self.worker.id.to_string(),
            service: self.worker.service.to_string(),
            deployment: self.worker.deployment.to_string(),
            slot: self.worker.slot,
            revision: self.revision.to_string(),
            saved: self.saved.to_owned(),
            sleep: match self.sleep {
                SleepState::Awake => String::new(),
                state => SleepNote {
                    state,
                    recorded: None,
                }
                .to_text(),
            },
        }
    }

    /// Whether it neither sleeps nor is on its way there or back.
    pub fn is_awake(&self) -> bool {
        self.sleep == SleepState::Awake
    }

    /// The GPUs that it has now: while it sleeps, none.
    pub fn gpus(&self) -> &[String] {
        if self.gave_up {
            return &[];
        }
        self.worker.gpus.as_deref().unwrap_or_default()
    }
}

/// Everything that drivers were asked to run and that is not gone.
#[derive(Debug, Default)]
pub struct Machine {
    processes: BTreeMap<WorkerId, Process>,
    /// Those that a sweep spares.
    spared: Vec<WorkerId>,
    faults: Vec<String>,
}

impl Machine {
    /// What was asked for that must never be: two workers on one GPU or in one place, the end of a worker
    /// that is nowhere.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// All that is not gone, in the order of identities.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// One of them.
    pub fn get(&self, id: &WorkerId) -> Option<&Process> {
        self.processes.get(id)
    }

    /// Those that run.
    pub fn running(&self) -> impl Iterator<Item = &Process> {
        self.processes().filter(|process| process.runs)
    }

    /// Does what the core wants done, as far as it is about workers. What takes time comes back as a job, which
    /// is to be [`done`](Self::done) or to [`fail`](Self::fail) later.
    pub fn obey(&mut self, effect: &Effect) -> Option<Job> {
        match effect {
            Effect::Start { worker, revision } => {
                let process = Process::new(worker.clone(), Arc::clone(revision));
                self.look_for_faults(&process);
                self.processes.insert(worker.id.clone(), process);
                Some(Job::Start(worker.id.clone()))
            }
            Effect::Prepare(worker) => {
                let process = Process::new(worker.clone(), Arc::default());
                self.processes.insert(worker.id.clone(), process);
                Some(Job::Prepare(worker.id.clone()))
            }
            Effect::CallOff(id) => {
                if let Some(process) = self.processes.get_mut(id) {
                    process.called_off = true;
                }
                None
            }
            Effect::Stop(id) => {
                match self.processes.get_mut(id) {
                    Some(process) if !process.ends => process.ends = true,
                    Some(_) => self.faults.push(format!("{id} is to end twice")),
                    None => self.faults.push(format!("{id} is to end and is nowhere")),
                }
                Some(Job::Stop(id.clone()))
            }
            Effect::Sleep(nap) => {
                match self.processes.get_mut(&nap.worker) {
                    Some(process) => process.sleep = SleepState::FallingAsleep,
                    None => {
                        let id = &nap.worker;
                        self.faults.push(format!("{id} is to sleep and is nowhere"));
                    }
                }
                Some(Job::Sleep(nap.worker.clone()))
            }
            Effect::Wake(nap) => {
                self.wake(&nap.worker);
                Some(Job::Wake(nap.worker.clone()))
            }
            Effect::Adopt { worker, .. } => Some(Job::Adopt(worker.id.clone())),
            Effect::Sweep(spared) => {
                self.spared.clone_from(spared);
                Some(Job::Sweep)
            }
            Effect::Forget(id) => {
                self.processes.remove(id);
                None
            }
            _ => None,
        }
    }

    fn look_for_faults(&mut self, new: &Process) {
        let others = self.processes.values();
        for other in others.filter(|other| !other.died) {
            let id = &new.worker.id;
            let (ours, theirs) = (&new.worker, &other.worker);
            let same_place = ours.slot == theirs.slot
                && ours.service == theirs.service
                && ours.deployment == theirs.deployment;
            if same_place {
                let text = format!("{id} starts in the place of {}", theirs.id);
                self.faults.push(text);
            }
        }
        self.look_for_two_on_one(&new.worker, "starts");
    }

    /// Whether others have GPUs that a worker is given now.
    fn look_for_two_on_one(&mut self, new: &NewWorker, does: &str) {
        let gpus = new.gpus.as_deref().unwrap_or_default();
        let others = self.processes.values();
        for other in others.filter(|other| other.worker.id != new.id) {
            if let Some(gpu) = gpus.iter().find(|gpu| other.gpus().contains(gpu)) {
                let (id, holder) = (&new.id, &other.worker.id);
                self.faults
                    .push(format!("{id} {does} on GPU {gpu}, which {holder} has"));
            }
        }
    }

    fn wake(&mut self, id: &WorkerId) {
        let Some(process) = self.processes.get_mut(id) else {
            self.faults.push(format!("{id} is to wake and is nowhere"));
            return;
        };
        (process.sleep, process.gave_up) = (SleepState::Waking, false);
        let worker = process.worker.clone();
        self.look_for_two_on_one(&worker, "wakes");
    }

    /// A job has come to its end, and nothing went wrong; what is to be told of it.
    pub fn done(&mut self, job: Job) -> Vec<Event> {
        match job {
            Job::Prepare(id) => match self.processes.remove(&id) {
                Some(process) if process.called_off => vec![Event::CalledOff(id)],
                _ => vec![Event::Prepared(id, Ok(()))],
            },
            Job::Start(id) => match self.processes.get_mut(&id) {
                None => Vec::new(),
                Some(process) if process.called_off => {
                    self.processes.remove(&id);
                    vec![Event::CalledOff(id)]
                }
                Some(process) => {
                    (process.runs, process.saved) = (true, SAVED);
                    vec![Event::Started(id, Ok(somewhere()))]
                }
            },
            Job::Stop(id) => {
                self.processes.remove(&id);
                vec![Event::Stopped(id)]
            }
            Job::Sleep(id) => {
                // One that is being ended has its GPUs until nothing is left of it.
                let process = self.processes.get_mut(&id);
                if let Some(process) = process.filter(|process| !process.ends) {
                    (process.sleep, process.gave_up) = (SleepState::Asleep, true);
                }
                vec![Event::Slept(id, Ok(None))]
            }
            Job::Wake(id) => {
                if let Some(process) = self.processes.get_mut(&id) {
                    process.sleep = SleepState::Awake;
                }
                vec![Event::Woke(id, Ok(()))]
            }
            Job::Adopt(id) => self.adopt(id),
            Job::Sweep => {
                let spared = std::mem::take(&mut self.spared);
                self.processes
                    .retain(|id, process| !process.is_left || spared.contains(id));
                vec![Event::Swept]
            }
        }
    }

    fn adopt(&mut self, id: WorkerId) -> Vec<Event> {
        let found = self.processes.get_mut(&id);
        match found.filter(|process| process.runs && !process.saved.is_empty()) {
            Some(process) => {
                process.is_left = false;
                // What it was given, whether it sleeps or not.
                let given = process.worker.gpus.as_deref().unwrap_or_default();
                let holds = Event::Holds(id.clone(), given.to_vec());
                vec![holds, Event::Adopted(id, Some(somewhere()))]
            }
            None => {
                // Whatever is left of it is ended.
                self.processes.remove(&id);
                vec![Event::Adopted(id, None)]
            }
        }
    }

    /// A start or a preparation came to nothing, or a worker can be neither put to sleep nor woken.
    pub fn fail(&mut self, job: &Job, error: StartError) -> Option<Event> {
        match job {
            Job::Prepare(id) => {
                self.processes.remove(id);
                Some(Event::Prepared(id.clone(), Err(error)))
            }
            Job::Start(id) => {
                self.processes.remove(id);
                Some(Event::Started(id.clone(), Err(error)))
            }
            Job::Sleep(id) => Some(Event::Slept(id.clone(), Err(error.to_string()))),
            Job::Wake(id) => Some(Event::Woke(id.clone(), Err(error.to_string()))),
            Job::Stop(_) | Job::Adopt(_) | Job::Sweep => None,
        }
    }

    /// A worker ends without being asked to.
    pub fn die(&mut self, id: &WorkerId, reason: &str) -> Option<Event> {
        let process = self.processes.get_mut(id)?;
        if !std::mem::take(&mut process.runs) {
            return None;
        }
        process.died = true;
        let (id, reason) = (id.clone(), reason.to_owned());
        Some(Event::Exited(WorkerExit { id, reason }))
    }

    /// Control was killed while these jobs were under way. `begun`: those that were begun go on without it: what
    /// was being started runs, though nobody wrote down where; what was being ended is gone.
    pub(super) fn outlive(&mut self, under_way: &[Job], begun: bool) {
        for job in under_way {
            match job {
                Job::Start(id) if begun => {
                    if let Some(process) = self.processes.get_mut(id) {
                        process.runs = true;
                    }
                }
                Job::Stop(id) if begun => drop(self.processes.remove(id)),
                Job::Sleep(id) | Job::Wake(id) if !begun => {
                    // It was not asked for anything.
                    if let Some(process) = self.processes.get_mut(id) {
                        let sleeps = process.gave_up || matches!(job, Job::Wake(_));
                        process.gave_up = sleeps;
                        process.sleep = match sleeps {
                            true => SleepState::Asleep,
                            false => SleepState::Awake,
                        };
                    }
                }
                _ => {}
            }
        }
        self.processes.retain(|_, process| process.runs);
        for process in self.processes.values_mut() {
            process.is_left = true;
            (process.called_off, process.ends) = (false, false);
        }
        self.spared.clear();
    }
}

fn somewhere() -> SocketAddr {
    ([127, 0, 0, 1], 8000).into()
}
