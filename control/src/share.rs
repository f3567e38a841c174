//! Shares GPUs among deployments: who is given free ones, and who makes room for whom.
//!
//! Pure and told the facts, as [`plan`](crate::plan) is; asked anew whenever something changed.
//!
//! # The order
//!
//! Deployments that lack workers are served one after the other ([`Need`] says how urgent it is): first those
//! where somebody has waited beyond the bound, the longest wait first; then those where somebody waits,
//! by priority and then by the sum of all waits; then those below their `min`; then those whose load asks for
//! more; and last everything else, which gets only what nobody else wants.
//!
//! Each is given, of its groups in order of preference: free GPUs; else those that are about to be free; else
//! those of idle workers of others; else, where somebody waits for long, those of busy ones. So a
//! loaded model goes on for as long as it has requests and nobody else waits too long: a swap costs as
//! much as a start, and sooner or later everybody has a turn.
//!
//! # Promises
//!
//! - A worker that its deployment's `min` keeps gives way to nobody.
//! - A worker with a request gives way only to a deployment of at least its own priority where requests have
//!   waited longer than [`Want::bound`], or where their waits add up to [`SUM`] times that; and not before it
//!   has been of use for as long as its own start took. It finishes what it has.
//! - GPUs that somebody gave up for a deployment stay promised to it, while it wants them.

mod room;
#[cfg(test)]
mod tests;
mod words;

use std::{cmp::Reverse, time::Duration};

use self::room::Room;

/// Waits that add up to so many times the bound are as bad as one that reached it.
pub const SUM: u32 = 10;

/// How long a worker must have been idle before it gives way, if the start that this leads to takes no longer than
/// ten times that: whoever asks again at once finds it there still.
const LINGER_MIN: Duration = Duration::from_millis(200);

/// The same if the start takes long.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// How long it must have been idle where nobody waits for its GPUs yet.
const IDLE_FOR_LOAD: Duration = Duration::from_secs(60);

/// Everything there is to share.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Every group, by its number.
    pub groups: Vec<GroupFacts>,
    /// Deployments that lack workers; `who` is in at most one.
    pub wants: Vec<Want>,
    /// Workers that have GPUs and are not on their way out.
    pub holders: Vec<Holder>,
    /// Deployments of the holders, by `who`.
    pub owners: Vec<Owner>,
    /// What is promised.
    pub promises: Vec<Promise>,
}

/// A group of GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Nobody has them, and they are promised to nobody.
    pub free: u32,
    /// Somebody who is on the way out has them, and they are promised to nobody.
    pub coming: u32,
}

/// GPUs that were given up for a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// The deployment.
    pub who: usize,
    /// Of which group.
    pub group: usize,
    /// Those that are free by now.
    pub free: u32,
    /// Those that are not yet.
    pub coming: u32,
}

/// A deployment that lacks workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Which one, by a number that stands for it.
    pub who: usize,
    /// Workers that it lacks.
    pub missing: u32,
    /// GPUs for each.
    pub gpus: u32,
    /// The groups they may come from, the best first.
    pub groups: Vec<usize>,
    /// How urgent it is.
    pub need: Need,
    /// Its `priority`.
    pub priority: i32,
    /// Those who wait.
    pub waits: Waits,
    /// How long somebody waits at most before busy workers give way.
    pub bound: Duration,
    /// How long a worker takes to start, if that is known.
    pub start: Option<Duration>,
}

/// How urgently a deployment lacks workers; the first is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It would have more if there were some to spare.
    Spare,
    /// Its load asks for more, but nobody waits.
    Load,
    /// It has fewer than its `min`.
    Minimum,
    /// Somebody waits.
    Waited,
}

/// Requests that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many.
    pub count: u32,
    /// How long they have waited, all together.
    pub sum: Duration,
    /// How long the first of them has.
    pub oldest: Duration,
}

/// A worker that has GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its deployment.
    pub who: usize,
    /// Of which group its GPUs are.
    pub group: usize,
    /// How many it has.
    pub gpus: u32,
    /// How long it has had nothing to do; `None` while it has.
    pub idle: Option<Duration>,
    /// How long it has been of use; `None` while it is not ready.
    pub ready: Option<Duration>,
    /// Requests it has.
    pub in_flight: u32,
    /// Deployments that have a worker asleep which had these GPUs, by `who`.
    pub under: Vec<usize>,
}

/// A deployment whose workers have GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Its `priority`.
    pub priority: i32,
    /// Workers beyond those that its `min` keeps.
    pub spare: u32,
    /// Those who wait there.
    pub waits: Waits,
    /// How long a worker takes to start, if that is known.
    pub start: Option<Duration>,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Workers to start now: for whom, with GPUs of which group.
    pub grants: Vec<Grant>,
    /// Workers that make room.
    pub yields: Vec<Yield>,
    /// Who gets nothing for now, and why.
    pub denials: Vec<Denial>,
}

