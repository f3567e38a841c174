//! The workers of the simulated control: what a plan does to them, and what gateways are told.

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::{WorkerId, WorkerState};
use penstock_control::{
    plan::{Action, DrainCause, Stage, StopCause, WorkerFacts},
    scale::Reason,
};

use super::{Control, Setup};

/// From a stop to nothing being left.
const STOP: Duration = Duration::from_millis(500);

#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    slot: u32,
    started_at: Duration,
    pub(crate) life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Life {
    Starting {
        ready_at: Duration,
    },
    Ready,
    Draining {
        deadline: Duration,
        generation: Option<u64>,
        cause: DrainCause,
    },
    Stopping {
        gone_at: Duration,
    },
}

/// What gateways are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) workers: Vec<(WorkerId, WorkerState)>,
    /// Whether starting failed for good, or an operator stopped all: nobody needs to wait.
    pub(crate) refused: bool,
}

impl Control {
    pub(crate) fn ready(&self) -> usize {
        self.workers
            .iter()
            .filter(|worker| worker.life == Life::Ready)
            .count()
    }

    /// What the driver got done.
    pub(super) fn progress(&mut self, notes: &mut Vec<String>, now: Duration) -> bool {
        let mut changed = false;
        for worker in &mut self.workers {
            if let Life::Starting { ready_at } = worker.life
                && ready_at <= now
            {
                worker.life = Life::Ready;
                self.starts
                    .ready(worker.started_at, now - worker.started_at);
                notes.push(format!("worker {} is ready", worker.slot));
                changed = true;
            }
        }
        self.workers.retain(|worker| match worker.life {
            Life::Stopping { gone_at } if gone_at <= now => {
                notes.push(format!("worker {} is gone", worker.slot));
                self.ended.push(worker.id.clone());
                changed = true;
                false
            }
            _ => true,
        });
        changed
    }

    pub(super) fn facts(&self, worker: &Worker) -> WorkerFacts {
        let stage = match worker.life {
            Life::Starting { .. } => Stage::Starting,
            Life::Ready => Stage::Ready,
            Life::Draining {
                deadline,
                generation,
                cause,
            } => Stage::Draining {
                deadline,
                gates_closed: generation.is_some_and(|generation| self.gateways.obey(generation)),
                cancellable: cause == DrainCause::Surplus,
            },
            Life::Stopping { .. } => Stage::Stopping,
        };
        WorkerFacts {
            id: worker.id.clone(),
            slot: worker.slot,
            stage,
            started_at: worker.started_at,
            in_flight: self.tracker.in_flight(&worker.id),
            adopted: false,
            outdated: false,
            is_proven: false,
            broken: None,
        }
    }

    pub(super) fn carry_out(
        &mut self,
        action: Action,
        setup: &Setup,
        notes: &mut Vec<String>,
        now: Duration,
    ) {
        match action {
            Action::Start { slot } if setup.starts_fail => {
                self.starts
                    .failed_for_good("no such program".into(), now, now);
                notes.push(format!("worker {slot} cannot be started"));
            }
            Action::Start { slot } => {
                self.made += 1;
                self.starts_made += 1;
                let id = WorkerId(Arc::from(format!("w{}", self.made)));
                let life = Life::Starting {
                    ready_at: now + setup.start,
                };
                self.workers.push(Worker {
                    id,
                    slot,
                    started_at: now,
                    life,
                });
                notes.push(format!("worker {slot} starts"));
            }
            Action::Drain { id, why } => {
                let deadline = now + setup.drain_timeout;
                let life = Life::Draining {
                    deadline,
                    generation: None,
                    cause: why,
                };
                notes.push(format!("worker {} drains", self.set(&id, life)));
            }
            Action::Undrain { id } => {
                notes.push(format!(
                    "worker {} is needed again",
                    self.set(&id, Life::Ready)
                ));
            }
            Action::Stop { id, why } => {
                if why == StopCause::Drained {
                    self.let_go.push(id.clone());
                }
                let life = Life::Stopping {
                    gone_at: now + STOP,
                };
                notes.push(format!("worker {} stops: {why:?}", self.set(&id, life)));
            }
        }
    }

    fn set(&mut self, id: &WorkerId, life: Life) -> u32 {
        let worker = self.workers.iter_mut().find(|worker| worker.id == *id);
        let worker = worker.expect("a plan names workers that exist");
        worker.life = life;
        worker.slot
    }

    pub(super) fn publish(&mut self, now: Duration) {
        let paused = matches!(self.end, Some(Reason::Paused(_)));
        let refused = paused || self.failed(now);
        let state = |worker: &Worker| match worker.life {
            Life::Starting { .. } => None,
            Life::Ready => Some((worker.id.clone(), WorkerState::Ready)),
            Life::Draining { .. } | Life::Stopping { .. } => {
                Some((worker.id.clone(), WorkerState::Draining))
            }
        };
        let workers: Vec<_> = self.workers.iter().filter_map(state).collect();
        let untold = self.workers.iter().any(|worker| {
            matches!(
                worker.life,
                Life::Draining {
                    generation: None,
                    ..
                }
            )
        });
        let same = workers == self.published.workers && refused == self.published.refused;
        if !same || untold {
            let generation = self.published.generation + 1;
            self.published = Published {
                generation,
                workers,
                refused,
            };
            for worker in &mut self.workers {
                if let Life::Draining {
                    generation: told @ None,
                    ..
                } = &mut worker.life
                {
                    *told = Some(generation);
                }
            }
        }
    }
}
