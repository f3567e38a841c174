//! Places on a deployment's workers for mirrored copies.
//!
//! A copy passes the same gates as a request and is bound by the same `max_concurrency`, but requests
//! come first: a copy gets a place only while no request waits for one. It is not in the queue either:
//! copies that may wait do so on their own, are served after all requests, and take no place of the
//! service's `queue`. A place that a copy has got it keeps until it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use penstock_config::fleet::MirrorLoad;
use tokio::sync::Notify;

use super::DeploymentState;
use crate::{
    count::metrics::{Dropped, MirrorMetrics},
    fleet::{lease::Lease, pick_by::PickBy, queue::Places},
};

/// What a deployment knows of the copies that are mirrored to it.
#[derive(Default)]
pub(crate) struct Copies {
    /// Bounds the copies that wait or are in flight.
    pub(crate) places: Arc<Places>,
    /// Bytes of their bodies that are kept.
    pub(crate) kept: Arc<AtomicU64>,
    /// Their counts.
    pub(crate) metrics: MirrorMetrics,
    waiting: AtomicUsize,
    /// Of these, those that count as load.
    queued: AtomicUsize,
    /// Told when a waiting copy may find a place.
    freed: Notify,
    /// Copies now that keep the deployment awake.
    waking: AtomicUsize,
    /// Grows with every such copy, and with every report as long as there is one.
    woken: AtomicU64,
}

/// A copy that keeps the deployment awake, until it is dropped.
pub(crate) struct Waking(Arc<DeploymentState>);

/// A copy that counts as load, until it is dropped.
pub(crate) struct Load {
    deployment: Arc<DeploymentState>,
    thread: usize,
}

/// A copy's place on a worker; given back on drop.
pub(crate) struct CopyLease {
    lease: Lease,
    /// Whether the copy is left out of the worker's load.
    uncounted: bool,
}

/// A copy that waits.
struct Waiting<'d> {
    copies: &'d Copies,
    counts: bool,
}

impl DeploymentState {
    /// A place for a copy, if one is free that nobody waits for.
    pub(crate) fn lease_copy(
        self: &Arc<Self>,
        pick_by: &PickBy,
        counts: bool,
        now: Duration,
    ) -> Result<CopyLease, Dropped> {
        let free = (self.copies.waiting.load(Ordering::SeqCst) == 0)
            .then(|| self.lease_behind_queue(pick_by, now))
            .flatten();
        match free {
            Some(lease) => Ok(CopyLease::new(lease, counts)),
            None if self.view.load().has_ready() => Err(Dropped::Full),
            None => Err(Dropped::NoWorker),
        }
    }

    /// Waits for a place for a copy, and wakes the deployment if it has no worker. Ends without one
    /// only when there is no hope.
    pub(crate) async fn wait_for_copy(
        self: &Arc<Self>,
        pick_by: &PickBy,
        counts: bool,
    ) -> Result<CopyLease, Dropped> {
        let copies = &self.copies;
        let _waiting = Waiting::begin(copies, counts);
        if !self.view.load().has_ready() {
            self.poke();
        }
        loop {
            let mut freed = std::pin::pin!(copies.freed.notified());
            // From here on nothing is missed: what becomes free now is told to this one.
            freed.as_mut().enable();
            if let Some(lease) = self.lease_behind_queue(pick_by, self.clock.now()) {
                return Ok(CopyLease::new(lease, counts));
            }
            if self.hopeless().is_some() {
                return Err(Dropped::NoWorker);
            }
            freed.await;
        }
    }

    /// From now on a copy keeps the deployment awake.
    pub(crate) fn wake_for_copy(self: &Arc<Self>) -> Waking {
        self.copies.waking.fetch_add(1, Ordering::Relaxed);
        self.copies.woken.fetch_add(1, Ordering::Relaxed);
        Waking(Arc::clone(self))
    }

    /// From now on a copy is part of the deployment's load.
    pub(crate) fn load_of_copy(self: &Arc<Self>, thread: usize, now: Duration) -> Load {
        self.load.start(thread, now);
        Load {
            deployment: Arc::clone(self),
            thread,
        }
    }

    /// A copy that counts as load found no place.
    pub(crate) fn no_capacity_for_copy(&self) {
        self.no_capacity.fetch_add(1, Ordering::Relaxed);
    }
}

impl Copies {
    /// Lets a waiting copy look for a place. Every one that got one, or gave up, tells the next.
    pub(super) fn serve(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }

    /// What is reported of them for people.
    pub(crate) fn report(&self) -> MirrorLoad {
        self.metrics.report(self.places.taken())
    }

    /// Waiting copies that count as load.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// What a report says: more than the last one said if a copy keeps the deployment awake.
    pub(super) fn woken(&self) -> u64 {
        let more = u64::from(self.waking.load(Ordering::Relaxed) > 0);
        self.woken.fetch_add(more, Ordering::Relaxed) + more
    }
}

impl Drop for Waking {
    fn drop(&mut self) {
        self.0.copies.waking.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let now = self.deployment.clock.now();
        self.deployment.load.end(self.thread, now);
    }
}

impl CopyLease {
    fn new(lease: Lease, counts: bool) -> Self {
        if !counts {
            lease.worker().copy_began();
        }
        Self {
            lease,
            uncounted: !counts,
        }
    }

    /// The place itself.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for CopyLease {
    fn drop(&mut self) {
        if self.uncounted {
            self.lease.worker().copy_ended();
        }
    }
}

impl<'d> Waiting<'d> {
    fn begin(copies: &'d Copies, counts: bool) -> Self {
        copies.waiting.fetch_add(1, Ordering::SeqCst);
        copies
            .queued
            .fetch_add(usize::from(counts), Ordering::Relaxed);
        Self { copies, counts }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.copies
            .queued
            .fetch_sub(usize::from(self.counts), Ordering::Relaxed);
        self.copies.waiting.fetch_sub(1, Ordering::SeqCst);
        self.copies.serve();
    }
}
