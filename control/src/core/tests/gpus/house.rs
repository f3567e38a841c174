//! The machine, its gateway and its workers, with what is done in words.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use penstock_config::{Config, fleet::WorkerId};

use super::super::play::begin;
use crate::{
    core::{Ask, AskId, Core, Effect, Event, Key, NewWorker, StartError},
    remembered::Remembered,
    revisions::{Origin, Via},
    virtual_world::{self, Request, Start, Workers},
};

/// From a start to a worker that exists.
const EXISTS_AFTER: Duration = Duration::from_millis(100);

/// Workers that load for a while.
pub(super) struct Loads {
    load_time: Duration,
    /// Whether they cannot be put to sleep.
    pub(super) sleep_fails: bool,
    /// Whether they cannot be woken.
    pub(super) wake_fails: bool,
}

impl Workers for Loads {
    fn start(&mut self, _: &NewWorker) -> Result<Start, StartError> {
        Ok(Start {
            exists_after: EXISTS_AFTER,
            ready_after: EXISTS_AFTER + self.load_time,
        })
    }

    fn stop(&mut self) -> Duration {
        Duration::from_secs(1)
    }

    fn sleep(&mut self, _: &NewWorker) -> (Duration, Result<(), StartError>) {
        let result = unless(self.sleep_fails, "it does not want to");
        (Duration::from_millis(500), result)
    }

    fn wake(&mut self, _: &NewWorker) -> (Duration, Result<(), StartError>) {
        let result = unless(self.wake_fails, "it is corrupt");
        (Duration::from_secs(2), result)
    }
}

fn unless(fails: bool, why: &str) -> Result<(), StartError> {
    match fails {
        true => Err(StartError::Failed(why.to_owned())),
        false => Ok(()),
    }
}

pub(super) struct House {
    house: virtual_world::House<Loads>,
    /// What was done, in words; filled if wanted.
    pub(super) told: Vec<String>,
    tells: bool,
    pub(super) starts: usize,
    pub(super) wakes: usize,
    /// Who was last to be asked whether it sleeps, and under which number.
    pub(super) watched: Option<(WorkerId, u64)>,
}

impl House {
    pub(super) fn new(config: &Arc<Config>, load_time: Duration, tells: bool) -> Self {
        let loads = Loads {
            load_time,
            sleep_fails: false,
            wake_fails: false,
        };
        let mut house = virtual_world::House::new(config, Remembered::default(), loads, begin());
        // At once, but those who come together are told of together. In a crowd that is what takes the time of
        // a test.
        house.gateway.gathers = Duration::from_millis(if tells { 50 } else { 500 });
        let mut this = Self {
            house,
            told: Vec::new(),
            tells,
            starts: 0,
            wakes: 0,
            watched: None,
        };
        this.listen();
        this
    }

    pub(super) fn core(&self) -> &Core {
        self.house.shell.core()
    }

    pub(super) fn workers(&mut self) -> &mut Loads {
        &mut self.house.shell.workers
    }

    /// A request that comes after this time and takes so long.
    pub(super) fn arrive(&mut self, service: &str, after: Duration, takes: Duration) {
        let key = Key {
            service: service.try_into().unwrap(),
            deployment: "stable".try_into().unwrap(),
        };
        let request = Request {
            service: takes,
            again: false,
        };
        self.house.arrive(key, after, request);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.house.shell.now().at + time;
        while self.house.step(end) {
            self.listen();
        }
        let faults = self.house.shell.machine().faults();
        assert_eq!(faults, [""; 0]);
    }

    /// The file says something else.
    pub(super) fn reload(&mut self, config: &Arc<Config>) {
        let ask = Ask::Apply(Arc::clone(config), Origin::of(Via::File));
        self.tell(Event::Asked(AskId(0), ask));
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.house.tell(event);
        self.listen();
    }

    fn listen(&mut self) {
        for effect in self.house.said() {
            match effect {
                Effect::Start { worker, .. } => {
                    self.starts += 1;
                    let gpus = worker.gpus.as_deref().unwrap_or_default().join("+");
                    let (service, deployment) = (&worker.service, &worker.deployment);
                    let slot = worker.slot;
                    self.say(&format!("{service}/{deployment}#{slot} starts on {gpus}"));
                }
                Effect::Wake(_) => self.wakes += 1,
                Effect::WatchSleep { worker, number, .. } => self.watched = Some((worker, number)),
                Effect::Journal(entry) if self.tells => {
                    let about = format!("{}/{}", entry.service, entry.deployment);
                    self.say(&format!("{about}: {}: {}", entry.kind, entry.text));
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, text: &str) {
        if self.tells {
            let since = self.house.shell.now().at - begin().at;
            self.told
                .push(format!("{:7.1}  {text}", since.as_secs_f64()));
        }
    }

    /// How long each request waited that was begun.
    pub(super) fn waits(&self) -> &[Duration] {
        &self.house.gateway.waits
    }

    /// Requests that wait.
    pub(super) fn queued(&self, service: &str) -> usize {
        let doors = self.house.gateway.doors();
        let own = doors.filter(|(key, _)| key.service.as_str() == service);
        own.map(|(_, door)| door.queued()).sum()
    }

    /// All requests that wait.
    pub(super) fn all_queued(&self) -> usize {
        let doors = self.house.gateway.doors();
        doors.map(|(_, door)| door.queued()).sum()
    }

    /// Deployments where somebody waits and for which no worker is on its way.
    pub(super) fn without_worker(&self) -> usize {
        let loaded = self.loaded();
        let waiting = self.house.gateway.doors();
        let waiting = waiting.filter(|(_, door)| door.queued() > 0);
        let without = waiting.filter(|(key, _)| !loaded.contains(key.service.as_str()));
        without.count()
    }

    /// How long the first of all who wait has waited.
    pub(super) fn longest_wait(&self) -> Duration {
        let doors = self.house.gateway.doors();
        let first = doors.filter_map(|(_, door)| door.oldest()).min();
        first.map_or(Duration::ZERO, |came| self.house.shell.now().at - came)
    }

    /// GPUs that no worker has.
    pub(super) fn free(&self, all: usize) -> usize {
        let taken = self.house.shell.machine().processes();
        let taken: usize = taken.map(|process| process.gpus().len()).sum();
        all - taken
    }

    /// Services whose workers are there and awake.
    pub(super) fn loaded(&self) -> BTreeSet<&str> {
        let all = self.house.shell.machine().processes();
        let with_gpus = all.filter(|process| !process.gpus().is_empty());
        with_gpus
            .map(|process| process.worker.service.as_str())
            .collect()
    }
}
