//! What a snapshot says of a deployment: immutable, and replaced by the next one.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use penstock_balancer::{Picker, Policy};
use penstock_config::{
    Deployment, Source,
    fleet::{Coming, DeploymentFleet, Phase, WorkerState as State},
};

use crate::{
    base::{clock::Clock, reason::Reason, refusal::Refusal, wait_notice::WaitsFor},
    fleet::worker::WorkerState,
};

/// What a deployment has no free GPU for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// For a worker at all.
    ForAny,
    /// For more workers than there are.
    ForMore,
}

/// What a snapshot says of a deployment, ready for use.
pub(crate) struct View {
    /// What the user set.
    pub(crate) spec: Arc<Deployment>,
    pub(super) phase: Phase,
    pub(super) coming: Coming,
    /// When it came into force.
    pub(super) at: Duration,
    /// Every worker listed; those that are ready come first, in the order of the picker.
    pub(super) workers: Vec<Arc<WorkerState>>,
    pub(super) picker: Picker,
}

impl View {
    pub(super) fn next(
        fleet: &DeploymentFleet,
        policy: Policy,
        old: Option<&Self>,
        clock: Clock,
        threads: usize,
    ) -> Self {
        let known: HashMap<_, _> = old
            .map(|old| {
                old.workers
                    .iter()
                    .map(|worker| (&worker.id, worker))
                    .collect()
            })
            .unwrap_or_default();
        let max = fleet.spec.max_concurrency;
        let mut workers = Vec::with_capacity(fleet.workers.len());
        let mut candidates = Vec::with_capacity(fleet.workers.len());
        let (ready, draining): (Vec<_>, Vec<_>) = fleet
            .workers
            .iter()
            .partition(|entry| entry.state == State::Ready);
        for entry in ready.into_iter().chain(draining) {
            let worker = match known.get(&entry.id) {
                Some(&worker) => Arc::clone(worker),
                None => Arc::new(WorkerState::new(entry, max, clock, threads)),
            };
            worker.update(entry.state, max);
            if entry.state == State::Ready {
                candidates.push(worker.candidate(entry.weight));
            }
            workers.push(worker);
        }
        Self {
            spec: Arc::clone(&fleet.spec),
            phase: fleet.phase.clone(),
            coming: fleet.coming,
            at: clock.now(),
            workers,
            picker: Picker::new(policy, candidates, old.map(|old| &old.picker)),
        }
    }

    /// Whether the operator has stopped it.
    pub(crate) fn is_paused(&self) -> bool {
        matches!(self.phase, Phase::Paused { .. })
    }

    /// Whether any worker takes requests.
    pub(crate) fn has_ready(&self) -> bool {
        self.ready() > 0
    }

    /// Workers that take requests.
    pub(crate) fn ready(&self) -> usize {
        self.picker.candidates().len()
    }

    pub(super) fn no_room(&self) -> Option<NoRoom> {
        let why = if self.has_ready() {
            NoRoom::ForMore
        } else {
            NoRoom::ForAny
        };
        self.coming.no_room.then_some(why)
    }

    /// What a request waits for that joins now.
    pub(super) fn waits_for(&self) -> WaitsFor {
        if self.has_ready() {
            WaitsFor::Worker
        } else if self.coming.no_room && self.coming.starting == 0 {
            WaitsFor::Gpu
        } else {
            WaitsFor::Start
        }
    }

    pub(super) fn close_all_but(&self, newer: &Self) {
        for worker in &self.workers {
            if !newer.workers.iter().any(|kept| Arc::ptr_eq(kept, worker)) {
                worker.gate().close();
            }
        }
    }

    /// Why no request can hope for a worker, if that is so.
    pub(super) fn hopeless(&self, now: Duration) -> Option<Refusal> {
        if self.has_ready() {
            return None;
        }
        match &self.phase {
            Phase::Failed {
                reason,
                retry_after,
            } => {
                let left = retry_after.saturating_sub(now.saturating_sub(self.at));
                let refusal = Refusal::new(Reason::StartFailed, "no worker could be started");
                Some(refusal.because(Arc::clone(reason)).predicted(Some(left)))
            }
            Phase::Paused { reason, until } => {
                let refusal = Refusal::new(Reason::Paused, reason.to_string());
                Some(match until {
                    Some(until) => refusal.retry_after(time_left(*until)),
                    None => refusal,
                })
            }
            Phase::Starting => None,
            Phase::Cold | Phase::Warm => match self.spec.source {
                // Nobody can start one, so waiting would only delay the bad news.
                Source::Static(_) => Some(Refusal::new(Reason::NoWorkers, "no worker is ready")),
                Source::Process(_) | Source::Container(_) => None,
            },
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "an operator's times are those of the wall clock"
)]
fn time_left(until: SystemTime) -> Duration {
    let left = until.duration_since(SystemTime::now());
    left.unwrap_or_default()
}
