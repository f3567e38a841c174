//! Control itself: the core in a virtual world, and what happens to it in the short words of timelines.

mod config;
mod words;

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::{FleetSnapshot, LoadReport, WorkerId, WorkerState};
use penstock_control::{
    core::{
        Ask, AskId, Effect, Event, Moment, NewWorker, PauseAsk, PauseRequest, Sample, ScrapeSpec,
        StartError, WorkersAsk, WorkersRequest,
    },
    plan::StopCause,
    remembered::Remembered,
    revisions::{Origin, Via},
    scale::Decision,
    virtual_world::{Crash, Start, VirtualShell, Workers},
};

use self::config::config;
use super::{Setup, key};
use crate::coverage::Met;

/// The control of the simulation.
pub(crate) struct Control {
    shell: VirtualShell<Site>,
    pub(crate) decision: Decision,
    /// What the gateway was not told yet.
    pub(crate) published: Vec<Arc<FleetSnapshot>>,
    ready: usize,
    /// The newest generation, as the gateway counts.
    generation: u64,
    /// Generations of earlier runs: the gateway lives on, and to it they only grow.
    generations_before: u64,
    /// The worker that was told to end last.
    last_stopped: Option<WorkerId>,
    /// Workers whose processes are gone since the last look.
    pub(crate) ended: Vec<WorkerId>,
    /// Workers that are stopped because nobody uses them, since the last look.
    pub(crate) let_go: Vec<WorkerId>,
    pub(crate) starts_made: u32,
    /// What the decisions said.
    pub(crate) met: Met,
    notes: Vec<String>,
    shuts_down: bool,
}

/// What may be done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Follow the settings as they are now.
    Apply,
    /// Be killed, and begin again.
    Restart,
    Pause,
    Resume,
    Scale(Option<u32>),
    Remove,
    Shutdown,
}

/// Where workers run.
#[derive(Debug)]
struct Site {
    start: Duration,
    starts_fail: bool,
    /// Requests that a worker works on at once.
    batch: u32,
    /// How many workers' pages can be read.
    pages: usize,
    /// How many requests each worker has.
    in_flight: Vec<(WorkerId, u32)>,
}

impl Workers for Site {
    fn start(&mut self, _: &NewWorker) -> Result<Start, StartError> {
        if self.starts_fail {
            return Err(StartError::Failed("no such program".to_owned()));
        }
        Ok(Start {
            exists_after: Duration::ZERO,
            ready_after: self.start,
        })
    }

    fn page(
        &mut self,
        worker: &WorkerId,
        spec: &ScrapeSpec,
    ) -> Result<Vec<Option<Sample>>, String> {
        // One that the gateway does not know yet has nothing to do.
        let place = self.in_flight.iter().position(|(id, _)| id == worker);
        let place = place.unwrap_or(self.in_flight.len());
        if place >= self.pages {
            return Err("no answer".to_owned());
        }
        let in_flight = self.in_flight.get(place).map_or(0, |(_, count)| *count);
        let waiting = in_flight.saturating_sub(self.batch);
        let sample = Sample {
            value: waiting.into(),
            grows: false,
        };
        Ok(vec![Some(sample); spec.metrics.len()])
    }
}

impl Control {
    pub(crate) fn new(setup: &Setup, now: Duration) -> Self {
        let site = Site {
            start: setup.start,
            starts_fail: setup.starts_fail,
            batch: setup.batch.unwrap_or(u32::MAX),
            pages: setup.pages,
            in_flight: Vec::new(),
        };
        let remembered = Remembered {
            demand: setup.past.iter().map(config::demand).collect(),
            ..Remembered::default()
        };
        let now = Moment {
            at: now,
            wall_ms: setup.wall_ms,
            today_ms: setup.wall_ms,
        };
        let shell = VirtualShell::new(&config(setup, true), remembered, site, now);
        let decision = shell.core().decided(&key()).expect("it is configured");
        let mut this = Self {
            decision: decision.0.clone(),
            shell,
            published: Vec::new(),
            ready: 0,
            generation: 0,
            generations_before: 0,
            last_stopped: None,
            ended: Vec::new(),
            let_go: Vec::new(),
            starts_made: 0,
            met: Met::default(),
            notes: Vec::new(),
            shuts_down: false,
        };
        this.listen();
        this
    }

