//! What `reconcile` does, for one deployment and with a driver that only takes time.

use std::{sync::Arc, time::Duration};

use penstock_config::{
    ScalingMode,
    fleet::{LoadReport, WorkerId, WorkerState},
};
use penstock_control::{
    plan::{Action, DrainCause, Situation, Stage, StartRecord, StopCause, WorkerFacts, plan},
    reports::{Gateways, Measured, Tracker},
    scale::{Decision, History, Keeper, Observation, Reason, ScaleState, Told, decide},
};

use super::Setup;
use crate::coverage::Met;

/// From a stop to nothing being left.
const STOP: Duration = Duration::from_millis(500);

/// What gateways are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Published {
    pub(crate) generation: u64,
    pub(crate) workers: Vec<(WorkerId, WorkerState)>,
    /// Whether starting failed for good, or an operator stopped all: nobody needs to wait.
    pub(crate) refused: bool,
}

/// The control of the simulation.
pub(crate) struct Control {
    scale: ScaleState,
    history: Vec<(Duration, u32)>,
    /// What stays, and what is advised, while decisions are only told.
    keeper: Option<(Keeper, Decision)>,
    tracker: Tracker,
    gateways: Gateways,
    starts: StartRecord,
    pub(crate) workers: Vec<Worker>,
    pub(crate) decision: Decision,
    pub(crate) published: Published,
    next_tick: Duration,
    made: u32,
    /// Workers whose processes are gone since the last look.
    pub(crate) ended: Vec<WorkerId>,
    /// Workers that are stopped because nobody uses them, since the last look.
    pub(crate) let_go: Vec<WorkerId>,
    pub(crate) starts_made: u32,
    /// Why no worker is wanted whatever the load, if so.
    pub(crate) end: Option<Reason>,
    /// What the decisions said.
    pub(crate) met: Met,
}

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

impl Control {
    pub(crate) fn new(desired: u32, now: Duration) -> Self {
        Self {
            scale: ScaleState::new(desired, History::default(), now),
            history: Vec::new(),
            keeper: None,
            tracker: Tracker::default(),
            gateways: Gateways::new(false, now),
            starts: StartRecord::default(),
            workers: Vec::new(),
            decision: Decision::fixed(desired, desired, Reason::Asleep),
            published: Published::default(),
            next_tick: now,
            made: 0,
            ended: Vec::new(),
            let_go: Vec::new(),
            starts_made: 0,
            end: None,
            met: Met::default(),
        }
    }

    /// Another run of control: only workers and the desired history are left.
    pub(crate) fn restart(&mut self, setup: &Setup, now: Duration) {
        let workers = std::mem::take(&mut self.workers);
        let history = std::mem::take(&mut self.history);
        let (made, published) = (self.made, self.published.clone());
        let met = std::mem::take(&mut self.met);
        let running = (workers.len() as u32).clamp(setup.scaling.min, setup.scaling.max);
        *self = Self::new(running, now);
        self.met = met;
        self.scale = ScaleState::new(running, History::restore(history.iter().copied()), now);
        self.remember(setup);
        self.gateways = Gateways::new(true, now);
        (self.workers, self.made, self.published, self.history) =
            (workers, made, published, history);
    }

