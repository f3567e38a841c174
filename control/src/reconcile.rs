//! The loop of control: observe → decide → plan → execute → publish.
//!
//! It alone reads the clock, calls drivers (through [`executor`]) and changes the state. It turns
//! once a second for every deployment, and at once for those that something happened to: a load
//! report that cannot wait, the end of a worker, a probe, the result of a driver call, what an operator
//! asks for, a new configuration.

mod adopt;
mod advice;
mod apply;
mod carry_out;
mod demand;
mod deployment;
mod describe;
mod executor;
mod explain;
mod happen;
mod journal;
mod lookup;
mod pauses;
mod phase;
mod publish;
mod revision;
mod rollouts;
mod scrapes;
mod status;
mod traffic;
mod trouble;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use penstock_config::{
    Config, DeploymentName, Service, ServiceName,
    fleet::{FleetSnapshot, LoadReport, ServiceFleet, WorkerId},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};

pub(crate) use self::adopt::Ends;
pub use self::executor::Drivers;
use self::{
    deployment::{DeploymentState, Key, Turn},
    executor::{Executor, Fact},
    explain::Explained,
    lookup::deployment_mut,
    pauses::Stopped,
    rollouts::Rolling,
    traffic::Traffic,
};
pub(crate) use self::{
    pauses::{PauseAsk, PauseReply, PauseRequest},
    rollouts::RolloutAsk,
    traffic::{TrafficAsk, TrafficReply, TrafficRequest},
};
use crate::{
    clock::Clock,
    driver::WorkerExit,
    explain::Unknown,
    probe::ProbeEvent,
    reports::Gateways,
    scrape::ScrapeEvent,
    secret::SecretKey,
    status::{ConfigStatus, ServiceStatus, Status},
    store::Store,
};

/// Every deployment gets a turn this often even if nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// Events taken together before their deployments get a turn.
const EVENTS_MAX: usize = 1024;

/// What the loop is asked from outside.
pub(crate) enum Command {
    /// Follow this configuration from now on.
    Apply(Arc<Config>, oneshot::Sender<u64>),
    /// A configuration was not taken over; what is wrong with it.
    Rejected(String),
    /// Say how things are.
    Status(oneshot::Sender<Status>),
    /// Say how one service is.
    Service(String, oneshot::Sender<Result<ServiceStatus, Unknown>>),
    /// Say why a service's deployments, or one of them, have as many workers as they have.
    Explain(
        String,
        Option<String>,
        oneshot::Sender<Result<Explained, Unknown>>,
    ),
    /// Change how a service's traffic is shared, or tell.
    Traffic(TrafficRequest, TrafficReply),
    /// Pause or resume a service or a deployment, or tell.
    Pause(PauseRequest, PauseReply),
    /// Stop every worker; say when all are gone.
    Shutdown(oneshot::Sender<()>),
    /// Wait for no request any more while shutting down.
    Hurry,
    /// Panic: for tests of what the rest of the program does then.
    BreakDown,
}

/// Where events come from.
pub(crate) struct Inbox {
    pub(crate) reports: mpsc::Receiver<LoadReport>,
    pub(crate) exits: mpsc::UnboundedReceiver<WorkerExit>,
    pub(crate) commands: mpsc::Receiver<Command>,
    facts: mpsc::UnboundedReceiver<Fact>,
    probes: mpsc::UnboundedReceiver<ProbeEvent>,
    scrapes: mpsc::UnboundedReceiver<ScrapeEvent>,
}

/// One service and its deployments.
struct ServiceState {
    spec: Arc<Service>,
    /// Not configured any more; stays until the workers are gone.
    removed: bool,
    deployments: BTreeMap<DeploymentName, DeploymentState>,
    traffic: Traffic,
    /// What the state file has of it.
    saved: Traffic,
    /// What an operator has stopped.
    stopped: Stopped,
    /// Whether the file's weights differ from those that an override was made over.
    file_changed: bool,
    /// The deployment whose share is being raised step by step.
    rolling: Option<Rolling>,
    published: Option<Arc<ServiceFleet>>,
}

/// The state of control.
pub(crate) struct Reconciler {
    clock: Clock,
    config: ConfigStatus,
    services: BTreeMap<ServiceName, ServiceState>,
    gateways: Gateways,
    /// Whose worker it is.
    owners: HashMap<WorkerId, Key>,
    executor: Executor,
    probe_events: mpsc::UnboundedSender<ProbeEvent>,
    scrape_events: mpsc::UnboundedSender<ScrapeEvent>,
    store: Store,
    snapshots: watch::Sender<Arc<FleetSnapshot>>,
    generation: u64,
    /// Deployments to get a turn before the next tick.
    touched: BTreeSet<Key>,
    /// Deployments whose plan changes by itself before the next tick.
    due: BTreeMap<Duration, BTreeSet<Key>>,
    next_tick: Duration,
    /// Makes worker ids; together with `run` never used twice.
    workers_made: u64,
    run: u64,
    /// Workers of an earlier run that are being taken over or ended.
    adopting: usize,
    /// Services of which something was published that is not true any more.
    stale: BTreeSet<ServiceName>,
    /// Who waits for a configuration to be published.
    applied: Vec<oneshot::Sender<u64>>,
    shutting_down: Option<Vec<oneshot::Sender<()>>>,
    /// What digests of revisions are made with.
    secret_key: Arc<SecretKey>,
}

