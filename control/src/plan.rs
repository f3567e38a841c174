//! Names the workers to start, drain and stop.
//!
//! Pure and told the time. The plan is so specific that nothing is left to choose when it is
//! carried out, and it is made anew from facts every time: what failed, is late or was overtaken
//! shows in the next facts, so there is nothing to undo.
//!
//! A worker that has been ready is never stopped directly. It drains first: the snapshot tells every
//! gateway to close its gate, and only when all of them say that they obey and that nothing is in
//! flight on it, or when the drain deadline has passed, is it stopped. A request that comes in between
//! waits in the queue, and that undoes the drain.

mod facts;
mod starts;
#[cfg(test)]
mod tests;
mod victims;
mod words;

use std::time::Duration;

use penstock_config::{Update, fleet::WorkerId};

pub(crate) use self::starts::TIMES_MAX;
pub use self::{
    facts::{Situation, Stage, StartFacts, WorkerFacts},
    starts::{Failed, PROVEN_AFTER, StartRecord, StartTimes},
};
use crate::scale::Decision;

/// What to do now, and when to look again even if nothing happens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// In the order in which to do them.
    pub actions: Vec<Action>,
    /// The next time at which this plan may change by itself.
    pub wake_at: Option<Duration>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a worker with this number.
    Start {
        /// The smallest number no other worker of the deployment has.
        slot: u32,
    },
    /// Let it take no new requests.
    Drain {
        /// Which one.
        id: WorkerId,
        /// Why.
        why: DrainCause,
    },
    /// Let it take requests again.
    Undrain {
        /// Which one.
        id: WorkerId,
    },
    /// End it.
    Stop {
        /// Which one.
        id: WorkerId,
        /// Why.
        why: StopCause,
    },
}

/// Why a worker drains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainCause {
    /// There are more workers than desired.
    Surplus,
    /// It runs something else than is configured now.
    Outdated,
    /// As [`Self::Outdated`], and there is no room for its successor beside it.
    GivesWay,
    /// Its liveness probe failed.
    Broken,
    /// An operator asked for it.
    Asked,
    /// It is taken away.
    Preempted,
    /// It has nothing to do, and another deployment wants its GPUs.
    MakesRoom,
    /// It has something to do, but another deployment has waited for its GPUs for long.
    GivesTurn,
}

/// Why a worker is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// It drained and has nothing in flight.
    Drained,
    /// It did not finish before the drain deadline.
    DrainDeadline,
    /// It was not ready within `start_timeout`.
    StartTimeout,
    /// It is on its way, but not wanted any more.
    Unwanted,
    /// Its liveness probe failed before it was ready.
    Broken,
    /// It is on its way for nobody, and another deployment wants its GPUs.
    MakesRoom,
    /// It could not be put to sleep.
    SleepFailed,
    /// It could not be woken.
    WakeFailed,
    /// It has slept for as long as it may.
    SleptLong,
    /// More workers sleep than may, and it has slept longest.
    TooManyAsleep,
}

/// Plans the way from the situation to the decision at the time `now`.
pub fn plan(decision: &Decision, situation: &Situation<'_>, now: Duration) -> Plan {
    let mut plan = Plan::default();
    finish(&mut plan, situation, now);
    let count = Count::of(situation);
    drain_broken(&mut plan, situation);
    let desired = decision.desired as usize;
    let undrained = undrain(&mut plan, situation, desired, &count);
    let started = start(&mut plan, situation, desired, &count, undrained, now);
    retire_outdated(&mut plan, situation, desired, &count, undrained);
    if started == 0 || situation.starts.lacks_gpus {
        give_way(&mut plan, situation, desired, &count);
    }
    drain_surplus(&mut plan, situation, desired, &count);
    plan
}

/// Workers that count, by what they run.
struct Count {
    current: usize,
    current_ready: usize,
    /// Current ones that are ready and have been for a while.
    current_proven: usize,
    /// Outdated ones that serve.
    outdated: usize,
    /// Outdated ones that are there, draining and ending ones among them.
    outdated_there: usize,
}

