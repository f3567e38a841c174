//! What goes from one tier of a service to another.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use penstock_config::{DeploymentName, fleet::OverflowLoad};

/// What one deployment gives to higher tiers and takes from lower ones.
#[derive(Default)]
pub(crate) struct Overflows {
    /// Of its load, requests that a worker of a higher tier has.
    away: AtomicU32,
    /// Requests that it answered in place of a lower tier.
    taken: AtomicU64,
    /// Requests of lower tiers that came to its queue or its workers.
    joined: AtomicU64,
}

impl Overflows {
    /// A worker of a higher tier has a request of it.
    pub(crate) fn went(&self) {
        self.away.fetch_add(1, Ordering::Relaxed);
    }

    /// That request has ended.
    pub(crate) fn came_back(&self) {
        self.away.fetch_sub(1, Ordering::Relaxed);
    }

    /// One of its workers answers a request of a lower tier, and that is passed on.
    pub(crate) fn took(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// A request of a lower tier comes to its queue or to a worker of it.
    pub(crate) fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests of it that workers of higher tiers have.
    pub(crate) fn away(&self) -> u32 {
        self.away.load(Ordering::Relaxed)
    }

    /// Requests that it took so far.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// What a report says of it.
    pub(crate) fn report(&self, deployment: &DeploymentName, arrivals: u64) -> OverflowLoad {
        OverflowLoad {
            came: arrivals.saturating_sub(self.joined.load(Ordering::Relaxed)),
            deployment: deployment.clone(),
            away: self.away(),
            taken: self.taken(),
        }
    }
}
