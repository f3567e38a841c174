//! The machine, its gateway and its workers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

use penstock_config::{
    Config,
    fleet::{
        DeploymentLoad, FleetSnapshot, LoadReport, Outcomes, TimeHistogram, TokenLoad, WorkerId,
        WorkerLoad, WorkerState,
    },
};

use super::super::play::begin;
use crate::{
    core::{Ask, AskId, Core, Effect, Event, Key, Moment, ProbeEvent},
    remembered::Remembered,
    revisions::{Origin, Via},
};

/// From a stop to nothing being left of a worker.
pub(super) const STOP: Duration = Duration::from_secs(1);

/// What comes about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A request comes for this deployment that takes so long.
    Arrival(Key, Duration),
    /// A worker is there and loads.
    Exists(WorkerId),
    /// It has loaded.
    Loaded(WorkerId),
    /// It has answered a request.
    Answered(WorkerId),
    /// Nothing is left of it.
    Gone(WorkerId),
    /// The gateway reports.
    Report,
    /// It does so because somebody waits where no worker is.
    Poke,
    /// The core wants a turn.
    Alarm,
}

/// A deployment as the gateway knows it.
#[derive(Default)]
struct Gate {
    /// When each came, and how long it takes.
    queue: VecDeque<(Duration, Duration)>,
    /// Workers that are listed, and whether they take requests.
    workers: BTreeMap<WorkerId, bool>,
    busy: BTreeSet<WorkerId>,
    arrivals: u64,
    completions: u64,
    integral: f64,
    counted_to: Duration,
}

pub(super) struct House {
    pub(super) core: Core,
    now: Moment,
    load_time: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Happening)>>,
    happened: u64,
    gates: BTreeMap<Key, Gate>,
    owners: BTreeMap<WorkerId, Key>,
    running: BTreeSet<WorkerId>,
    /// Who has each GPU, by what was given to workers that are not gone.
    holders: BTreeMap<String, WorkerId>,
    generation: u64,
    sequence: u64,
    is_poked: bool,
    alarm: Duration,
    /// What was done, in words; filled if wanted.
    pub(super) told: Vec<String>,
    tells: bool,
    /// Waits of all requests that were begun.
    pub(super) waits: Vec<Duration>,
    pub(super) starts: usize,
}

impl House {
    pub(super) fn new(config: &Arc<Config>, load_time: Duration, tells: bool) -> Self {
        let now = begin();
        let (core, effects) = Core::new(config, Remembered::default(), now);
        let mut this = Self {
            core,
            now,
            load_time,
            events: BinaryHeap::new(),
            happened: 0,
            gates: BTreeMap::new(),
            owners: BTreeMap::new(),
            running: BTreeSet::new(),
            holders: BTreeMap::new(),
            generation: 0,
            sequence: 0,
            is_poked: false,
            alarm: now.at,
            told: Vec::new(),
            tells,
            waits: Vec::new(),
            starts: 0,
        };
        this.obey(effects);
        this.tell(Event::Swept);
        this.after(Duration::ZERO, Happening::Report);
        this
    }

    fn after(&mut self, time: Duration, what: Happening) {
        self.happened += 1;
        let at = self.now.at + time;
        self.events.push(Reverse((at, self.happened, what)));
    }

    /// A request that comes after this time and takes so long.
    pub(super) fn arrive(&mut self, service: &str, after: Duration, takes: Duration) {
        let key = Key {
            service: service.try_into().unwrap(),
            deployment: "stable".try_into().unwrap(),
        };
        self.after(after, Happening::Arrival(key, takes));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now.at + time;
        while self
            .events
            .peek()
            .is_some_and(|Reverse((at, ..))| *at <= end)
        {
            let Some(Reverse((at, _, what))) = self.events.pop() else {
                break;
            };
            self.pass(at);
            self.happen(what);
        }
        self.pass(end);
    }

