//! Does what the core says, and keeps what it needs for that of each worker.

use tokio::task::JoinError;

use super::{
    Shell,
    executor::{Cancelled, Fact},
    log,
};
use crate::{
    core::{Effect, Event, Memory, NewWorker, NotSaved},
    driver::StartedWorker,
    probe::{self, ProbeGuard},
    remembered::{ServiceRow, Table},
    scrape::{self, ScrapeGuard},
};

/// A worker that a driver was asked to run.
pub(super) struct Held {
    new: NewWorker,
    cancelled: Cancelled,
    /// Known once it exists.
    started: Option<StartedWorker>,
    /// Probes it until dropped.
    probing: Option<ProbeGuard>,
    /// Reads its own metrics until dropped.
    scraping: Option<ScrapeGuard>,
}

impl Held {
    fn new(new: NewWorker) -> Self {
        Self {
            new,
            cancelled: Cancelled::default(),
            started: None,
            probing: None,
            scraping: None,
        }
    }
}

impl Shell {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start { worker, revision } => {
                let held = Held::new(worker.clone());
                self.executor
                    .start(worker.clone(), revision, held.cancelled.clone());
                self.workers.insert(worker.id, held);
            }
            Effect::Prepare(worker) => {
                let held = Held::new(worker.clone());
                self.executor
                    .prepare(worker.clone(), held.cancelled.clone());
                self.workers.insert(worker.id, held);
            }
            Effect::CallOff(id) => {
                if let Some(held) = self.workers.get(&id) {
                    held.cancelled.set();
                    self.executor.call_off(&held.new);
                }
            }
            Effect::Stop(id) => match self.workers.get(&id) {
                Some(held) => self.executor.stop(&held.new),
                None => self.executor.tell(Fact::Stopped(id)),
            },
            Effect::Adopt { worker, saved } => {
                let held = Held::new(worker.clone());
                self.workers.insert(worker.id.clone(), held);
                self.executor.adopt(worker, saved);
            }
            Effect::Sweep(kept) => self.executor.sweep(kept),
            Effect::Forget(id) => {
                self.workers.remove(&id);
                self.executor.forget(id);
            }
            Effect::Hurry => self.executor.hurry(),
            Effect::Probe {
                worker,
                spec,
                probes,
            } => {
                if let Some(held) = self.workers.get_mut(&worker)
                    && let Some(started) = &held.started
                {
                    held.new.spec = spec;
                    let (address, processes) = (started.address, started.processes);
                    let events = self.probe_events.clone();
                    let probing = probe::watch(&held.new, address, processes, &probes, events);
                    held.probing = Some(probing);
                }
            }
            Effect::Answered(id) => {
                let held = self.workers.get(&id);
                if let Some(probing) = held.and_then(|held| held.probing.as_ref()) {
                    probing.note_traffic();
                }
            }
            Effect::StopProbing(id) => {
                if let Some(held) = self.workers.get_mut(&id) {
                    held.probing = None;
                }
            }
            Effect::Scrape { worker, spec } => {
                if let Some(held) = self.workers.get_mut(&worker)
                    && let Some(started) = &held.started
                {
                    let events = self.scrape_events.clone();
                    held.scraping = Some(scrape::watch(worker, started.address, spec, events));
                }
            }
            Effect::StopScraping(id) => {
                if let Some(held) = self.workers.get_mut(&id) {
                    held.scraping = None;
                }
            }
            Effect::Publish(snapshot) => {
                self.snapshots.send_replace(snapshot);
            }
            Effect::Journal(entry) => {
                log::journal(&entry);
                self.store.note(entry);
            }
            Effect::Remember(memory) => self.remember(memory),
            Effect::Save { number, table, row } => self.save(number, table, row),
            Effect::SaveAgain => self.store.retry(),
            Effect::Answer(to, answer) => {
                if let Some(reply) = self.asked.remove(&to) {
                    // Whoever does not wait any more needs no answer.
                    let _ = reply.send(answer);
                }
            }
            Effect::Metric(key, metric) => {
                self.history.lock().told(&key, metric);
                self.page.deployment(key, metric);
            }
            Effect::ForgetMetrics(key) => {
                self.history.lock().forget(&key);
                self.page.forget(&key);
            }
            Effect::GpuGroups(groups) => self.page.gpu_groups(&groups),
            Effect::Rollout(service, told) => self.page.rollout(service, told),
            Effect::Log(line) => log::line(&line),
            Effect::Alarm(at) => self.alarm = at,
            Effect::Ended => self.ended = true,
        }
    }

    fn remember(&self, memory: Memory) {
        match memory {
            Memory::Desired(row) => self.store.desired(row),
            Memory::Started(row) => self.store.started(row),
            Memory::Advice(row) => self.store.advice(row),
            Memory::Demand(row) => self.store.put_demand(row),
            Memory::NoDemand(service, deployment) => self.store.forget_demand(service, deployment),
        }
    }

    fn save(&mut self, number: u64, table: Table, row: ServiceRow) {
        let queued = self.store.put_service(table, row);
        self.saves.spawn(async move {
            let Some(written) = queued else {
                return (number, Err(NotSaved::Busy));
            };
            let result = match written.await {
                Ok(result) => result.map_err(NotSaved::Failed),
                Err(_) => Err(NotSaved::Closed),
            };
            (number, result)
        });
    }

    pub(super) fn on_saved(&mut self, saved: Result<(u64, Result<(), NotSaved>), JoinError>) {
        // An error means that the program ends.
        if let Ok((number, result)) = saved {
            self.tell(Event::Saved(number, result));
        }
    }

    /// Keeps in mind what came of a driver call, and tells it.
    pub(super) fn on_fact(&mut self, fact: Fact) {
        let event = match fact {
            Fact::Started(id, Ok(started)) => {
                let address = started.address;
                if let Some(held) = self.workers.get_mut(&id) {
                    held.started = Some(started);
                }
                Event::Started(id, Ok(address))
            }
            Fact::Started(id, Err(error)) => {
                self.workers.remove(&id);
                Event::Started(id, Err(error))
            }
            Fact::Adopted(id, found) => {
                let address = found.as_ref().map(|started| started.address);
                match (found, self.workers.get_mut(&id)) {
                    (Some(started), Some(held)) => {
                        let gpus = started.gpus.clone();
                        held.new.gpus = Some(gpus.as_slice().into());
                        held.started = Some(started);
                        self.tell(Event::Holds(id.clone(), gpus));
                    }
                    (None, _) => drop(self.workers.remove(&id)),
                    (Some(_), None) => {}
                }
                Event::Adopted(id, address)
            }
            Fact::Progress(id, text) => Event::Progress(id, text),
            Fact::Prepared(id, result) => {
                self.workers.remove(&id);
                Event::Prepared(id, result)
            }
            Fact::CalledOff(id) => {
                self.workers.remove(&id);
                Event::CalledOff(id)
            }
            Fact::Stopped(id) => {
                self.workers.remove(&id);
                Event::Stopped(id)
            }
            Fact::Swept => Event::Swept,
        };
        self.tell(event);
    }
}
