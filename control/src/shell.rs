//! Carries out what the [core](crate::core) wants done, and tells it what happens: the one loop that
//! reads the clock, calls drivers and probes, writes, and publishes. It decides nothing.

mod carry_out;
mod clock;
mod executor;
mod gpu_memory;
mod log;
mod page;

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use penstock_config::{
    Config,
    fleet::{FleetSnapshot, LoadReport, WorkerId},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::sleep_until,
};

pub use self::executor::Drivers;
use self::{
    carry_out::Held,
    clock::Clock,
    executor::{Executor, Fact},
    page::Page,
};
use crate::{
    core::{
        Answer, Ask, AskId, Core, Effect, Event, NotSaved, ProbeEvent, ScrapeEvent, WorkerExit,
    },
    driver::process::gpu,
    history::History,
    remembered::{Remembered, StateFailure},
    store::Store,
};

/// Events taken together before their deployments get a turn.
const EVENTS_MAX: usize = 1024;

/// What the loop is asked from outside.
pub(crate) enum Command {
    /// Answer this.
    Ask(Ask, oneshot::Sender<Answer>),
    /// A configuration was not taken over; what is wrong with it.
    Rejected(String),
    /// Stop every worker; say when all are gone.
    Shutdown(oneshot::Sender<()>),
    /// Wait for no request any more while shutting down.
    Hurry,
    /// Panic: for tests of what the rest of the program does then.
    BreakDown,
}

/// Where the outside talks to the loop.
pub(crate) struct Ends {
    pub(crate) reports: mpsc::Receiver<LoadReport>,
    pub(crate) exits: mpsc::UnboundedReceiver<WorkerExit>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) snapshots: watch::Sender<Arc<FleetSnapshot>>,
    pub(crate) history: Arc<Mutex<History>>,
}

/// Where events come from.
struct Inbox {
    reports: mpsc::Receiver<LoadReport>,
    exits: mpsc::UnboundedReceiver<WorkerExit>,
    commands: mpsc::Receiver<Command>,
    facts: mpsc::UnboundedReceiver<Fact>,
    probes: mpsc::UnboundedReceiver<ProbeEvent>,
    scrapes: mpsc::UnboundedReceiver<ScrapeEvent>,
}

/// The core with all that it needs to touch the world.
pub(crate) struct Shell {
    core: Core,
    clock: Clock,
    inbox: Inbox,
    executor: Executor,
    /// What the drivers were asked to run and is not gone.
    workers: HashMap<WorkerId, Held>,
    probe_events: mpsc::UnboundedSender<ProbeEvent>,
    scrape_events: mpsc::UnboundedSender<ScrapeEvent>,
    store: Store,
    /// Rows on their way to the state file.
    saves: JoinSet<(u64, Result<(), NotSaved>)>,
    /// What the core knows of the state file.
    state_failure: Option<StateFailure>,
    snapshots: watch::Sender<Arc<FleetSnapshot>>,
    page: Page,
    /// For the charts of whoever looks.
    history: Arc<Mutex<History>>,
    /// Who waits for an answer.
    asked: HashMap<AskId, oneshot::Sender<Answer>>,
    questions: u64,
    /// When the core wants its next turn.
    alarm: Duration,
    /// Who waits for the end.
    ending: Vec<oneshot::Sender<()>>,
    ended: bool,
}

impl Shell {
    /// Begins with a configuration and what an earlier run left. The first snapshot is published.
    pub(crate) fn new(
        config: &Arc<Config>,
        drivers: Drivers,
        store: Store,
        remembered: Remembered,
        ends: Ends,
    ) -> Self {
        let clock = Clock::start();
        let now = clock.now();
        let (facts, facts_end) = mpsc::unbounded_channel();
        let (probe_events, probes_end) = mpsc::unbounded_channel();
        let (scrape_events, scrapes_end) = mpsc::unbounded_channel();
        let (core, effects) = Core::new(config, remembered, now);
        let mut this = Self {
            core,
            clock,
            inbox: Inbox {
                reports: ends.reports,
                exits: ends.exits,
                commands: ends.commands,
                facts: facts_end,
                probes: probes_end,
                scrapes: scrapes_end,
            },
            executor: Executor::new(drivers, store.clone(), facts),
            workers: HashMap::new(),
            probe_events,
            scrape_events,
            store,
            saves: JoinSet::new(),
            state_failure: None,
            snapshots: ends.snapshots,
            page: Page::default(),
            history: ends.history,
            asked: HashMap::new(),
            questions: 0,
            alarm: now.at,
            ending: Vec::new(),
            ended: false,
        };
        this.carry_out_all(effects);
        this.tell(Event::GpusFound(gpu::detected()));
        this
    }

