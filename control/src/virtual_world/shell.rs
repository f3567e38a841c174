//! The core in virtual time: what is asked of drivers, probes and the state file takes time and then comes back.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use penstock_config::{Config, fleet::WorkerId};

use super::{Job, Machine, Process, StateFile};
use crate::{
    core::{
        Core, Effect, Event, Moment, NewWorker, ProbeEvent, Sample, ScrapeEvent, ScrapeSpec,
        StartError,
    },
    remembered::Remembered,
};

/// From one reading of a page to the next.
const PAGE_EVERY: Duration = Duration::from_secs(2);

/// How a worker comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// From the order to a process that exists.
    pub exists_after: Duration,
    /// From the order to a worker whose probe passes.
    pub ready_after: Duration,
}

/// How the workers of a world behave.
pub trait Workers {
    /// How a worker comes up that is started now, or why it does not.
    fn start(&mut self, worker: &NewWorker) -> Result<Start, StartError>;

    /// From the order to end a worker to nothing being left of it.
    fn stop(&mut self) -> Duration {
        Duration::from_millis(500)
    }

    /// How long a worker takes to fall asleep, and whether it does.
    fn sleep(&mut self, _worker: &NewWorker) -> (Duration, Result<(), StartError>) {
        (Duration::from_millis(500), Ok(()))
    }

    /// How long it takes to wake up, and whether it does.
    fn wake(&mut self, _worker: &NewWorker) -> (Duration, Result<(), StartError>) {
        (Duration::from_secs(2), Ok(()))
    }

    /// How long it takes to bring an image, or why it cannot be brought.
    fn prepare(&mut self, _worker: &NewWorker) -> Result<Duration, StartError> {
        Ok(Duration::ZERO)
    }

    /// What the page of a worker says of what it is asked for.
    fn page(
        &mut self,
        _worker: &WorkerId,
        _spec: &ScrapeSpec,
    ) -> Result<Vec<Option<Sample>>, String> {
        Err("it has none".to_owned())
    }
}

/// What is left when control is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    /// Whether what was on its way to the state file arrived.
    pub written: bool,
    /// Whether what drivers were at was begun, and goes on without control.
    pub begun: bool,
}

/// What comes back when its time has come.
#[derive(Debug)]
enum Coming {
    Done(Job),
    Fails(Job, StartError),
    Ready(WorkerId),
    Saved(u64),
    Page(WorkerId, Arc<ScrapeSpec>),
}

/// A core, and the world as far as its workers and its state file go.
pub struct VirtualShell<W> {
    core: Core,
    began: Moment,
    now: Moment,
    /// How its workers behave.
    pub workers: W,
    machine: Machine,
    file: StateFile,
    coming: BTreeMap<(Duration, u64), Coming>,
    count: u64,
    /// When each worker that was started passes its probe.
    ready_at: BTreeMap<WorkerId, Duration>,
    probed: BTreeSet<WorkerId>,
    scraped: BTreeMap<WorkerId, Arc<ScrapeSpec>>,
    alarm: Duration,
    owes_turn: bool,
    said: Vec<Effect>,
    gone: Vec<WorkerId>,
}

impl<W: Workers> VirtualShell<W> {
    /// Begins with a configuration and what an earlier run left. No worker of it runs any more.
    pub fn new(config: &Arc<Config>, remembered: Remembered, workers: W, now: Moment) -> Self {
        let file = StateFile::new(remembered);
        let (core, effects) = Core::new(config, file.read(), now);
        let mut this = Self {
            core,
            began: now,
            now,
            workers,
            machine: Machine::default(),
            file,
            coming: BTreeMap::new(),
            count: 0,
            ready_at: BTreeMap::new(),
            probed: BTreeSet::new(),
            scraped: BTreeMap::new(),
            alarm: now.at,
            owes_turn: false,
            said: Vec::new(),
            gone: Vec::new(),
        };
        this.obey(effects);
        this
    }

