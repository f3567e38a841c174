//! From a count to the workers to start and to stop, as orchestrators do it without knowing what
//! the workers do.

use std::time::Duration;

use crate::simulate::scaler::Turn;
use penstock_control::plan::{Action, DrainCause, Stage, StopCause, WorkerFacts};

/// Starts what is missing; stops what is too much, first what is still starting, then the newest
/// (Kubernetes' order). A stopping worker finishes its requests within the drain time, and does not
/// come back.
pub(super) fn toward(desired: u32, workers: &[WorkerFacts], now: Duration) -> Turn {
    let mut actions = finished(workers, now);
    let mut kept: Vec<_> = workers.iter().filter(|worker| worker.is_kept()).collect();
    kept.sort_by_key(|worker| (worker.stage == Stage::Starting, worker.started_at));
    let desired_len = desired as usize;
    for surplus in kept.iter().skip(desired_len).rev() {
        let id = surplus.id.clone();
        actions.push(if surplus.stage == Stage::Starting {
            Action::Stop {
                id,
                why: StopCause::Unwanted,
            }
        } else {
            Action::Drain {
                id,
                why: DrainCause::Surplus,
            }
        });
    }
    let mut slots = (0..).filter(|slot| !workers.iter().any(|worker| worker.slot == *slot));
    for _ in kept.len()..desired_len {
        if let Some(slot) = slots.next() {
            actions.push(Action::Start { slot });
        }
    }
    Turn {
        desired,
        actions,
        reason: String::new(),
    }
}

fn finished(workers: &[WorkerFacts], now: Duration) -> Vec<Action> {
    let is_finished = |worker: &&WorkerFacts| match worker.stage {
        Stage::Draining { deadline, .. } => worker.in_flight == 0 || now >= deadline,
        _ => false,
    };
    let stop = |worker: &WorkerFacts| Action::Stop {
        id: worker.id.clone(),
        why: StopCause::Drained,
    };
    workers.iter().filter(is_finished).map(stop).collect()
}
