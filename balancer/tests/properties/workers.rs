//! Lists of workers, and the policies they are picked by.

use std::{sync::Arc, time::Duration};

use penstock_balancer::{Candidate, Overflow, Policy, Query, Vitals, key};

/// Every policy that asks all gates before it gives up.
pub(crate) const POLICIES: [Policy; 6] = [
    Policy::RoundRobin,
    Policy::LeastConnections,
    Policy::Random,
    Policy::Hash(Overflow::AboveMean(1.25)),
    Policy::Hash(Overflow::WhenFull),
    Policy::PeakEwma,
];

/// A worker without a limit.
pub(crate) fn worker(slot: u32, weight: u32) -> Candidate {
    limited(slot, weight, None)
}

/// A worker with `max_concurrency`.
pub(crate) fn limited(slot: u32, weight: u32, max: Option<u32>) -> Candidate {
    Candidate {
        key: u64::from(slot),
        slot,
        weight,
        vitals: Arc::new(Vitals::new(max, false)),
    }
}

/// One worker per weight.
pub(crate) fn workers(weights: &[u32]) -> Vec<Candidate> {
    weights
        .iter()
        .zip(0..)
        .map(|(weight, slot)| worker(slot, *weight))
        .collect()
}

/// The query of the `number`th request, at time zero.
pub(crate) fn query(number: u64) -> Query<'static> {
    query_at(number, Duration::ZERO)
}

/// The query of the `number`th request.
pub(crate) fn query_at(number: u64, now: Duration) -> Query<'static> {
    Query {
        seed: key(&number.to_be_bytes()),
        now,
        hash: Some(key(&number.to_le_bytes())),
        in_flight: None,
        avoid: &[],
    }
}
