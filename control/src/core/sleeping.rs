//! Workers that sleep: they gave the memory of their GPUs up and can be woken faster than others start.
//!
//! A worker falls asleep where it would end because it is not needed or makes room, after it has drained as ever. It
//! keeps its GPUs until their memory is free. It is woken in place of a start when its deployment lacks a worker
//! and its own GPUs are free: a process cannot be given others. What fails on the way ends the worker, as if
//! there were no sleep.

use std::{sync::Arc, time::Duration};

use penstock_config::{Sleep, fleet::WorkerId};

use super::{
    Core,
    deployment::{DeploymentState, Key},
    effect::{Effect, Memory, Nap},
    gpus::Holding,
    worker::{Life, Worker},
};
use crate::{
    plan::{DrainCause, StartTimes, StopCause},
    remembered::{SleepNote, SleepState, StartRow},
    revisions::digest_of,
    scale::Seconds,
};

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

    /// A woken worker passes its probes.
    pub(super) fn note_awake(&mut self, id: &WorkerId, since: Duration) {
        let (now, at_ms) = (self.now.at, self.now.wall_ms);
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
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
            deployment.starts.woke(took, true);
            deployment.tally.woke(Some(took.as_secs_f64()));
            self.effects.push(Effect::Remember(Memory::Started(row)));
        }
        self.note(&key, "worker_ready", &text);
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
        let is_settled =
            |worker: &Worker| !worker.is_asleep() && !matches!(worker.life, Life::Waking { .. });
        if deployment.workers.iter().all(is_settled) {
            return;
        }
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

    /// What an earlier run knew of the sleep of a worker that is taken over, which exists.
    pub(super) fn resume_sleep(&mut self, id: &WorkerId) -> Option<Effect> {
        let (_, deployment, place) = self.worker_mut(id)?;
        let sleep = deployment.spec.sleep.clone()?;
        let worker = &mut deployment.workers[place];
        match worker.life {
            Life::Asleep { .. } => worker.watch_sleep(sleep),
            // Both can be asked for twice.
            Life::FallingAsleep => Some(Effect::Sleep(worker.nap(sleep))),
            Life::Waking { .. } => Some(Effect::Wake(worker.nap(sleep))),
            _ => None,
        }
    }
}

impl DeploymentState {
    /// Whether one of its workers that has drained is to sleep, as far as this deployment goes.
    pub(super) fn sends_to_sleep(&self, id: &WorkerId) -> bool {
        let mut workers = self.workers.iter();
        let worker = workers.find(|worker| worker.id() == id);
        worker.is_some_and(|worker| {
            let cause = match worker.life {
                Life::Draining { cause, .. } => cause,
                _ => return false,
            };
            let goes_on = matches!(
                cause,
                DrainCause::Surplus | DrainCause::MakesRoom | DrainCause::GivesTurn
            );
            goes_on && self.may_sleep(worker) && self.tracker.in_flight(id) == 0
        })
    }

    fn may_sleep(&self, worker: &Worker) -> bool {
        let may = self.spec.sleep.is_some() && !self.removed && self.paused.is_none();
        may && self.is_current(worker) && worker.broken.is_none() && worker.address.is_some()
    }

    /// Its workers that sleep and could be woken, the one that has slept least first.
    pub(super) fn sleepers(&self) -> Vec<&Worker> {
        if self.spec.sleep.is_none() {
            return Vec::new();
        }
        let mut all: Vec<(Duration, &Worker)> = self
            .workers
            .iter()
            .filter_map(|worker| match worker.life {
                Life::Asleep { since } if self.may_sleep(worker) => Some((since, worker)),
                _ => None,
            })
            .collect();
        all.sort_by_key(|(since, worker)| (std::cmp::Reverse(*since), worker.new.slot));
        all.into_iter().map(|(_, worker)| worker).collect()
    }

    fn sleepers_to_end(&self, may_sleep: bool, now: Duration) -> Vec<(WorkerId, StopCause)> {
        let keep_for = self.spec.sleep.as_ref().map(|sleep| sleep.keep_for);
        let is_over = |since: Duration, limit: Duration| now.saturating_sub(since) >= limit;
        let due = self.workers.iter().filter_map(|worker| {
            let may = may_sleep && self.may_sleep(worker);
            let why = match worker.life {
                Life::FallingAsleep | Life::Asleep { .. } if !may => StopCause::Unwanted,
                Life::Waking { .. } if !may && self.decision.desired == 0 => StopCause::Unwanted,
                Life::Asleep { since } if is_over(since, keep_for?) => StopCause::SleptLong,
                Life::Waking { since } if is_over(since, self.spec.start_timeout) => {
                    StopCause::WakeFailed
                }
                _ => return None,
            };
            Some((worker.id().clone(), why))
        });
        due.collect()
    }

