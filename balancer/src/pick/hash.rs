//! The worker that a request's hash belongs to, as long as its load allows.

use super::{Candidate, Query, least, random};
use crate::{
    darts::{Darts, Target},
    draw::Draw,
    lottery::Lottery,
};

/// When a request goes to another worker than the one its hash belongs to.
///
/// It then goes to the one that comes second for this very hash, and so on: the load of one hot key
/// spreads, and no neighbour gets all of it. From a worker that is closed or ejected requests always go
/// elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Overflow {
    /// When the worker has this many times its share of all requests in flight: at most
    /// `ceil(c × (total + 1) × weight / weights)` are let in, at least 1 (Mirrokni, Thorup and
    /// Zadimoghaddam 2016). 1.25 is usual; below 1.2 keys are scattered, below 1 counts as 1.
    AboveMean(f64),
    /// When the worker is at its `max_concurrency`.
    WhenFull,
    /// Never: the request waits for its worker although others may be free.
    Never,
}

/// Workers that are asked in the order of the hash. More refusals than this mean that affinity is lost
/// anyway, and the least loaded worker is the best one.
const CHOICES_MAX: usize = 8;

/// Hashing to workers, with what was worked out in advance.
#[derive(Debug)]
pub(super) struct HashPick {
    darts: Darts,
    overflow: Overflow,
    /// Sum of all weights.
    weights: u64,
    /// For requests without a hash.
    lottery: Lottery,
}

impl HashPick {
    pub(super) fn new(candidates: &[Candidate], overflow: Overflow, lottery: Lottery) -> Self {
        let targets: Vec<Target> = candidates
            .iter()
            .map(|candidate| Target {
                slot: candidate.slot,
                weight: candidate.weight(),
            })
            .collect();
        Self {
            darts: Darts::new(&targets),
            overflow,
            weights: targets.iter().map(|target| u64::from(target.weight)).sum(),
            lottery,
        }
    }

    pub(super) fn pick(&self, all: &[Candidate], query: &Query<'_>, draw: Draw) -> Option<usize> {
        let Some(hash) = query.hash else {
            return random::pick(all, query, draw, &self.lottery);
        };
        let mut refused = [0; CHOICES_MAX];
        for asked in 0..CHOICES_MAX {
            let Some(slot) = self.darts.winner(hash, &refused[..asked]) else {
                break;
            };
            refused[asked] = slot;
            let index = self.darts.worker(slot)?;
            let candidate = &all[index];
            if self.has_room(candidate, all, query) && candidate.try_acquire(query) {
                return Some(index);
            }
            if self.has_homes() && candidate.is_worth_waiting(query) {
                return None;
            }
        }
        least::pick(all, query, draw, None, |candidate, in_flight| {
            (f64::from(in_flight) + 1.0) / f64::from(candidate.weight())
        })
    }

    /// The worker that [`pick`](Self::pick) would let the request wait for if it were full.
    pub(super) fn home(&self, all: &[Candidate], query: &Query<'_>) -> Option<usize> {
        let hash = query.hash.filter(|_| self.has_homes())?;
        let mut refused = [0; CHOICES_MAX];
        for asked in 0..CHOICES_MAX {
            let slot = self.darts.winner(hash, &refused[..asked])?;
            refused[asked] = slot;
            let index = self.darts.worker(slot)?;
            if all[index].is_worth_waiting(query) {
                return Some(index);
            }
        }
        None
    }

    pub(super) fn has_homes(&self) -> bool {
        self.overflow == Overflow::Never
    }

    /// Whether the bound on the load lets one more request in.
    fn has_room(&self, candidate: &Candidate, all: &[Candidate], query: &Query<'_>) -> bool {
        let Overflow::AboveMean(factor) = self.overflow else {
            return true;
        };
        let in_flight = candidate.vitals.gate().in_flight();
        // The bound is never below 1, so an idle worker needs no sum.
        in_flight == 0 || {
            let all = query.in_flight.map_or_else(
                || Whole::of(all),
                |in_flight| Whole {
                    in_flight: u64::from(in_flight),
                    weights: self.weights,
                },
            );
            f64::from(in_flight) < all.bound(factor, candidate.weight())
        }
    }
}

/// All workers together.
struct Whole {
    in_flight: u64,
    weights: u64,
}

impl Whole {
    /// Those that take requests now: the others have no share of the load to come.
    fn of(all: &[Candidate]) -> Self {
        let mut whole = Self {
            in_flight: 0,
            weights: 0,
        };
        for candidate in all {
            let gate = candidate.vitals.gate();
            if !gate.is_closed() && !gate.is_ejected() {
                whole.in_flight += u64::from(gate.in_flight());
                whole.weights += u64::from(candidate.weight());
            }
        }
        whole
    }

    /// Most requests that one of this weight may have.
    fn bound(&self, factor: f64, weight: u32) -> f64 {
        let share = f64::from(weight) / self.weights.max(1) as f64;
        (factor.max(1.0) * (self.in_flight as f64 + 1.0) * share)
            .ceil()
            .max(1.0)
    }
}