    /// Control is killed and begins again, with this configuration, at the same moment. What it knew is gone but
    /// for the state file; its workers run on. What is written of workers that were being started shows whether
    /// they had been.
    pub fn crash(&mut self, config: &Arc<Config>, how: Crash) {
        if how.written || how.begun {
            // A worker is written down before it exists.
            self.file.write();
        }
        self.file.lose();
        let coming = std::mem::take(&mut self.coming).into_values();
        let under_way: Vec<Job> = coming
            .filter_map(|coming| match coming {
                Coming::Done(job) | Coming::Fails(job, _) => Some(job),
                Coming::Ready(_) | Coming::Saved(_) | Coming::Page(..) => None,
            })
            .collect();
        self.machine.outlive(&under_way, how.begun);
        self.probed.clear();
        self.scraped.clear();
        self.owes_turn = false;
        let (core, effects) = Core::new(config, self.file.read(), self.now);
        (self.core, self.alarm) = (core, self.now.at);
        self.obey(effects);
    }

    /// The core itself.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What drivers were asked for, and what runs.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// When something comes back, or the core wants a turn.
    pub fn next_at(&self) -> Duration {
        let coming = self.coming.first_key_value();
        let coming = coming.map_or(self.alarm, |((at, _), _)| self.alarm.min(*at));
        if self.owes_turn { self.now.at } else { coming }
    }

