//! Workers that sleep: they gave the memory of their GPUs up and can be woken faster than others start.
//!
//! A worker falls asleep where it would end because it is not needed or makes room, after it has drained as ever. It
//! keeps its GPUs until their memory is free. It is woken in place of a start when its deployment lacks a worker
//! and its own GPUs are free: a process cannot be given others. What fails on the way ends the worker, as if
//! there were no sleep.

mod facts;

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::WorkerId;

pub(super) use self::facts::any_asleep;
use super::{
    Core,
    deployment::Key,
    effect::{Effect, Memory},
    gpus::Holding,
    worker::Life,
};
use crate::{plan::StopCause, remembered::StartRow, revisions::digest_of};

impl Core {
    /// Whether a worker that has drained is to sleep rather than end.
    pub(super) fn goes_to_sleep(&self, id: &WorkerId) -> bool {
        let deployment = self.owners.get(id).and_then(|key| self.deployment(key));
        !self.shutting_down
            && self.max_asleep > 0
            && deployment.is_some_and(|deployment| deployment.sends_to_sleep(id))
    }

    /// A worker that has drained gives its GPUs' memory up.
    pub(super) fn put_to_sleep(&mut self, id: &WorkerId) {
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let Some(sleep) = deployment.spec.sleep.clone() else {
            return;
        };
        deployment.changed = true;
        let worker = &mut deployment.workers[place];
        worker.life = Life::FallingAsleep;
        worker.passes = false;
        worker.idle_since = None;
        let slot = worker.new.slot;
        let nap = worker.nap(sleep);
        let quiet = worker.ask_nothing();
        self.effects.extend(quiet);
        self.effects.push(Effect::Sleep(nap));
        let text = format!("worker {slot} is put to sleep: nothing is left to do");
        self.note(&key, "worker_sleeping", &text);
        self.end_oldest_sleepers();
    }

