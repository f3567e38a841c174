//! Picks a worker and takes a place at its gate.
//!
//! A [`Picker`] is immutable and shared by all threads; build a new one when the fleet changes. What
//! must outlive it is behind the [`Vitals`] of each worker, and the position of the round robin is
//! handed from the old picker to the new one.
//!
//! Picking takes no lock and allocates nothing.

mod hash;
mod least;
mod random;

use std::{sync::Arc, time::Duration};

use self::hash::HashPick;
use crate::{
    Vitals,
    draw::Draw,
    lottery::Lottery,
    rotation::{Entry, Rotation},
};

pub use self::{hash::Overflow, least::EXACT_SCAN_MAX};

/// How a worker is picked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Policy {
    /// Turns by weight, smooth: any window as long as the sum of the weights is exact.
    RoundRobin,
    /// The least `(in_flight + 1) / weight`; ties at random. Exact for up to
    /// [`EXACT_SCAN_MAX`] workers, the better of two random ones above.
    LeastConnections,
    /// At random, by weight.
    Random,
    /// The worker that the request's hash belongs to; at random when it has none.
    Hash(Overflow),
    /// Of two random workers the one with the least `latency × (in_flight + 1) / weight`.
    PeakEwma,
}

/// One worker that may be picked.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Identity, the same in every generation and, for hashing, in every gateway; see [`key`](crate::key()).
    pub key: u64,
    /// A small number that no other candidate has, kept as long as the worker exists and then given to
    /// the next that comes: `WorkerEntry::slot`. Hashed requests belong to slots, so that a worker's
    /// successor inherits its keys.
    pub slot: u32,
    /// Share of the traffic in relation to the others; 0 counts as 1.
    pub weight: u32,
    /// Its gate and what else is remembered of it.
    pub vitals: Arc<Vitals>,
}

/// What one pick may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Fresh random bits for every pick.
    pub seed: u64,
    /// Time since any fixed moment; the same clock for everything told to this crate.
    pub now: Duration,
    /// Hash of what binds this request to a worker; without one it is placed at random. Only hashing
    /// policies look at it.
    pub hash: Option<u64>,
    /// Requests in flight on all candidates together, if the caller counts them. Hashing with bounded
    /// load needs the sum, and would otherwise ask every gate, which is exact also when some of the
    /// workers are ejected.
    pub in_flight: Option<u32>,
    /// Keys of workers that must not be picked, such as those this request already tried.
    pub avoid: &'a [u64],
}

/// Picks workers of one deployment by one policy.
#[derive(Debug)]
pub struct Picker {
    candidates: Box<[Candidate]>,
    method: Method,
}

/// A policy with what it has worked out in advance.
#[derive(Debug)]
enum Method {
    RoundRobin(Rotation),
    LeastConnections(Lottery),
    Random(Lottery),
    Hash(HashPick),
    PeakEwma(Lottery),
}

impl Picker {
    /// A picker for these workers. `previous` is the picker that this one takes over from, so that
    /// turns go on where they were.
    ///
    /// Closed and ejected workers in the list are passed over, and do not count in the mean load that
    /// [`Overflow::AboveMean`] compares with.
    pub fn new(policy: Policy, candidates: Vec<Candidate>, previous: Option<&Self>) -> Self {
        let lottery = || {
            let weights: Vec<u32> = candidates.iter().map(Candidate::weight).collect();
            Lottery::new(&weights)
        };
        let method = match policy {
            Policy::RoundRobin => {
                let before = previous.and_then(Self::rotation);
                Method::RoundRobin(Rotation::new(entries(&candidates), before))
            }
            Policy::LeastConnections => Method::LeastConnections(lottery()),
            Policy::Random => Method::Random(lottery()),
            Policy::Hash(overflow) => Method::Hash(HashPick::new(&candidates, overflow, lottery())),
            Policy::PeakEwma => Method::PeakEwma(lottery()),
        };
        Self {
            candidates: candidates.into(),
            method,
        }
    }

    /// Picks a worker and takes a place at its gate, which the caller must release. Returns the index
    /// into [`candidates`](Self::candidates).
    ///
    /// `None` only after every gate that is not to be avoided was seen to refuse; under
    /// [`Overflow::Never`] the gate of the one worker that the request belongs to.
    #[must_use = "the place at the gate of the picked worker must be released"]
    pub fn pick(&self, query: &Query<'_>) -> Option<usize> {
        let all = &*self.candidates;
        let draw = Draw::new(query.seed);
        match &self.method {
            Method::RoundRobin(rotation) => rotation.next(|index| all[index].try_acquire(query)),
            Method::LeastConnections(lottery) => {
                let scan = all.len() <= EXACT_SCAN_MAX;
                let pairs = (!scan).then_some(lottery);
                least::pick(all, query, draw, pairs, |candidate, in_flight| {
                    candidate.vitals.load(in_flight, query.now) / f64::from(candidate.weight())
                })
            }
            Method::Random(lottery) => random::pick(all, query, draw, lottery),
            Method::Hash(hash) => hash.pick(all, query, draw),
            Method::PeakEwma(lottery) => {
                least::pick(all, query, draw, Some(lottery), |candidate, in_flight| {
                    candidate.vitals.delay(in_flight, query.now) / f64::from(candidate.weight())
                })
            }
        }
    }

    /// The worker that a request must wait for although others may be free, as an index into
    /// [`candidates`](Self::candidates): the one it belongs to, under [`Overflow::Never`]. `None` when
    /// any will do.
    pub fn home(&self, query: &Query<'_>) -> Option<usize> {
        match &self.method {
            Method::Hash(hash) => hash.home(&self.candidates, query),
            _ => None,
        }
    }

    /// Whether a worker is left that is not to be avoided, closed or ejected, full or not.
    pub fn has_others(&self, query: &Query<'_>) -> bool {
        let mut all = self.candidates.iter();
        all.any(|candidate| candidate.is_worth_waiting(query))
    }

    /// Whether there are requests that must wait for one worker; see [`home`](Self::home).
    pub fn has_homes(&self) -> bool {
        matches!(&self.method, Method::Hash(hash) if hash.has_homes())
    }

    /// The workers, in the order given.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    fn rotation(&self) -> Option<&Rotation> {
        match &self.method {
            Method::RoundRobin(rotation) => Some(rotation),
            _ => None,
        }
    }
}

impl Candidate {
    fn weight(&self) -> u32 {
        self.weight.max(1)
    }

    fn is_avoided(&self, query: &Query<'_>) -> bool {
        !query.avoid.is_empty() && query.avoid.contains(&self.key)
    }

    fn try_acquire(&self, query: &Query<'_>) -> bool {
        !self.is_avoided(query) && self.vitals.gate().try_acquire()
    }

    /// Whether waiting for it makes sense: it is no worker to be avoided, and neither closed nor ejected.
    fn is_worth_waiting(&self, query: &Query<'_>) -> bool {
        let gate = self.vitals.gate();
        !self.is_avoided(query) && !gate.is_closed() && !gate.is_ejected()
    }

    /// Requests in flight, if this one may be picked now.
    fn free(&self, query: &Query<'_>) -> Option<u32> {
        if self.is_avoided(query) {
            None
        } else {
            self.vitals.gate().free()
        }
    }
}

fn entries(candidates: &[Candidate]) -> Vec<Entry> {
    candidates
        .iter()
        .map(|candidate| Entry {
            key: candidate.key,
            weight: candidate.weight(),
        })
        .collect()
}
