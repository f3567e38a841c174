//! Whatever happens in whatever order: workers die at any moment, outcomes come late, twice or (where
//! that may be) not at all, settings change, operators pause, probes and reports come or do not. The
//! promises of the core hold all the while, and once the world is calm again it gets to where it should
//! be.

use std::{collections::BTreeSet, time::Duration};

use penstock_config::fleet::{
    DeploymentLoad, LoadReport, Outcomes, TimeHistogram, TokenLoad, WorkerId,
};
use proptest::prelude::*;

use super::play::{begin, config};
use crate::{
    core::{
        Ask, AskId, Core, Effect, Event, Moment, NotSaved, PauseAsk, PauseRequest, ProbeEvent,
        StartError, worker::Life,
    },
    remembered::Remembered,
    revisions::{Origin, Via},
    virtual_world::{Job, Machine},
};

/// Most workers of the deployment that any of the settings allows.
const MAX: usize = 4;

/// One thing that happens; numbers choose among what there is to choose from.
#[derive(Debug, Clone)]
enum Happening {
    /// So many milliseconds pass.
    Wait(u16),
    /// An outcome comes that is under way.
    Outcome(u8),
    /// It comes, and comes again.
    OutcomeTwice(u8),
    /// A start comes to nothing: for want of room, or for good.
    Fails(u8, bool),
    /// A worker cannot be put to sleep, or cannot be woken.
    Insomnia(u8),
    /// What a worker says of its sleep.
    Says(u8, bool),
    /// A worker dies.
    Dies(u8),
    /// What its probe finds out.
    Probed(u8, u8),
    /// A gateway reports so many requests.
    Report {
        current: u8,
        stale: bool,
    },
    /// Other settings.
    Reload {
        min: u8,
        max: u8,
        command: u8,
    },
    /// The service is not configured any more.
    Remove,
    Pause(bool),
    /// The oldest row is in the state file or is not; `None`: nobody says what became of it.
    Saved(Option<bool>),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0_u16..5000).prop_map(Happening::Wait),
        6 => any::<u8>().prop_map(Happening::Outcome),
        1 => any::<u8>().prop_map(Happening::OutcomeTwice),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(which, room)| Happening::Fails(which, room)),
        1 => any::<u8>().prop_map(Happening::Insomnia),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(which, sleeps)| Happening::Says(which, sleeps)),
        2 => any::<u8>().prop_map(Happening::Dies),
        5 => (any::<u8>(), 0_u8..6).prop_map(|(which, what)| Happening::Probed(which, what)),
        4 => (0_u8..60, any::<bool>())
            .prop_map(|(current, stale)| Happening::Report { current, stale }),
        1 => (0_u8..3, 0_u8..3, 0_u8..2).prop_map(|(min, more, command)| Happening::Reload {
            min,
            max: (min + more).clamp(1, MAX as u8),
            command,
        }),
        1 => Just(Happening::Remove),
        1 => any::<bool>().prop_map(Happening::Pause),
        1 => any::<Option<bool>>().prop_map(Happening::Saved),
    ]
}

/// The world as the drivers know it.
struct World {
    core: Core,
    now: Moment,
    machine: Machine,
    /// What the core waits for.
    under_way: Vec<Job>,
    saves: Vec<u64>,
    asked: BTreeSet<u64>,
    asks: u64,
    generation: u64,
    sequence: u64,
    arrivals: u64,
    alarm: Duration,
    /// Whether the last turn started a worker.
    started: bool,
    /// Every effect, in full.
    said: String,
}