    pub(super) fn on_slept(&mut self, id: &WorkerId, result: Result<Option<Arc<str>>, String>) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        if deployment.workers[place].life != Life::FallingAsleep {
            return;
        }
        deployment.changed = true;
        deployment.tally.slept(result.is_ok());
        let sleep = deployment.spec.sleep.clone();
        let worker = &mut deployment.workers[place];
        let slot = worker.new.slot;
        match result {
            Ok(recorded) => {
                worker.recorded = recorded;
                worker.life = Life::Asleep { since: now };
                let watch = sleep.and_then(|sleep| worker.watch_sleep(sleep));
                self.effects.extend(watch);
                self.note(&key, "worker_asleep", &format!("worker {slot} sleeps"));
                self.release_gpus(id);
            }
            Err(reason) => {
                let text = format!("worker {slot} could not be put to sleep, so it ends: {reason}");
                self.note(&key, "sleep_failed", &text);
                self.stop(id, StopCause::SleepFailed, now);
            }
        }
        self.touched.insert(key);
        self.room_may_exist();
    }

    /// Wakes a worker of a deployment that sleeps, if there is one whose GPUs are free, in this group.
    pub(super) fn wake_one(&mut self, key: &Key, group: Option<usize>) -> bool {
        let Some(deployment) = self.deployment(key) else {
            return false;
        };
        let sleepers = deployment.sleepers().into_iter().map(|worker| {
            let gpus = worker.new.gpus.clone().unwrap_or_default();
            (worker.id().clone(), worker.new.slot, gpus)
        });
        let sleepers: Vec<_> = sleepers.collect();
        let fits = sleepers.into_iter().find(|(id, slot, gpus)| {
            if gpus.is_empty() {
                return true;
            }
            let holder = Holding {
                id: id.clone(),
                key: key.clone(),
                slot: *slot,
            };
            group.is_some_and(|group| self.gpus.give_these(group, gpus, &holder))
        });
        let Some((id, ..)) = fits else {
            return false;
        };
        self.wake(&id);
        true
    }

    /// Makes a worker take the memory of its GPUs, which it has, again.
    fn wake(&mut self, id: &WorkerId) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let Some(sleep) = deployment.spec.sleep.clone() else {
            return;
        };
        deployment.changed = true;
        let worker = &mut deployment.workers[place];
        worker.life = Life::Waking { since: now };
        worker.passes = false;
        worker.adopted = false;
        let slot = worker.new.slot;
        let quiet = worker.ask_nothing();
        let nap = worker.nap(sleep);
        self.effects.extend(quiet);
        self.effects.push(Effect::Wake(nap));
        self.note(&key, "worker_waking", &format!("worker {slot} is woken"));
        self.touched.insert(key);
    }

    pub(super) fn on_woke(&mut self, id: &WorkerId, result: Result<(), String>) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        if !matches!(worker.life, Life::Waking { .. }) {
            return;
        }
        match result {
            Ok(()) => {
                let probe = worker.probe(&deployment.spec.probes);
                self.effects.push(probe);
            }
            Err(reason) => {
                let slot = worker.new.slot;
                deployment.tally.woke(None);
                let text = format!(
                    "worker {slot} could not be woken, and another one is started in its place: {reason}"
                );
                // To its own successor.
                self.gpus.promise(id, &key);
                self.note(&key, "wake_failed", &text);
                self.stop(id, StopCause::WakeFailed, now);
            }
        }
        self.touched.insert(key);
    }

    /// A worker passes its probes. Whether that means that it is awake again.
    pub(super) fn comes_awake(&mut self, id: &WorkerId) -> bool {
        let (now, at_ms) = (self.now.at, self.now.wall_ms);
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return false;
        };
        let worker = &mut deployment.workers[place];
        let Life::Waking { since } = worker.life else {
            return false;
        };
        if !worker.is_probed {
            // An old answer: it is not asked yet.
            return true;
        }
        worker.life = Life::Serving;
        worker.passes = true;
        worker.probe_failure = None;
        worker.ready_at = Some(now);
        deployment.changed = true;
        let worker = &deployment.workers[place];
        let (slot, took) = (worker.new.slot, now.saturating_sub(since));
        let text = format!("worker {slot} is awake after {:.1} s", took.as_secs_f64());
        // How long it took of which an earlier run saw the beginning is not known.
        if !worker.adopted {
            let row = StartRow {
                at_ms,
                service: key.service.to_string(),
                deployment: key.deployment.to_string(),
                revision: digest_of(&worker.revision).to_owned(),
                took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                woke: true,
            };
            deployment.starts.woke(took, &row.revision);
            deployment.tally.woke(Some(took.as_secs_f64()));
            self.effects.push(Effect::Remember(Memory::Started(row)));
        }
        self.note(&key, "worker_ready", &text);
        self.watch_sleep_of(id);
        self.touched.insert(key);
        true
    }

    /// A worker that serves is asked now and then whether it sleeps, where that can be asked.
    pub(super) fn watch_sleep_of(&mut self, id: &WorkerId) {
        let watch = self.worker_mut(id).and_then(|(_, deployment, place)| {
            let sleep = deployment.spec.sleep.clone()?;
            deployment.workers[place].watch_sleep(sleep)
        });
        self.effects.extend(watch);
    }

    /// A worker says whether it sleeps. One that does what nobody asked for is brought back to what it should be.
    pub(super) fn on_sleeps(&mut self, id: &WorkerId, number: u64, sleeps: bool) {
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &deployment.workers[place];
        if worker.naps != number {
            return;
        }
        let slot = worker.new.slot;
        match (worker.life, sleeps) {
            (Life::Serving, true) => {
                let text = format!("worker {slot} sleeps although nobody put it to sleep");
                self.note(&key, "worker_fell_asleep", &text);
                self.wake(id);
            }
            (Life::Asleep { .. }, false) => {
                let text = format!(
                    "worker {slot} is awake although nobody woke it, and may use GPUs that others have"
                );
                self.note(&key, "worker_woke_up", &text);
                self.put_to_sleep(id);
            }
            _ => {}
        }
    }

    /// Ends workers of a deployment that are not to sleep any longer, or take too long to wake.
    pub(super) fn mind_sleepers(&mut self, key: &Key) {
        let now = self.now.at;
        let may_sleep = !self.shutting_down && self.max_asleep > 0;
        let Some(deployment) = self.deployment(key) else {
            return;
        };
        let due = deployment.sleepers_to_end(may_sleep, now);
        for (id, why) in due {
            if why == StopCause::WakeFailed {
                self.on_woke(&id, Err("it is not ready within start_timeout".to_owned()));
            } else {
                self.stop(&id, why, now);
            }
        }
    }

    /// Where more sleep than may, those end that have slept longest.
    pub(super) fn end_oldest_sleepers(&mut self) {
        let now = self.now.at;
        let deployments = self
            .services
            .values()
            .flat_map(|service| service.deployments.values());
        let workers = deployments.flat_map(|deployment| &deployment.workers);
        let mut falling = 0;
        let mut sleeping: Vec<(Duration, WorkerId)> = Vec::new();
        for worker in workers {
            match worker.life {
                Life::FallingAsleep => falling += 1,
                Life::Asleep { since } => sleeping.push((since, worker.id().clone())),
                _ => {}
            }
        }
        let surplus = (falling + sleeping.len()).saturating_sub(self.max_asleep as usize);
        sleeping.sort_unstable();
        for (_, id) in sleeping.into_iter().take(surplus) {
            self.stop(&id, StopCause::TooManyAsleep, now);
        }
    }

    /// The GPUs that sleeping workers had, and whose those are.
    pub(super) fn beds(&self) -> Vec<(Key, String)> {
        let deployments = self
            .services
            .values()
            .flat_map(|service| service.deployments.values());
        let can_sleep = deployments.filter(|deployment| deployment.spec.sleep.is_some());
        let beds = can_sleep.flat_map(|deployment| {
            deployment.sleepers().into_iter().flat_map(|worker| {
                let gpus = worker.new.gpus.iter().flat_map(|gpus| gpus.iter());
                gpus.map(|gpu| (deployment.key.clone(), gpu.clone()))
            })
        });
        beds.collect()
    }

    /// What a worker that exists is told or asked first. One that is taken over may sleep.
    pub(super) fn greet(&mut self, id: &WorkerId) -> Option<Effect> {
        let (_, deployment, place) = self.worker_mut(id)?;
        let sleep = deployment.spec.sleep.clone();
        let worker = &mut deployment.workers[place];
        match (worker.life, sleep) {
            // It was called off while it was being started.
            (Life::Stopping, _) => Some(Effect::Stop(id.clone())),
            (Life::Asleep { .. }, Some(sleep)) => worker.watch_sleep(sleep),
            // Both can be asked for twice.
            (Life::FallingAsleep, Some(sleep)) => Some(Effect::Sleep(worker.nap(sleep))),
            (Life::Waking { .. }, Some(sleep)) => Some(Effect::Wake(worker.nap(sleep))),
            _ => Some(worker.probe(&deployment.spec.probes)),
        }
    }
}