/// A worker is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The deployment.
    pub who: usize,
    /// Where its GPUs come from.
    pub group: usize,
}

/// A worker makes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Yield {
    /// Which of the holders.
    pub holder: usize,
    /// For which deployment.
    pub to: usize,
    /// Why it is its turn.
    pub why: Why,
}

/// Why a worker makes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has had nothing to do for so long.
    Idle(Duration),
    /// It is busy, and somebody has waited for so long elsewhere.
    Age(Duration),
    /// It is busy, and so many wait elsewhere that their waits add up to this.
    Sum(Duration),
}

/// Somebody lacks workers and is not given any now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The deployment.
    pub who: usize,
    /// For how many workers it is.
    pub workers: u32,
    /// What it waits for.
    pub waits_for: WaitsFor,
}

/// What a deployment without GPUs waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Workers that are on their way out.
    Room,
    /// That busy workers have nothing to do, or that somebody has waited for this long here.
    Turn(Duration),
    /// That somebody has nothing to do, for its need is not urgent.
    Idleness,
    /// That others have had what they are given first.
    Others,
    /// That something changes: all that it might have is kept by `min` or by a higher priority.
    Change,
}

/// Shares what there is.
pub fn share(facts: &Facts) -> Sharing {
    let mut sharing = Sharing::default();
    let mut room = Room::new(facts);
    let mut order: Vec<&Want> = facts.wants.iter().collect();
    order.sort_by_cached_key(|want| want.claim());
    // Where very many want the same, what one of them is not given the next is not either.
    let mut in_vain: Option<(&Want, WaitsFor)> = None;
    for want in order {
        if let Some((other, waits_for)) = in_vain
            && want.is_like(other)
            && !room.is_promised(want.who)
        {
            sharing.denials.push(Denial {
                who: want.who,
                workers: want.missing,
                waits_for: waits_for.of(want),
            });
            continue;
        }
        let mut denied = 0;
        let mut waits_for = WaitsFor::Room;
        for _ in 0..want.missing {
            if let Some(group) = room.take_free(want) {
                sharing.grants.push(Grant {
                    who: want.who,
                    group,
                });
                continue;
            }
            denied += 1;
            if room.take_coming(want) || room.make(want, &mut sharing.yields) {
                continue;
            }
            waits_for = room.wait(want);
            in_vain = Some((want, waits_for));
            // The next one of the same kind would find the same.
            denied = want.missing - sharing.grants_to(want.who);
            break;
        }
        if denied > 0 {
            sharing.denials.push(Denial {
                who: want.who,
                workers: denied,
                waits_for,
            });
        }
    }
    sharing
}

impl Sharing {
    fn grants_to(&self, who: usize) -> u32 {
        // Those of this one are the last.
        let own = self
            .grants
            .iter()
            .rev()
            .take_while(|grant| grant.who == who);
        u32::try_from(own.count()).unwrap_or(u32::MAX)
    }
}

impl WaitsFor {
    /// The same for another one.
    fn of(self, want: &Want) -> Self {
        match self {
            Self::Turn(_) => Self::Turn(want.bound),
            other => other,
        }
    }
}

impl Want {
    /// Whether all that counts for what it is given is the same.
    fn is_like(&self, other: &Self) -> bool {
        let of = |want: &Self| (want.gpus, want.need, want.priority, want.linger());
        of(self) == of(other)
            && self.groups == other.groups
            && self.turn().is_none()
            && other.turn().is_none()
    }

    /// Whether somebody has waited beyond the bound.
    fn is_overdue(&self) -> bool {
        self.need == Need::Waited && self.waits.oldest >= self.bound
    }

    /// Whether busy workers of others give way to it, and why.
    fn turn(&self) -> Option<Why> {
        if self.need != Need::Waited {
            return None;
        }
        if self.is_overdue() {
            return Some(Why::Age(self.waits.oldest));
        }
        (self.waits.sum >= self.bound.saturating_mul(SUM)).then_some(Why::Sum(self.waits.sum))
    }

    /// How long a worker must have been idle to give way to it; `None`: it never does.
    fn linger(&self) -> Option<Duration> {
        match self.need {
            Need::Waited | Need::Minimum => {
                let start = self.start.unwrap_or(LINGER_MAX);
                Some((start / 10).clamp(LINGER_MIN, LINGER_MAX))
            }
            Need::Load => Some(IDLE_FOR_LOAD),
            Need::Spare => None,
        }
    }

    /// Who comes first has the least.
    fn claim(&self) -> impl Ord + use<> {
        let overdue = self.is_overdue();
        let age = if overdue {
            self.waits.oldest
        } else {
            Duration::ZERO
        };
        let Waits { sum, oldest, .. } = self.waits;
        (
            !overdue,
            Reverse(age),
            Reverse((self.need, self.priority, sum, oldest)),
            self.who,
        )
    }
}