    /// Takes up what an earlier run wrote down.
    pub(crate) fn remember(&mut self, setup: &Setup) {
        if let Some(past) = &setup.past {
            self.scale.remember(past.clone());
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.workers
            .iter()
            .filter(|worker| worker.life == Life::Ready)
            .count()
    }

    /// Takes in what came, and has a turn if it is time; what happened, in words.
    pub(crate) fn run(
        &mut self,
        setup: &Setup,
        reports: Vec<LoadReport>,
        wall_ms: u64,
        now: Duration,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let mut turn = !reports.is_empty();
        for report in reports {
            if let Some(base) = self.gateways.take(&report, now) {
                for load in &report.deployments {
                    self.tracker
                        .take(report.gateway, report.sequence, load, base, now);
                }
            }
        }
        turn |= self.progress(&mut notes, now);
        if now >= self.next_tick {
            self.next_tick = now + Duration::from_secs(1);
            self.gateways.expire(now);
            turn = true;
        }
        if turn {
            self.turn(setup, &mut notes, wall_ms, now);
        }
        notes
    }

    /// What the driver got done.
    fn progress(&mut self, notes: &mut Vec<String>, now: Duration) -> bool {
        let mut changed = false;
        for worker in &mut self.workers {
            if let Life::Starting { ready_at } = worker.life
                && ready_at <= now
            {
                worker.life = Life::Ready;
                self.starts.ready(now - worker.started_at);
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

    fn turn(&mut self, setup: &Setup, notes: &mut Vec<String>, wall_ms: u64, now: Duration) {
        let workers = &self.workers;
        let is_draining = |id: &WorkerId| {
            let left = |life| matches!(life, Life::Draining { .. } | Life::Stopping { .. });
            workers
                .iter()
                .any(|worker| worker.id == *id && left(worker.life))
        };
        let measured = self.tracker.measure(&self.gateways, is_draining, now);
        self.decision = self.decide(setup, measured, wall_ms, now);
        self.met.take(&self.decision);
        if self.decision.desired != self.decision.before {
            self.history.push((now, self.decision.desired));
            notes.push(said(&self.decision));
        }
        if let Some((_, advice)) = self.keeper.as_ref().filter(|(_, a)| a.desired != a.before) {
            notes.push(format!("advice: {}", said(advice)));
        }
        let facts: Vec<WorkerFacts> = self
            .workers
            .iter()
            .map(|worker| self.facts(worker))
            .collect();
        let situation = Situation {
            workers: &facts,
            starts: self.starts.facts(),
            start_timeout: Some(setup.start_timeout),
            starts_wait: false,
        };
        let plan = plan(&self.decision, &situation, now);
        for action in plan.actions {
            self.carry_out(action, setup, notes, now);
        }
        self.publish(now);
    }

    fn decide(
        &mut self,
        setup: &Setup,
        measured: Measured,
        wall_ms: u64,
        now: Duration,
    ) -> Decision {
        let before = self.decision.desired;
        if let Some(end) = &self.end {
            if matches!(end, Reason::Paused(_)) {
                self.scale.rest(now);
            }
            return Decision::fixed(before, 0, end.clone());
        }
        if let Some(given) = setup.given {
            return Decision::fixed(before, given, Reason::Given);
        }
        let starting = |worker: &&Worker| matches!(worker.life, Life::Starting { .. });
        let seen = Observation {
            wall_ms,
            current: measured.current,
            queued: measured.queued,
            load: measured.load,
            ready: self.ready() as u32,
            starting: self.workers.iter().filter(starting).count() as u32,
            start_time: self.starts.times().map(|times| times.p90),
            hold: self.gateways.hold(now),
            start_failed: self.failed(now),
            told: self.told(setup),
        };
        if setup.scaling.mode == ScalingMode::Act && self.keeper.take().is_some() {
            self.scale.begin_again(before, now);
        }
        let kept = self.scale.desired();
        let decided = decide(&setup.scaling, &seen, &mut self.scale, now);
        if setup.scaling.mode == ScalingMode::Act {
            return decided;
        }
        self.met.take(&decided);
        let new = || (Keeper::new(kept), decided.clone());
        let (keeper, advice) = self.keeper.get_or_insert_with(new);
        *advice = decided;
        keeper.keep(&setup.scaling, self.scale.bounds(), before)
    }

    /// What workers tell of requests that wait in them.
    fn told(&self, setup: &Setup) -> Vec<Told> {
        let Some(batch) = setup.batch else {
            return Vec::new();
        };
        let ready = self.workers.iter().filter(|w| w.life == Life::Ready);
        let waiting: Vec<u32> = ready
            .take(setup.pages)
            .map(|worker| self.tracker.in_flight(&worker.id).saturating_sub(batch))
            .collect();
        let metrics = setup.scaling.worker_metrics().into_iter();
        metrics
            .map(|metric| Told {
                metric,
                sum: waiting.iter().sum::<u32>().into(),
                fresh: waiting.len() as u32,
                oldest: Duration::from_secs(2),
            })
            .collect()
    }

    /// Whether no request can hope for a worker.
    fn failed(&self, now: Duration) -> bool {
        let hope = |worker: &Worker| matches!(worker.life, Life::Ready | Life::Starting { .. });
        self.starts.failed(now).is_some() && !self.workers.iter().any(hope)
    }

    fn facts(&self, worker: &Worker) -> WorkerFacts {
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
            broken: None,
        }
    }

    fn carry_out(&mut self, action: Action, setup: &Setup, notes: &mut Vec<String>, now: Duration) {
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

    fn publish(&mut self, now: Duration) {
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

/// A decision in words.
fn said(decision: &Decision) -> String {
    let Decision {
        before,
        desired,
        reason,
        clamps,
        ..
    } = decision;
    let clamps: Vec<_> = clamps.iter().map(|clamp| format!(" ({clamp})")).collect();
    format!("{before} → {desired}: {reason}{}", clamps.concat())
}