    /// What the core said since the last time, in its order.
    pub fn said(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.said)
    }

    /// Workers of which nothing is left, since the last time.
    pub fn gone(&mut self) -> Vec<WorkerId> {
        std::mem::take(&mut self.gone)
    }

    /// Workers that are awake, whose probe passes now, and that nobody was asked to end.
    pub fn ready(&self) -> impl Iterator<Item = &Process> {
        let is_ready = |process: &&Process| {
            let ready_at = self.ready_at.get(&process.worker.id);
            !process.ends && process.is_awake() && ready_at.is_some_and(|at| *at <= self.now.at)
        };
        self.machine.running().filter(is_ready)
    }

    /// Sets the clock; nothing happens by that.
    pub fn pass(&mut self, to: Duration) {
        let at = self.now.at.max(to);
        let passed = at.saturating_sub(self.began.at).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.now = Moment {
            at,
            wall_ms: self.began.wall_ms.saturating_add(passed),
            today_ms: self.began.today_ms.saturating_add(passed),
        };
    }

    /// Tells something that happened outside. It is decided about with the next [`look`](Self::look).
    pub fn tell(&mut self, event: Event) {
        self.owes_turn = true;
        self.handle(event);
    }

    /// Tells what has come back by now, and lets the core decide if anything happened or it is time.
    pub fn look(&mut self) {
        while self.step() {}
    }

    /// One step of [`look`](Self::look): one event. `false`: there is none.
    pub fn step(&mut self) -> bool {
        if let Some(first) = self.coming.first_entry()
            && first.key().0 <= self.now.at
        {
            let coming = first.remove();
            self.owes_turn = true;
            self.come(coming);
            return true;
        }
        if self.owes_turn || self.alarm <= self.now.at {
            self.owes_turn = false;
            self.handle(Event::Turn);
            return true;
        }
        false
    }

    /// A worker ends without being asked to.
    pub fn die(&mut self, id: &WorkerId, reason: &str) {
        if let Some(event) = self.machine.die(id, reason) {
            self.gone.push(id.clone());
            self.tell(event);
        }
    }

    fn come(&mut self, coming: Coming) {
        match coming {
            Coming::Done(job) => {
                let events = self.machine.done(job.clone());
                self.note(&job);
                for event in events {
                    self.handle(event);
                }
            }
            Coming::Fails(job, error) => {
                let event = self.machine.fail(&job, error);
                self.note(&job);
                event.into_iter().for_each(|event| self.handle(event));
            }
            Coming::Ready(id) => {
                let runs = self.machine.get(&id).is_some_and(|process| process.runs);
                if runs && self.probed.contains(&id) {
                    self.handle(Event::Probed(ProbeEvent::Ready(id)));
                }
            }
            Coming::Saved(number) => self.handle(Event::Saved(number, Ok(()))),
            Coming::Page(worker, spec) => self.read_page(worker, spec),
        }
    }

    /// Writes down what became of a worker, as whoever calls drivers does.
    fn note(&mut self, job: &Job) {
        if let Job::Sleep(id) | Job::Wake(id) = job {
            return self.note_sleep(id);
        }
        let (Job::Start(id) | Job::Stop(id) | Job::Adopt(id)) = job else {
            return;
        };
        match self.machine.get(id) {
            Some(process) => self.file.worker(process.row()),
            None => {
                self.gone.push(id.clone());
                self.file.forget(id);
                self.ready_at.remove(id);
                self.probed.remove(id);
                self.scraped.remove(id);
            }
        }
    }

    /// Writes down whether a worker sleeps, if there is still anything of it.
    fn note_sleep(&mut self, id: &WorkerId) {
        if let Some(process) = self.machine.get(id) {
            self.file.worker(process.row());
        }
    }

    fn read_page(&mut self, worker: WorkerId, spec: Arc<ScrapeSpec>) {
        let asked = self.scraped.get(&worker);
        if !asked.is_some_and(|asked| Arc::ptr_eq(asked, &spec)) {
            return;
        }
        let result = self.workers.page(&worker, &spec);
        self.after(PAGE_EVERY, Coming::Page(worker.clone(), Arc::clone(&spec)));
        let event = ScrapeEvent {
            worker,
            spec,
            result,
        };
        self.handle(Event::Scraped(event));
    }

    fn handle(&mut self, event: Event) {
        // What the last event led to has arrived by now.
        self.file.write();
        let effects = self.core.handle(event, self.now);
        self.obey(effects);
    }

    fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.file.obey(&effect);
            if let Some(job) = self.machine.obey(&effect) {
                self.begin(job);
            }
            match &effect {
                Effect::Probe { worker, .. } => {
                    self.probed.insert(worker.clone());
                    let at = self.ready_at.get(worker).copied().unwrap_or_default();
                    let left = at.saturating_sub(self.now.at);
                    self.after(left, Coming::Ready(worker.clone()));
                }
                Effect::StopProbing(id) => drop(self.probed.remove(id)),
                Effect::Scrape { worker, spec } => {
                    self.scraped.insert(worker.clone(), Arc::clone(spec));
                    self.after(
                        Duration::ZERO,
                        Coming::Page(worker.clone(), Arc::clone(spec)),
                    );
                }
                Effect::StopScraping(id) => drop(self.scraped.remove(id)),
                Effect::Save { number, .. } => {
                    self.after(Duration::ZERO, Coming::Saved(*number));
                }
                Effect::Alarm(at) => self.alarm = *at,
                _ => {}
            }
            self.said.push(effect);
        }
    }

    /// Lets a job take its time.
    fn begin(&mut self, job: Job) {
        let process = |id| self.machine.get(id).map(|process| process.worker.clone());
        let (after, coming) = match &job {
            Job::Start(id) => {
                let Some(worker) = process(id) else {
                    return;
                };
                match self.workers.start(&worker) {
                    Ok(start) => {
                        let at = self.now.at + start.ready_after;
                        self.ready_at.insert(id.clone(), at);
                        if let Some(process) = self.machine.get(id) {
                            self.file.worker(process.row());
                        }
                        (start.exists_after, Coming::Done(job))
                    }
                    Err(error) => (Duration::ZERO, Coming::Fails(job, error)),
                }
            }
            Job::Prepare(id) => {
                let Some(worker) = process(id) else {
                    return;
                };
                match self.workers.prepare(&worker) {
                    Ok(takes) => (takes, Coming::Done(job)),
                    Err(error) => (Duration::ZERO, Coming::Fails(job, error)),
                }
            }
            Job::Sleep(id) | Job::Wake(id) => {
                let Some(worker) = process(id) else {
                    return;
                };
                self.note_sleep(id);
                let (takes, result) = match job {
                    Job::Sleep(_) => self.workers.sleep(&worker),
                    _ => self.workers.wake(&worker),
                };
                match result {
                    Ok(()) => (takes, Coming::Done(job)),
                    Err(error) => (takes, Coming::Fails(job, error)),
                }
            }
            Job::Stop(_) => (self.workers.stop(), Coming::Done(job)),
            Job::Adopt(_) | Job::Sweep => (Duration::ZERO, Coming::Done(job)),
        };
        self.after(after, coming);
    }

    fn after(&mut self, time: Duration, what: Coming) {
        self.count += 1;
        self.coming.insert((self.now.at + time, self.count), what);
    }
}
