//! Which workers of a deployment sleep, and what is known of that.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use penstock_config::{Sleep, fleet::WorkerId};

use super::super::{
    deployment::DeploymentState,
    effect::{Effect, Nap},
    worker::{Life, Worker},
};
use crate::{
    plan::{DrainCause, StartTimes, StopCause},
    remembered::{SleepNote, SleepState},
    scale::Seconds,
};

impl DeploymentState {
    /// Whether one of its workers that has drained is to sleep, as far as this deployment goes.
    pub(in crate::core) fn sends_to_sleep(&self, id: &WorkerId) -> bool {
        let mut workers = self.workers.iter();
        let worker = workers.find(|worker| worker.id() == id);
        worker.is_some_and(|worker| {
            let Life::Draining { cause, .. } = worker.life else {
                return false;
            };
            let goes_on = matches!(
                cause,
                DrainCause::Surplus | DrainCause::MakesRoom | DrainCause::GivesTurn
            );
            goes_on && self.may_sleep(worker) && self.tracker.in_flight(id) == 0
        })
    }

    /// Whether any of its workers sleeps or wakes, and whether any is to be taken away.
    pub(in crate::core) fn minds(&self) -> (bool, bool) {
        let naps =
            |worker: &Worker| worker.is_asleep() || matches!(worker.life, Life::Waking { .. });
        let workers = &self.workers;
        (
            workers.iter().any(naps),
            workers.iter().any(|worker| worker.notice.is_some()),
        )
    }

    pub(super) fn may_sleep(&self, worker: &Worker) -> bool {
        let may = self.spec.sleep.is_some() && !self.removed && self.paused.is_none();
        may && self.is_current(worker) && worker.broken.is_none()
    }

    /// Its workers that sleep and could be woken, the one that has slept least first.
    pub(in crate::core) fn sleepers(&self) -> Vec<&Worker> {
        if self.spec.sleep.is_none() {
            return Vec::new();
        }
        let mut all: Vec<(Duration, &Worker)> = self
            .workers
            .iter()
            .filter_map(|worker| match worker.life {
                // Of one that is still being taken over nobody knows whether it is there.
                Life::Asleep { since } if worker.address.is_some() && self.may_sleep(worker) => {
                    Some((since, worker))
                }
                _ => None,
            })
            .collect();
        all.sort_by_key(|(since, worker)| (Reverse(*since), worker.new.slot));
        all.into_iter().map(|(_, worker)| worker).collect()
    }

    pub(super) fn sleepers_to_end(
        &self,
        may_sleep: bool,
        now: Duration,
    ) -> Vec<(WorkerId, StopCause)> {
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
    pub(in crate::core) fn raise_times(&self) -> Option<StartTimes> {
        let wakes = self.spec.sleep.is_some() && self.workers.iter().any(Worker::is_asleep);
        let times = wakes.then(|| self.starts.wake_times()).flatten();
        times.or_else(|| self.starts.times())
    }

    /// The same for one of its workers that is given up now and wanted back later.
    pub(in crate::core) fn regain_times(&self) -> Option<StartTimes> {
        let sleep = self.spec.sleep.as_ref();
        let times = sleep.and_then(|_| self.starts.wake_times());
        times.or_else(|| self.starts.times())
    }

    /// Asks its workers by new settings whether they sleep.
    pub(in crate::core) fn watch_sleep_anew(&mut self) -> Vec<Effect> {
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
    pub(in crate::core) fn about_sleep(&self, worker: &Worker, now: Duration) -> Option<String> {
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
    pub(super) fn nap(&mut self, sleep: Arc<Sleep>) -> Nap {
        Nap {
            worker: self.id().clone(),
            sleep,
            recorded: self.recorded.clone(),
        }
    }

    /// It is asked whether it sleeps, where that can be asked.
    pub(in crate::core) fn watch_sleep(&mut self, sleep: Arc<Sleep>) -> Option<Effect> {
        self.naps += 1;
        sleep.is_sleeping.as_ref()?;
        Some(Effect::WatchSleep {
            worker: self.id().clone(),
            sleep,
            number: self.naps,
        })
    }

    /// Neither probes nor anything else ask it any more.
    pub(super) fn ask_nothing(&mut self) -> Vec<Effect> {
        self.naps += 1;
        let mut effects = vec![Effect::StopWatchingSleep(self.id().clone())];
        if std::mem::take(&mut self.is_probed) {
            effects.push(Effect::StopProbing(self.id().clone()));
        }
        self.probe_says = None;
        effects
    }

    /// What an earlier run knew of its sleep.
    pub(in crate::core) fn remember_sleep(&mut self, note: SleepNote, now: Duration) {
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
pub(in crate::core) fn any_asleep(deployment: &DeploymentState) -> bool {
    deployment
        .workers
        .iter()
        .any(|worker| matches!(worker.life, Life::Asleep { .. }))
}