    /// Works until every worker is gone after a shutdown, or until nobody can command any more.
    pub(crate) async fn run(mut self) {
        while !self.ended && self.next_events().await {
            self.tell(Event::Turn);
        }
        self.store.flush().await;
        while let Some(saved) = self.saves.join_next().await {
            self.on_saved(saved);
        }
        for waiting in self.ending.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Waits for something to happen and tells it, with all else that has happened by then. `false`
    /// when there is nobody left to work for.
    async fn next_events(&mut self) -> bool {
        let inbox = &mut self.inbox;
        tokio::select! {
            Some(report) = inbox.reports.recv() => self.on_report(report),
            Some(exit) = inbox.exits.recv() => self.tell(Event::Exited(exit)),
            Some(event) = inbox.probes.recv() => self.tell(Event::Probed(event)),
            Some(fact) = inbox.facts.recv() => self.on_fact(fact),
            Some(event) = inbox.scrapes.recv() => self.tell(Event::Scraped(event)),
            Some(saved) = self.saves.join_next() => self.on_saved(saved),
            command = inbox.commands.recv() => match command {
                Some(command) => self.on_command(command),
                None => return false,
            },
            () = sleep_until(self.clock.instant(self.alarm)) => {}
        }
        self.tell_waiting();
        true
    }

    /// Tells what waits already, so that a burst of events costs one turn and one snapshot.
    fn tell_waiting(&mut self) {
        for _ in 0..EVENTS_MAX {
            let inbox = &mut self.inbox;
            if let Ok(fact) = inbox.facts.try_recv() {
                self.on_fact(fact);
            } else if let Ok(event) = inbox.probes.try_recv() {
                self.tell(Event::Probed(event));
            } else if let Ok(exit) = inbox.exits.try_recv() {
                self.tell(Event::Exited(exit));
            } else if let Ok(event) = inbox.scrapes.try_recv() {
                self.tell(Event::Scraped(event));
            } else if let Ok(report) = inbox.reports.try_recv() {
                self.on_report(report);
            } else if let Some(saved) = self.saves.try_join_next() {
                self.on_saved(saved);
            } else {
                break;
            }
        }
        let reports = &self.inbox.reports;
        if !self.ending.is_empty() && reports.is_closed() && reports.is_empty() {
            self.tell(Event::NobodyReports);
        }
    }

    fn on_report(&mut self, report: LoadReport) {
        let now = self.clock.now();
        self.history.lock().report(&report, now.wall_ms);
        self.tell(Event::Report(report));
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Ask(ask, reply) => {
                self.tell_state_file();
                self.questions += 1;
                let to = AskId(self.questions);
                self.asked.insert(to, reply);
                self.tell(Event::Asked(to, ask));
            }
            Command::Rejected(error) => self.tell(Event::Rejected(error)),
            Command::Shutdown(done) => {
                self.ending.push(done);
                self.executor.end();
                self.tell(Event::Shutdown);
            }
            Command::Hurry => self.tell(Event::Hurry),
            Command::BreakDown => panic!("asked to"),
        }
    }

    /// Whoever asks is told how the state file is now.
    fn tell_state_file(&mut self) {
        let failure = self.store.failure();
        if failure != self.state_failure {
            self.state_failure.clone_from(&failure);
            self.tell(Event::StateFile(failure));
        }
    }

    /// Tells what happened, and does what is to be done about it.
    fn tell(&mut self, event: Event) {
        let effects = self.core.handle(event, self.clock.now());
        self.carry_out_all(effects);
    }

    fn carry_out_all(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out(effect);
        }
    }
}