    /// How long it takes until it has one worker more: from sleep, where one sleeps.
    pub(super) fn raise_times(&self) -> Option<StartTimes> {
        let wakes = self.spec.sleep.is_some() && self.workers.iter().any(Worker::is_asleep);
        let times = self.starts.wake_times().filter(|_| wakes);
        times.or_else(|| self.starts.times())
    }

    /// The same for one of its workers that is given up now and wanted back later.
    pub(super) fn regain_times(&self) -> Option<StartTimes> {
        let times = self.starts.wake_times();
        let times = times.filter(|_| self.spec.sleep.is_some());
        times.or_else(|| self.starts.times())
    }

    /// Asks its workers by new settings whether they sleep.
    pub(super) fn watch_sleep_anew(&mut self) -> Vec<Effect> {
        let sleep = self.spec.sleep.clone();
        let workers = self.workers.iter_mut();
        let settled = workers.filter(|worker| {
            worker.address.is_some() && matches!(worker.life, Life::Serving | Life::Asleep { .. })
        });
        let effects = settled.filter_map(|worker| match &sleep {
            Some(sleep) => worker.watch_sleep(Arc::clone(sleep)),
            None => Some(Effect::StopWatchingSleep(worker.id().clone())),
        });
        effects.collect()
    }

    /// What there is to say of one of its workers that sleeps.
    pub(super) fn about_sleep(&self, worker: &Worker, now: Duration) -> Option<String> {
        let slot = worker.new.slot;
        let expected = || match self.starts.wake_times() {
            Some(times) => format!(", which takes {}", Seconds(times.p50)),
            None => String::new(),
        };
        match worker.life {
            Life::FallingAsleep => Some(format!("worker {slot} falls asleep")),
            Life::Asleep { since } => {
                let slept = now.saturating_sub(since);
                let keep_for = self.spec.sleep.as_ref()?.keep_for;
                Some(format!(
                    "worker {slot} has slept for {}; it is woken when it is needed{}, and ended in {}",
                    Seconds(slept),
                    expected(),
                    Seconds(keep_for.saturating_sub(slept))
                ))
            }
            Life::Waking { since } => {
                let since = Seconds(now.saturating_sub(since));
                Some(format!(
                    "worker {slot} has been waking up for {since}{}",
                    expected()
                ))
            }
            _ => None,
        }
    }
}

impl Worker {
    fn nap(&mut self, sleep: Arc<Sleep>) -> Nap {
        Nap {
            worker: self.id().clone(),
            sleep,
            recorded: self.recorded.clone(),
        }
    }

    /// It is asked whether it sleeps, where that can be asked.
    pub(super) fn watch_sleep(&mut self, sleep: Arc<Sleep>) -> Option<Effect> {
        self.naps += 1;
        sleep.is_sleeping.as_ref()?;
        Some(Effect::WatchSleep {
            worker: self.id().clone(),
            sleep,
            number: self.naps,
        })
    }

    /// Neither probes nor anything else ask it any more.
    fn ask_nothing(&mut self) -> Vec<Effect> {
        self.naps += 1;
        let mut effects = vec![Effect::StopWatchingSleep(self.id().clone())];
        if std::mem::take(&mut self.is_probed) {
            effects.push(Effect::StopProbing(self.id().clone()));
        }
        self.probe_says = None;
        effects
    }

    /// What an earlier run knew of its sleep.
    pub(super) fn remember_sleep(&mut self, note: SleepNote, now: Duration) {
        self.recorded = note.recorded.map(Into::into);
        self.life = match note.state {
            SleepState::Awake => return,
            SleepState::FallingAsleep => Life::FallingAsleep,
            SleepState::Asleep => Life::Asleep { since: now },
            SleepState::Waking => Life::Waking { since: now },
        };
        self.ready_at = Some(now);
    }
}

/// Whether a deployment has a worker that sleeps.
pub(super) fn any_asleep(deployment: &DeploymentState) -> bool {
    deployment
        .workers
        .iter()
        .any(|worker| matches!(worker.life, Life::Asleep { .. }))
}