impl Count {
    fn of(situation: &Situation<'_>) -> Self {
        let kept = || situation.workers.iter().filter(|worker| worker.is_kept());
        let current = |worker: &&WorkerFacts| !worker.outdated;
        Self {
            current: kept().filter(current).count(),
            current_ready: kept()
                .filter(current)
                .filter(|w| w.stage == Stage::Ready)
                .count(),
            current_proven: kept().filter(current).filter(|w| w.is_proven).count(),
            outdated: kept().filter(|w| w.outdated && serves(w)).count(),
            outdated_there: situation.workers.iter().filter(|w| w.outdated).count(),
        }
    }
}

/// Whether an outdated worker is worth keeping until its replacement is there. One that is not ready
/// serves nobody and is retired at once; an adopted one may well be.
fn serves(worker: &WorkerFacts) -> bool {
    worker.stage == Stage::Ready || (worker.stage == Stage::Starting && worker.adopted)
}

/// Ends what has drained, and what took too long.
fn finish(plan: &mut Plan, situation: &Situation<'_>, now: Duration) {
    let stop = |worker: &WorkerFacts, why| Action::Stop {
        id: worker.id.clone(),
        why,
    };
    for worker in situation.workers {
        match worker.stage {
            Stage::Draining {
                gates_closed: true, ..
            } if worker.in_flight == 0 => {
                plan.actions.push(stop(worker, StopCause::Drained));
            }
            Stage::Draining { deadline, .. } if now >= deadline => {
                plan.actions.push(stop(worker, StopCause::DrainDeadline));
            }
            Stage::Draining { deadline, .. } => plan.look_again(deadline),
            Stage::Starting => {
                let deadline = situation
                    .start_timeout
                    .map(|limit| worker.started_at + limit);
                match deadline {
                    Some(deadline) if now >= deadline => {
                        plan.actions.push(stop(worker, StopCause::StartTimeout));
                    }
                    Some(deadline) => plan.look_again(deadline),
                    None => {}
                }
            }
            Stage::Waking | Stage::Ready | Stage::NotReady | Stage::Asleep | Stage::Stopping => {}
        }
    }
}

fn drain_broken(plan: &mut Plan, situation: &Situation<'_>) {
    let broken = situation.workers.iter();
    for worker in broken.filter(|worker| worker.broken.is_some()) {
        let id = worker.id.clone();
        match worker.stage {
            Stage::Starting | Stage::Waking => plan.stop(id, StopCause::Broken),
            Stage::Ready | Stage::NotReady => {
                plan.actions.push(Action::Drain {
                    id,
                    why: DrainCause::Broken,
                });
            }
            Stage::Draining { .. } | Stage::Asleep | Stage::Stopping => {}
        }
    }
}

/// Takes draining workers back before any is started: a warm worker is worth minutes.
fn undrain(plan: &mut Plan, situation: &Situation<'_>, desired: usize, count: &Count) -> usize {
    let missing = desired.saturating_sub(count.current + count.outdated);
    let chosen = victims::to_take_back(situation.workers, missing);
    for WorkerFacts { id, .. } in &chosen {
        // It may just have been found drained.
        plan.actions
            .retain(|action| !matches!(action, Action::Stop { id: stopped, .. } if stopped == id));
        plan.actions.push(Action::Undrain { id: id.clone() });
    }
    chosen.len()
}

/// Starts what is missing, if it may be tried; how many.
fn start(
    plan: &mut Plan,
    situation: &Situation<'_>,
    desired: usize,
    count: &Count,
    undrained: usize,
    now: Duration,
) -> usize {
    let current = count.current + undrained;
    let timed_out = plan.actions.iter().any(|action| {
        matches!(
            action,
            Action::Stop {
                why: StopCause::StartTimeout,
                ..
            }
        )
    });
    let wanted = desired
        .saturating_sub(current)
        .min(room_beside_old(situation, desired, current, count));
    if wanted == 0 || timed_out || situation.starts_wait {
        return 0;
    }
    if let Some(not_before) = situation.starts.not_before.filter(|at| now < *at) {
        plan.look_again(not_before);
        return 0;
    }
    for slot in victims::free_slots(situation.workers).take(wanted) {
        plan.actions.push(Action::Start { slot });
    }
    wanted
}