    fn pass(&mut self, to: Duration) {
        let passed = to.saturating_sub(self.now.at);
        let ms = u64::try_from(passed.as_millis()).unwrap();
        self.now = Moment {
            at: to,
            wall_ms: self.now.wall_ms + ms,
            today_ms: self.now.today_ms + ms,
        };
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrival(key, takes) => {
                let now = self.now.at;
                let gate = self.gate(&key);
                gate.arrivals += 1;
                gate.queue.push_back((now, takes));
                let is_cold = !gate.workers.values().any(|takes| *takes);
                self.dispatch(&key);
                // At once, but those who come together are told of together.
                if is_cold && !std::mem::replace(&mut self.is_poked, true) {
                    // In a crowd that is what takes the time of a test.
                    let within = if self.tells { 50 } else { 500 };
                    self.after(Duration::from_millis(within), Happening::Poke);
                }
            }
            Happening::Exists(id) => {
                if self.running.contains(&id) {
                    let address = ([127, 0, 0, 1], 8000).into();
                    self.tell(Event::Started(id.clone(), Ok(address)));
                    self.after(self.load_time, Happening::Loaded(id));
                }
            }
            Happening::Loaded(id) => {
                if self.running.contains(&id) {
                    self.tell(Event::Probed(ProbeEvent::Ready(id)));
                }
            }
            Happening::Answered(id) => {
                let key = self.owners[&id].clone();
                let gate = self.gate(&key);
                gate.busy.remove(&id);
                gate.completions += 1;
                self.dispatch(&key);
            }
            Happening::Gone(id) => {
                assert!(self.running.remove(&id), "{id} is stopped twice");
                self.holders.retain(|_, holder| *holder != id);
                self.tell(Event::Stopped(id));
            }
            Happening::Poke => {
                self.is_poked = false;
                self.report();
            }
            Happening::Report => {
                self.report();
                self.after(Duration::from_secs(1), Happening::Report);
            }
            Happening::Alarm => {
                if self.now.at >= self.alarm {
                    self.tell(Event::Turn);
                }
            }
        }
    }

    /// The gate of a deployment, with what was counted up to now.
    fn gate(&mut self, key: &Key) -> &mut Gate {
        let now = self.now.at;
        let gate = self.gates.entry(key.clone()).or_default();
        let current = gate.queue.len() + gate.busy.len();
        let passed = now.saturating_sub(gate.counted_to.max(begin().at));
        gate.integral += current as f64 * passed.as_secs_f64();
        gate.counted_to = now;
        gate
    }

    fn dispatch(&mut self, key: &Key) {
        let now = self.now.at;
        loop {
            let gate = self.gate(key);
            let free = gate
                .workers
                .iter()
                .find(|(id, takes)| **takes && !gate.busy.contains(*id));
            let Some(id) = free.map(|(id, _)| id.clone()) else {
                return;
            };
            let Some((came, takes)) = gate.queue.pop_front() else {
                return;
            };
            gate.busy.insert(id.clone());
            self.waits.push(now - came);
            self.after(takes, Happening::Answered(id));
        }
    }

    fn report(&mut self) {
        self.sequence += 1;
        let keys: Vec<Key> = self.gates.keys().cloned().collect();
        let loads = keys.iter().map(|key| {
            let gate = self.gate(key);
            let queued = u32::try_from(gate.queue.len()).unwrap();
            let workers = gate.workers.keys().map(|id| WorkerLoad {
                id: id.clone(),
                in_flight: u32::from(gate.busy.contains(id)),
                copies: 0,
                answered: 0,
                failed: 0,
                ejected: false,
            });
            DeploymentLoad {
                service: key.service.clone(),
                deployment: key.deployment.clone(),
                current: queued + u32::try_from(gate.busy.len()).unwrap(),
                queued,
                integral: gate.integral,
                arrivals: gate.arrivals,
                completions: gate.completions,
                errors: 0,
                no_capacity: 0,
                wait: TimeHistogram::default(),
                service_time: TimeHistogram::default(),
                outcomes: Outcomes::default(),
                woken: 0,
                tokens: TokenLoad::default(),
                workers: workers.collect(),
            }
        });
        let deployments = loads.collect();
        self.tell(Event::Report(LoadReport {
            gateway: 1,
            sequence: self.sequence,
            generation: self.generation,
            at: self.now.at - begin().at,
            deployments,
            services: Vec::new(),
        }));
    }

    /// The file says something else.
    pub(super) fn reload(&mut self, config: &Arc<Config>) {
        let ask = Ask::Apply(Arc::clone(config), Origin::of(Via::File));
        self.tell(Event::Asked(AskId(0), ask));
    }

    pub(super) fn tell(&mut self, event: Event) {
        let effects = self.core.handle(event, self.now);
        self.obey(effects);
        let effects = self.core.handle(Event::Turn, self.now);
        self.obey(effects);
    }

    fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start { worker, .. } => {
                    let gpus = worker.gpus.as_deref().unwrap_or_default();
                    let key = Key {
                        service: worker.service.clone(),
                        deployment: worker.deployment.clone(),
                    };
                    self.say(&format!(
                        "{key}#{} starts on {}",
                        worker.slot,
                        gpus.join("+")
                    ));
                    for gpu in gpus {
                        let before = self.holders.insert(gpu.clone(), worker.id.clone());
                        assert_eq!(before, None, "{gpu} is given twice");
                    }
                    self.starts += 1;
                    self.owners.insert(worker.id.clone(), key);
                    self.running.insert(worker.id.clone());
                    self.after(Duration::from_millis(100), Happening::Exists(worker.id));
                }
                Effect::Stop(id) | Effect::CallOff(id) => self.after(STOP, Happening::Gone(id)),
                Effect::Publish(snapshot) => self.follow(&snapshot),
                Effect::Journal(entry) if self.tells => {
                    let about = format!("{}/{}", entry.service, entry.deployment);
                    self.say(&format!("{about}: {}: {}", entry.kind, entry.text));
                }
                Effect::Alarm(at) => {
                    self.alarm = at;
                    let left = at.saturating_sub(self.now.at);
                    self.after(left, Happening::Alarm);
                }
                _ => {}
            }
        }
    }

    fn follow(&mut self, snapshot: &FleetSnapshot) {
        self.generation = snapshot.generation;
        let mut keys = Vec::new();
        for service in &snapshot.services {
            for deployment in &service.deployments {
                let key = Key {
                    service: service.spec.name.clone(),
                    deployment: deployment.spec.name.clone(),
                };
                let listed = deployment.workers.iter();
                let listed =
                    listed.map(|entry| (entry.id.clone(), entry.state == WorkerState::Ready));
                self.gate(&key).workers = listed.collect();
                keys.push(key);
            }
        }
        keys.iter().for_each(|key| self.dispatch(key));
    }

    fn say(&mut self, text: &str) {
        if self.tells {
            let since = self.now.at - begin().at;
            self.told
                .push(format!("{:7.1}  {text}", since.as_secs_f64()));
        }
    }

    /// Requests that wait.
    pub(super) fn queued(&self, service: &str) -> usize {
        let gates = self.gates.iter();
        let own = gates.filter(|(key, _)| key.service.as_str() == service);
        own.map(|(_, gate)| gate.queue.len()).sum()
    }

    /// All requests that wait.
    pub(super) fn all_queued(&self) -> usize {
        self.gates.values().map(|gate| gate.queue.len()).sum()
    }

    /// Deployments where somebody waits and for which no worker is on its way.
    pub(super) fn without_worker(&self) -> usize {
        let loaded = self.loaded();
        let waiting = self.gates.iter().filter(|(_, gate)| !gate.queue.is_empty());
        let without = waiting.filter(|(key, _)| !loaded.contains(key.service.as_str()));
        without.count()
    }

    /// How long the first of all who wait has waited.
    pub(super) fn longest_wait(&self) -> Duration {
        let first = self.gates.values().filter_map(|gate| gate.queue.front());
        first
            .map(|(came, _)| self.now.at - *came)
            .max()
            .unwrap_or_default()
    }

    /// GPUs that no worker has.
    pub(super) fn free(&self, all: usize) -> usize {
        all - self.holders.len()
    }

    /// Services whose workers are there.
    pub(super) fn loaded(&self) -> BTreeSet<&str> {
        let owners = self.holders.values().map(|id| &self.owners[id]);
        owners.map(|key| key.service.as_str()).collect()
    }
}
