//! One worker as the gateway keeps it, for as long as any request holds on to it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use penstock_balancer::{Candidate, Gate, Grown, Vitals, key};
use penstock_config::fleet::{WorkerEntry, WorkerId, WorkerLoad, WorkerState as State};

use crate::{
    base::clock::Clock,
    count::{
        clients::{ClientId, Witnesses},
        recent::RecentMeter,
    },
};

/// A worker: its gate and what requests saw of it. Survives every snapshot that lists it.
pub(crate) struct WorkerState {
    /// Its identity.
    pub(crate) id: WorkerId,
    /// The bounded number for labels.
    pub(crate) slot: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The host by which the user named it, for TLS.
    pub(crate) host: Option<Arc<str>>,
    /// Names it in this process: for its connections and for picking.
    pub(crate) key: u64,
    /// How its requests did of late.
    pub(crate) recent: RecentMeter,
    vitals: Arc<Vitals>,
    answered: AtomicU64,
    failed: AtomicU64,
    witnesses: Witnesses,
    /// Copies in flight that are no load.
    copies: AtomicU32,
    clock: Clock,
}

impl WorkerState {
    /// A worker that was just listed for the first time.
    pub(crate) fn new(
        entry: &WorkerEntry,
        max_concurrency: Option<u32>,
        clock: Clock,
        threads: usize,
    ) -> Self {
        Self {
            recent: RecentMeter::new(threads),
            id: entry.id.clone(),
            slot: entry.slot,
            address: entry.address,
            host: entry.host.clone(),
            key: key(entry.id.0.as_bytes()),
            vitals: Arc::new(Vitals::new(max_concurrency, entry.ramp)),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            witnesses: Witnesses::default(),
            copies: AtomicU32::new(0),
            clock,
        }
    }

    /// Its in-flight count and limit.
    pub(crate) fn gate(&self) -> &Gate {
        self.vitals.gate()
    }

    /// Obeys a newer snapshot.
    pub(crate) fn update(&self, state: State, max_concurrency: Option<u32>) {
        self.vitals.set_max(max_concurrency);
        match state {
            State::Ready => self.gate().open(),
            State::Draining => self.gate().close(),
        }
    }

    /// What picking sees of it.
    pub(crate) fn candidate(&self, weight: u32) -> Candidate {
        Candidate {
            key: self.key,
            slot: self.slot,
            weight,
            vitals: Arc::clone(&self.vitals),
        }
    }

    /// A client's request goes there.
    pub(crate) fn is_used_by(&self, client: ClientId, now: Duration) {
        self.witnesses.sees(client, now);
    }

    /// Counts a good answer whose head came `took` after the request was sent. A fresh worker may take
    /// more from then on.
    pub(crate) fn answered(&self, took: Duration, now: Duration) -> Grown {
        self.recovered(now);
        self.began(took, now)
    }

    /// As [`Self::answered`], for an answer whose end will tell whether it is a good one.
    pub(crate) fn began(&self, took: Duration, now: Duration) -> Grown {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.vitals.began(took, now);
        self.vitals.answered(now)
    }

    /// Notes that it got a request. If it is fresh and that was its first: when to
    /// [`grow`](Self::grow) what it may take.
    pub(crate) fn requested(&self) -> Option<Duration> {
        self.vitals.requested(|| self.clock.now())
    }

    /// Lets it take more if it is fresh and has had long enough to get warm.
    pub(crate) fn grow(&self, now: Duration) -> Grown {
        self.vitals.grow(now)
    }

    /// An answer that began was a good one to its end.
    pub(crate) fn recovered(&self, now: Duration) {
        self.witnesses.did_well();
        self.vitals.recovered(now);
    }

    /// Counts a failure of a request of this client; `None` when no client can have caused it. A worker
    /// that fails fast must not seem to be the least busy one. Whether its failures in a row prove
    /// something.
    pub(crate) fn failed(&self, client: Option<ClientId>, now: Duration) -> bool {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.vitals.failed(now);
        self.witnesses.failed(client, now)
    }

    /// Whether it has failed so many requests in a row, or more.
    pub(crate) fn fails_since(&self, failures: u32) -> bool {
        self.vitals.failures() >= failures
    }

    /// Counts an answer that says that the worker has too much to do.
    pub(crate) fn refused(&self, now: Duration) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.vitals.refused(now);
    }

    /// One of its places is taken by a copy that is no load.
    pub(crate) fn copy_began(&self) {
        self.copies.fetch_add(1, Ordering::Relaxed);
    }

    /// Such a copy gives its place back.
    pub(crate) fn copy_ended(&self) {
        self.copies.fetch_sub(1, Ordering::Relaxed);
    }

    /// Time since the gateway's start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// What a report says of it.
    pub(crate) fn load(&self) -> WorkerLoad {
        WorkerLoad {
            id: self.id.clone(),
            in_flight: self.gate().in_flight(),
            copies: self.copies.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            ejected: self.gate().is_ejected(),
        }
    }
}