/// Workers that may be started beside those of older revisions. Old ones count until nothing is left of
/// them: as long as they drain they hold what they hold.
fn room_beside_old(
    situation: &Situation<'_>,
    desired: usize,
    current: usize,
    count: &Count,
) -> usize {
    match (count.outdated_there, situation.update) {
        (0, _) => usize::MAX,
        (_, Update::Recreate) => 0,
        (old, update) => update.most(desired).saturating_sub(current + old),
    }
}

/// Lets workers of an older revision go as soon as newer ones stand in for them, or as many as may be
/// missing. While starts fail only those stand in that have proved good; while none has, what is left of the
/// old revision serves on.
fn retire_outdated(
    plan: &mut Plan,
    situation: &Situation<'_>,
    desired: usize,
    count: &Count,
    undrained: usize,
) {
    for worker in situation
        .workers
        .iter()
        .filter(|worker| worker.outdated && worker.broken.is_none())
    {
        let id = worker.id.clone();
        match worker.stage {
            Stage::Starting if !worker.adopted => plan.stop(id, StopCause::Unwanted),
            Stage::NotReady => plan.actions.push(Action::Drain {
                id,
                why: DrainCause::Outdated,
            }),
            _ => {}
        }
    }
    let starts = situation.starts;
    let stand_in = match starts.failing {
        true => count.current_proven,
        false => count.current_ready + undrained,
    };
    // Where none could be started in the place of those that go, or none of them is known to be good.
    let none_come = situation.starts_wait
        || starts.no_room.is_some()
        || (starts.failing && count.current_proven == 0);
    let fewest = match situation.update {
        Update::Recreate if !situation.starts_wait => 0,
        _ if none_come => desired,
        update => update.fewest(desired),
    };
    let surplus = count
        .outdated
        .saturating_sub(fewest.saturating_sub(stand_in));
    for worker in victims::to_drain(situation.workers, surplus, true) {
        plan.actions.push(Action::Drain {
            id: worker.id.clone(),
            why: DrainCause::Outdated,
        });
    }
}

/// Where there is no room for a new revision beside the old one, one old worker goes first, or as many as
/// may be missing. The next follows when the successor of the first is ready, and not while starts fail and none has proved good.
fn give_way(plan: &mut Plan, situation: &Situation<'_>, desired: usize, count: &Count) {
    let starts = situation.starts;
    let fewest = situation.update.fewest(desired);
    if count.current_ready + count.outdated <= fewest.min(desired.saturating_sub(1)) {
        return;
    }
    let is_on_its_way = count.current > count.current_ready;
    let one_goes = situation.workers.iter().any(|w| w.outdated && !w.is_kept())
        || plan.actions.iter().any(Action::is_outdated_drain);
    let is_hopeless = starts.failing && count.current_proven == 0;
    let is_vain = starts.no_room.is_none() || starts.giving_way_is_vain || is_hopeless;
    if is_vain || starts.gave_way || is_on_its_way || one_goes {
        return;
    }
    for worker in victims::to_drain(situation.workers, 1, true) {
        plan.actions.push(Action::Drain {
            id: worker.id.clone(),
            why: DrainCause::GivesWay,
        });
    }
}

fn drain_surplus(plan: &mut Plan, situation: &Situation<'_>, desired: usize, count: &Count) {
    let surplus = count.current.saturating_sub(desired);
    for worker in victims::to_drain(situation.workers, surplus, false) {
        let id = worker.id.clone();
        if worker.stage == Stage::Starting {
            plan.stop(id, StopCause::Unwanted);
        } else {
            plan.actions.push(Action::Drain {
                id,
                why: DrainCause::Surplus,
            });
        }
    }
}

impl Action {
    fn is_outdated_drain(&self) -> bool {
        let why = match self {
            Self::Drain { why, .. } => Some(*why),
            _ => None,
        };
        why == Some(DrainCause::Outdated)
    }
}

impl Plan {
    fn look_again(&mut self, at: Duration) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Stops a worker unless the plan does so already.
    fn stop(&mut self, id: WorkerId, why: StopCause) {
        let stopped =
            |action: &Action| matches!(action, Action::Stop { id: other, .. } if *other == id);
        if !self.actions.iter().any(stopped) {
            self.actions.push(Action::Stop { id, why });
        }
    }
}