impl Reconciler {
    /// Works until every worker is gone after a shutdown, or until nobody can command any more.
    pub(crate) async fn run(mut self, mut inbox: Inbox) {
        self.tick();
        self.publish();
        loop {
            if !self.next_events(&mut inbox).await {
                break;
            }
            self.run_due();
            self.publish();
            for waiting in self.applied.drain(..) {
                let _ = waiting.send(self.generation);
            }
            if self.is_shut_down() {
                break;
            }
        }
        self.store.flush().await;
        for waiting in self.shutting_down.take().into_iter().flatten() {
            let _ = waiting.send(());
        }
    }

    /// Waits for something to happen and takes it in, with all else that has happened by then.
    /// `false` when there is nobody left to work for.
    async fn next_events(&mut self, inbox: &mut Inbox) -> bool {
        let wake_at = self
            .due
            .keys()
            .next()
            .map_or(self.next_tick, |due| self.next_tick.min(*due));
        tokio::select! {
            Some(report) = inbox.reports.recv() => self.on_report(&report),
            Some(exit) = inbox.exits.recv() => self.on_exit(exit),
            Some(event) = inbox.probes.recv() => self.on_probe(event),
            Some(fact) = inbox.facts.recv() => self.on_fact(fact),
            Some(event) = inbox.scrapes.recv() => self.on_scrape(event),
            command = inbox.commands.recv() => match command {
                Some(command) => self.on_command(command),
                None => return false,
            },
            () = sleep_until(self.clock.instant(wake_at)) => {}
        }
        self.take_waiting(inbox);
        true
    }

    /// Takes in what waits already, so that a burst of events costs one turn and one snapshot.
    fn take_waiting(&mut self, inbox: &mut Inbox) {
        for _ in 0..EVENTS_MAX {
            if let Ok(fact) = inbox.facts.try_recv() {
                self.on_fact(fact);
            } else if let Ok(event) = inbox.probes.try_recv() {
                self.on_probe(event);
            } else if let Ok(exit) = inbox.exits.try_recv() {
                self.on_exit(exit);
            } else if let Ok(event) = inbox.scrapes.try_recv() {
                self.on_scrape(event);
            } else if let Ok(report) = inbox.reports.try_recv() {
                self.on_report(&report);
            } else {
                break;
            }
        }
        if self.shutting_down.is_some() && inbox.reports.is_closed() && inbox.reports.is_empty() {
            self.gateways.clear();
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Apply(config, published) => {
                self.apply(&config);
                self.applied.push(published);
            }
            Command::Rejected(error) => self.config.last_error = Some(error),
            Command::Status(reply) => {
                let _ = reply.send(self.status());
            }
            Command::Service(name, reply) => {
                let _ = reply.send(self.service_status(&name));
            }
            Command::Explain(service, deployment, reply) => {
                let _ = reply.send(self.explain(&service, deployment.as_deref()));
            }
            Command::Traffic(request, reply) => self.on_traffic(request, reply),
            Command::Pause(request, reply) => self.on_pause(request, reply),
            Command::Shutdown(done) => {
                self.shutting_down.get_or_insert_default().push(done);
                self.force_drains();
            }
            Command::Hurry => self.hurry(),
            Command::BreakDown => panic!("asked to"),
        }
    }

    /// Gives a turn to all deployments if it is time, else to those that something happened to.
    fn run_due(&mut self) {
        let now = self.clock.now();
        if now >= self.next_tick {
            self.tick();
            return;
        }
        while let Some(first) = self.due.first_entry().filter(|first| *first.key() <= now) {
            let keys = first.remove();
            self.touched.extend(keys);
        }
        for key in std::mem::take(&mut self.touched) {
            self.turn(&key, now);
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        self.next_tick = now + TICK;
        self.gateways.expire(now);
        self.end_pauses();
        self.touched.clear();
        self.due.clear();
        let keys: Vec<Key> = self.keys().cloned().collect();
        for key in keys {
            self.turn(&key, now);
        }
        self.turn_rollouts(now);
        self.store.retry();
        self.save_all_traffic();
        self.save_all_pauses();
        self.save_demand();
        self.forget_removed();
    }

    /// One deployment: observe, decide, plan, execute.
    fn turn(&mut self, key: &Key, now: Duration) {
        let turn = Turn {
            now,
            wall_ms: self.clock.wall_ms(now),
            gateways: &self.gateways,
            shutting_down: self.shutting_down.is_some(),
            starts_wait: self.adopting > 0,
        };
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let (plan, news) = deployment.turn(turn);
        if let Some(at) = plan.wake_at.filter(|at| *at < self.next_tick) {
            self.due.entry(at.max(now)).or_default().insert(key.clone());
        }
        for news in news {
            self.note_decision(key, news, now);
        }
        for action in plan.actions {
            self.carry_out(key, action, now);
        }
        let scrape_events = &self.scrape_events;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        deployment.update_phase(now);
        deployment.follow_scrapes(scrape_events);
        deployment.metrics.desired(deployment.decision.desired);
        deployment.metrics.paused(deployment.paused.is_some());
        let advised = deployment.advised().map(|advised| advised.desired);
        deployment.metrics.advised(advised);
        if let Some(row) = deployment.advice_to_save() {
            self.store.advice(row);
        }
        deployment
            .metrics
            .workers(deployment.workers.iter().map(worker::Worker::state));
        if deployment.changed {
            self.stale.insert(key.service.clone());
        }
    }

    fn is_shut_down(&self) -> bool {
        self.shutting_down.is_some() && self.owners.is_empty() && self.adopting == 0
    }
}