    /// Takes in what came, and has a turn if it is time; what happened, in words.
    pub(crate) fn run(
        &mut self,
        setup: &Setup,
        reports: Vec<LoadReport>,
        in_flight: Vec<(WorkerId, u32)>,
        now: Duration,
    ) -> Vec<String> {
        self.shell.pass(now);
        let site = &mut self.shell.workers;
        (site.starts_fail, site.pages) = (setup.starts_fail, setup.pages);
        site.in_flight = in_flight;
        for mut report in reports {
            report.generation = report.generation.saturating_sub(self.generations_before);
            self.shell.tell(Event::Report(report));
        }
        while self.shell.step() {
            if let Some((decision, advice)) = self.shell.core().decided(&key()) {
                self.met.take(decision);
                advice.into_iter().for_each(|advice| self.met.take(advice));
                self.decision.clone_from(decision);
            }
        }
        self.listen();
        assert_eq!(self.shell.machine().faults(), [""; 0]);
        self.ended.extend(self.shell.gone());
        std::mem::take(&mut self.notes)
    }

    pub(crate) fn order(&mut self, order: Order, setup: &Setup) {
        let by_file = |config| Ask::Apply(config, Origin::of(Via::File));
        let pause = |ask| {
            Ask::Pause(PauseRequest {
                service: "s".to_owned(),
                deployment: None,
                ask,
                by: None,
                reason: Some("new GPUs".to_owned()),
            })
        };
        let ask = match order {
            Order::Apply => by_file(config(setup, true)),
            Order::Remove => by_file(config(setup, false)),
            Order::Pause => pause(PauseAsk::Pause(None)),
            Order::Resume => pause(PauseAsk::Resume),
            Order::Scale(count) => Ask::Workers(WorkersRequest {
                service: "s".to_owned(),
                deployment: None,
                ask: WorkersAsk::Scale(count),
                by: None,
                reason: None,
            }),
            Order::Shutdown => {
                self.shuts_down = true;
                self.shell.tell(Event::Shutdown);
                return;
            }
            Order::Restart => {
                let how = Crash {
                    written: true,
                    begun: false,
                };
                self.generations_before = self.generation;
                self.shell.crash(&config(setup, true), how);
                self.listen();
                return;
            }
        };
        self.shell.tell(Event::Asked(AskId(1), ask));
    }

    /// Workers that take requests.
    pub(crate) fn ready(&self) -> usize {
        self.ready
    }

    /// Takes in what the core said.
    fn listen(&mut self) {
        for effect in self.shell.said() {
            match effect {
                Effect::Start { .. } => self.starts_made += 1,
                Effect::Stop(id) => self.last_stopped = Some(id),
                Effect::Publish(snapshot) => self.publish(&snapshot),
                Effect::Journal(entry) => {
                    let Some(note) = words::note(&entry) else {
                        continue;
                    };
                    // While control shuts down no gateway takes requests, and none is asked.
                    if note.ends_with(&format!("stops: {:?}", StopCause::Drained))
                        && !self.shuts_down
                    {
                        self.let_go.extend(self.last_stopped.take());
                    }
                    self.notes.push(note);
                }
                _ => {}
            }
        }
    }

    fn publish(&mut self, snapshot: &FleetSnapshot) {
        let services = snapshot.services.iter();
        let workers = services
            .flat_map(|service| &service.deployments)
            .flat_map(|deployment| &deployment.workers);
        let ready = workers.filter(|worker| worker.state == WorkerState::Ready);
        self.ready = ready.count();
        self.generation = snapshot.generation + self.generations_before;
        self.published.push(Arc::new(FleetSnapshot {
            generation: self.generation,
            ..snapshot.clone()
        }));
    }
}
