//! Which worker it is.

use std::{cmp::Reverse, collections::BTreeSet};

use super::facts::{Stage, WorkerFacts};

/// The `count` workers to let go, of the outdated or of the current revision: the least busy, among
/// equals those that are not ready, then the youngest (its caches are the coldest).
pub(super) fn to_drain(workers: &[WorkerFacts], count: usize, outdated: bool) -> Vec<&WorkerFacts> {
    if count == 0 {
        return Vec::new();
    }
    let eligible = |worker: &&WorkerFacts| {
        worker.is_kept()
            // It is back in a moment; then it can be put to sleep again.
            && worker.stage != Stage::Waking
            && worker.outdated == outdated
            && (!outdated || worker.stage == Stage::Ready)
    };
    let order = |worker: &&WorkerFacts| {
        let readiness = match worker.stage {
            Stage::Starting => 0,
            Stage::NotReady => 1,
            _ => 2,
        };
        (
            worker.in_flight,
            readiness,
            Reverse(worker.started_at),
            Reverse(worker.slot),
        )
    };
    chosen(workers, count, eligible, order)
}

/// Up to `count` draining workers to take back: the busiest, then the oldest.
pub(super) fn to_take_back(workers: &[WorkerFacts], count: usize) -> Vec<&WorkerFacts> {
    if count == 0 {
        return Vec::new();
    }
    let eligible = |worker: &&WorkerFacts| {
        matches!(
            worker.stage,
            Stage::Draining {
                cancellable: true,
                ..
            }
        ) && !worker.outdated
            && worker.broken.is_none()
    };
    let order = |worker: &&WorkerFacts| (Reverse(worker.in_flight), worker.started_at, worker.slot);
    chosen(workers, count, eligible, order)
}

/// Numbers no worker has, smallest first.
pub(super) fn free_slots(workers: &[WorkerFacts]) -> impl Iterator<Item = u32> {
    let taken: BTreeSet<u32> = workers.iter().map(|worker| worker.slot).collect();
    (0..).filter(move |slot| !taken.contains(slot))
}

fn chosen<K: Ord>(
    workers: &[WorkerFacts],
    count: usize,
    eligible: impl Fn(&&WorkerFacts) -> bool,
    order: impl Fn(&&WorkerFacts) -> K,
) -> Vec<&WorkerFacts> {
    let mut candidates: Vec<&WorkerFacts> = workers.iter().filter(eligible).collect();
    if count < candidates.len() {
        candidates.select_nth_unstable_by_key(count, &order);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by_key(order);
    candidates
}