fn settings(min: u8, max: u8, command: u8) -> String {
    format!(
        "[services.chat.deployments.stable]
         process = {{ command = [\"serve-{command}\"] }}
         sleep = {{ engine = \"vllm\", for = \"60s\" }}
         start_timeout = \"30s\"
         drain_timeout = \"10s\"
         max_concurrency = 10
         scaling = {{ min = {min}, max = {max}, idle_timeout = \"2s\" }}"
    )
}

impl World {
    fn new() -> Self {
        let now = begin();
        let (core, effects) = Core::new(&config(&settings(1, 2, 0)), Remembered::default(), now);
        let mut this = Self {
            core,
            now,
            machine: Machine::default(),
            under_way: Vec::new(),
            saves: Vec::new(),
            asked: BTreeSet::new(),
            asks: 0,
            generation: 0,
            sequence: 0,
            arrivals: 0,
            alarm: now.at,
            started: false,
            said: String::new(),
        };
        this.obey(effects);
        this
    }

    fn tell(&mut self, event: Event) {
        self.started = false;
        let effects = self.core.handle(event, self.now);
        self.obey(effects);
        let effects = self.core.handle(Event::Turn, self.now);
        self.obey(effects);
        self.check();
    }

    fn obey(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.said += &format!("{effect:?}\n");
            self.under_way.extend(self.machine.obey(&effect));
            match effect {
                Effect::Start { .. } => self.started = true,
                Effect::Probe { worker, .. } => {
                    let is_here = self.machine.get(&worker).is_some();
                    assert!(is_here, "{worker} is nowhere");
                }
                Effect::Save { number, .. } => self.saves.push(number),
                Effect::Answer(AskId(to), _) => {
                    assert!(self.asked.remove(&to), "nobody asked {to}");
                }
                Effect::Publish(snapshot) => {
                    assert!(snapshot.generation > self.generation, "it only grows");
                    self.generation = snapshot.generation;
                }
                Effect::Alarm(at) => self.alarm = at,
                _ => {}
            }
        }
    }

    /// What holds after every turn.
    fn check(&self) {
        assert_eq!(self.machine.faults(), [""; 0]);
        let deployments = || {
            let services = self.core.services.values();
            services.flat_map(|service| service.deployments.values())
        };
        for deployment in deployments() {
            let kept = deployment.workers.iter().filter(|worker| worker.is_kept());
            let (kept, desired) = (kept.count(), deployment.decision.desired as usize);
            // While one revision replaces another there is one more than desired; and what is left of a
            // revision whose successors fail stays beside them, but nothing is started for that.
            assert!(kept <= 2 * MAX, "{kept} workers");
            if self.started {
                assert!(kept <= desired + 1, "{kept} workers, and {desired} desired");
            }
            for worker in &deployment.workers {
                let waits_for = match worker.life {
                    Life::Starting if worker.address.is_none() => {
                        Some(Job::Start(worker.id().clone()))
                    }
                    Life::Stopping if worker.address.is_some() => {
                        Some(Job::Stop(worker.id().clone()))
                    }
                    Life::Stopping => Some(Job::Start(worker.id().clone())),
                    Life::FallingAsleep => Some(Job::Sleep(worker.id().clone())),
                    Life::Waking { .. } if !worker.is_probed => {
                        Some(Job::Wake(worker.id().clone()))
                    }
                    _ => None,
                };
                let comes = waits_for.is_none_or(|what| self.under_way.contains(&what));
                assert!(comes, "{} waits for what never comes", worker.id());
                assert!(self.core.owners.contains_key(worker.id()));
            }
        }
        let known = deployments().map(|deployment| deployment.workers.len());
        assert_eq!(known.sum::<usize>(), self.core.owners.len());
        for process in self.machine.running() {
            let id = &process.worker.id;
            let is_known = self.core.owners.contains_key(id);
            assert!(is_known, "{id} runs, and nobody knows");
        }
        assert!(
            self.alarm <= self.now.at + Duration::from_secs(1),
            "an alarm in a second"
        );
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Wait(ms) => {
                self.now.at += Duration::from_millis((*ms).into());
                self.now.wall_ms += u64::from(*ms);
                self.now.today_ms += u64::from(*ms);
                self.tell(Event::Turn);
            }
            Happening::Outcome(which) => {
                if let Some(what) = self.take(*which) {
                    self.come(what);
                }
            }
            Happening::OutcomeTwice(which) => {
                if let Some(what) = self.take(*which) {
                    self.come(what.clone());
                    // Nothing of it is known any more, or nothing is new.
                    if let Job::Stop(id) = what {
                        self.tell(Event::Stopped(id));
                    }
                }
            }
            Happening::Fails(which, no_room) => {
                let starts = self.under_way.iter();
                let starts = starts.filter(|what| matches!(what, Job::Start(_)));
                let starts: Vec<_> = starts.cloned().collect();
                if let Some(Job::Start(id)) = nth(&starts, *which) {
                    let job = Job::Start(id.clone());
                    self.under_way.retain(|what| *what != job);
                    let error = if *no_room {
                        StartError::NoRoom("no GPU free".to_owned())
                    } else {
                        StartError::Failed("no such program".to_owned())
                    };
                    let event = self.machine.fail(&job, error);
                    event.into_iter().for_each(|event| self.tell(event));
                }
            }
            Happening::Insomnia(which) => {
                let naps = self.under_way.iter();
                let naps = naps.filter(|job| matches!(job, Job::Sleep(_) | Job::Wake(_)));
                let naps: Vec<_> = naps.cloned().collect();
                if let Some(job) = nth(&naps, *which) {
                    let place = self.under_way.iter().position(|known| known == job);
                    self.under_way.remove(place.expect("it is there"));
                    let error = StartError::Failed("HTTP status 500".to_owned());
                    let event = self.machine.fail(job, error);
                    event.into_iter().for_each(|event| self.tell(event));
                }
            }
            Happening::Says(which, sleeps) => {
                if let Some(id) = nth(&self.running(), *which).cloned() {
                    let number = self.core.worker(&id).map_or(0, |(_, worker)| worker.naps);
                    self.tell(Event::Sleeps(id, number, *sleeps));
                }
            }
            Happening::Dies(which) => {
                if let Some(id) = nth(&self.running(), *which) {
                    let event = self.machine.die(id, "killed by SIGKILL");
                    event.into_iter().for_each(|event| self.tell(event));
                }
            }
            Happening::Probed(which, what) => {
                if let Some(id) = nth(&self.running(), *which).cloned() {
                    let reason = "HTTP status 500".to_owned();
                    self.tell(Event::Probed(match what {
                        0 => ProbeEvent::NotReady(id, reason),
                        1 => ProbeEvent::LivenessFailed(id, reason),
                        _ => ProbeEvent::Ready(id),
                    }));
                }
            }
            Happening::Report { current, stale } => self.report((*current).into(), *stale),
            Happening::Reload { min, max, command } => {
                self.apply(&settings(*min, *max, *command));
            }
            Happening::Remove => {
                let other = settings(0, 1, 0).replace("chat", "other");
                self.apply(&other);
            }
            Happening::Pause(pause) => self.pause(*pause),
            Happening::Saved(result) => {
                if !self.saves.is_empty() {
                    let number = self.saves.remove(0);
                    let result = match result {
                        None => return self.saves.push(number),
                        Some(true) => Ok(()),
                        Some(false) => Err(NotSaved::Busy),
                    };
                    self.tell(Event::Saved(number, result));
                }
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        self.asks += 1;
        self.asked.insert(self.asks);
        self.tell(Event::Asked(AskId(self.asks), ask));
    }

    fn apply(&mut self, settings: &str) {
        self.ask(Ask::Apply(config(settings), Origin::of(Via::File)));
    }

    fn pause(&mut self, pause: bool) {
        self.ask(Ask::Pause(PauseRequest {
            service: "chat".to_owned(),
            deployment: None,
            ask: if pause {
                PauseAsk::Pause(None)
            } else {
                PauseAsk::Resume
            },
            by: None,
            reason: None,
        }));
    }

    fn report(&mut self, current: u32, stale: bool) {
        self.sequence += 1;
        self.arrivals += u64::from(current);
        let load = DeploymentLoad {
            service: "chat".try_into().expect("a name"),
            deployment: "stable".try_into().expect("a name"),
            current,
            queued: current,
            integral: 0.0,
            arrivals: self.arrivals,
            completions: 0,
            errors: 0,
            no_capacity: 0,
            wait: TimeHistogram::default(),
            service_time: TimeHistogram::default(),
            outcomes: Outcomes::default(),
            woken: 0,
            tokens: TokenLoad::default(),
            workers: Vec::new(),
        };
        self.tell(Event::Report(LoadReport {
            gateway: 1,
            sequence: self.sequence,
            generation: self.generation - u64::from(stale).min(self.generation),
            at: self.now.at - begin().at,
            deployments: vec![load],
            services: Vec::new(),
        }));
    }

    fn take(&mut self, which: u8) -> Option<Job> {
        let place = usize::from(which).checked_rem(self.under_way.len())?;
        Some(self.under_way.remove(place))
    }

    /// What was under way has come to something.
    fn come(&mut self, job: Job) {
        let events = self.machine.done(job);
        events.into_iter().for_each(|event| self.tell(event));
    }

    fn running(&self) -> Vec<WorkerId> {
        let running = self.machine.running();
        running.map(|process| process.worker.id.clone()).collect()
    }

    /// Everything works again, and nobody asks for anything but what these settings say.
    fn calm_down(&mut self) {
        self.apply(&settings(2, 3, 1));
        self.pause(false);
        for _ in 0..300 {
            while let Some(what) = self.take(0) {
                self.come(what);
            }
            for id in self.running() {
                self.tell(Event::Probed(ProbeEvent::Ready(id)));
            }
            while let Some(number) = self.saves.pop() {
                self.tell(Event::Saved(number, Ok(())));
            }
            self.report(0, false);
            self.happen(&Happening::Wait(2000));
        }
        let all = self.core.services.values();
        let all: Vec<_> = all
            .flat_map(|service| service.deployments.values())
            .collect();
        assert_eq!(all.len(), 1, "what is not configured any more is gone");
        assert!(all[0].workers.iter().all(|worker| worker.is_ready()));
        assert_eq!((all[0].workers.len(), self.running().len()), (2, 2));
        assert_eq!(self.asked, BTreeSet::new(), "everybody has an answer");
        assert!(self.core.saves.is_empty() && self.core.touched.is_empty());
    }
}

fn nth<T>(all: &[T], which: u8) -> Option<&T> {
    all.get(usize::from(which).checked_rem(all.len())?)
}

fn play(happenings: &[Happening]) -> World {
    let mut world = World::new();
    for happening in happenings {
        world.happen(happening);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::default())]

    #[test]
    fn promises_hold_in_every_order_and_the_core_gets_to_where_it_should_be(
        happenings in prop::collection::vec(happening(), 0..120)
    ) {
        play(&happenings).calm_down();
    }

    #[test]
    fn the_same_events_at_the_same_moments_give_the_same_effects(
        happenings in prop::collection::vec(happening(), 0..120)
    ) {
        prop_assert_eq!(play(&happenings).said, play(&happenings).said);
    }
}
