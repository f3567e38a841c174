//! Who gets a place at a worker: an arrival at once, or those who wait, in their turn.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use penstock_balancer::{Home, Query, Turn};

use super::{DeploymentState, View};
use crate::{
    base::{luck, reason::Reason, refusal::Refusal},
    fleet::{
        lease::Lease,
        pick_by::PickBy,
        queue::{Patience, Place, Waiter, WorkerNeeds},
        worker::WorkerState,
    },
};

/// Up to this many workers are asked one by one how many requests they have. With more the sum that
/// scaling counts anyway is near enough.
const SUMMED_UP_MAX: usize = 64;

/// What became of a request that wants a worker.
pub(crate) enum Admission {
    /// It has one.
    Leased(Lease),
    /// It is in the queue.
    Queued(Waiter),
    /// It will get none.
    Refused(Refusal),
}

/// A request that wants a worker.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// What it brings to the choice.
    pub(crate) pick_by: &'a PickBy,
    /// Keys of workers that failed it already, the last one last.
    pub(crate) tried: &'a [u64],
    /// The time.
    pub(crate) now: Duration,
    /// Most requests that may wait in the queues of the service.
    pub(crate) max_queued: usize,
    /// Whether it has a place in another one of them, which will do for this one too.
    pub(crate) has_place: bool,
}

impl DeploymentState {
    /// A lease, a place in the queue, or a refusal. `waits` is asked only if the request must wait:
    /// where in the queue it belongs, and for how long.
    pub(crate) fn admit(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        waits: impl FnOnce() -> (Turn, Patience),
    ) -> Admission {
        if let Some(lease) = self.lease_at_once(wanted) {
            return Admission::Leased(lease);
        }
        self.no_capacity.fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = self.hopeless() {
            return Admission::Refused(refusal);
        }
        let queued = self.queue_up(&wanted, waits());
        let view = self.view.load();
        if !view.has_ready() {
            // Also for one that is refused: it comes too early, not for nothing.
            self.poke.now();
        }
        let (waiter, home) = match queued {
            Ok(queued) => queued,
            Err(refusal) => return Admission::Refused(refusal),
        };
        // A place may have become free, or all hope lost, just before the request joined.
        self.refuse_if_hopeless();
        match home {
            Home::At(key) => view
                .worker(key)
                .into_iter()
                .for_each(|at| self.serve_worker(at)),
            Home::Anywhere | Home::NotAt(_) => self.serve_seekers(),
        }
        Admission::Queued(waiter)
    }

    /// A lease, if the request need not wait for one.
    pub(crate) fn lease_at_once(self: &Arc<Self>, wanted: Wanted<'_>) -> Option<Lease> {
        // Whoever waits was here first.
        match self.queue.len() {
            0 => self.lease_for(&wanted),
            _ => self.lease_beside_queue(&wanted),
        }
    }

    /// Whether a request that comes now may take a place at a worker, so that it should have all it needs by
    /// then: there are workers, and it is not refused because too many wait.
    pub(crate) fn has_places(&self, max_queued: usize) -> bool {
        let may_wait = self.queue.len() == 0 || self.places.taken() < max_queued;
        may_wait && self.view.load().has_ready()
    }

    /// Lets a request wait, if it may be served in time, and if there is a place or somebody gives one
    /// up.
    fn queue_up(
        &self,
        wanted: &Wanted<'_>,
        (turn, patience): (Turn, Patience),
    ) -> Result<(Waiter, Home), Refusal> {
        let needs = wanted.needs();
        let home = self.view.load().home(&needs, wanted.now);
        self.refuse_in_vain(&turn, &patience, home)?;
        let place = match wanted.has_place {
            true => None,
            false => Some(self.place(wanted, &turn, home)?),
        };
        let mut joined = self.queue.join(place, (turn, patience), needs, |needs| {
            self.view.load().home(needs, wanted.now)
        });
        let wait_notice = self.wait_notice(joined.ahead, joined.home, self.clock.now());
        joined.waiter.wait_notice = Some(wait_notice);
        Ok((joined.waiter, joined.home))
    }

    /// A place in the queues of the service, if there is one or somebody gives one up.
    fn place(&self, wanted: &Wanted<'_>, turn: &Turn, home: Home) -> Result<Place, Refusal> {
        self.places.take(wanted.max_queued).map_or_else(
            || {
                let refusal = self.queue_full(wanted);
                if self.queue.displace(turn, || home, &refusal) {
                    Ok(self.places.take_over())
                } else {
                    Err(refusal)
                }
            },
            Ok,
        )
    }

    /// The refusal of a request for which there is no place. While nothing better is known: a full
    /// queue takes about as long to be served as the first in it has waited.
    fn queue_full(&self, wanted: &Wanted<'_>) -> Refusal {
        let longest = || self.queue.longest_wait(wanted.now).unwrap_or_default();
        let predicted = self.retry_after(wanted.now).unwrap_or_else(longest);
        let detail = format!("{} requests are waiting already", wanted.max_queued);
        Refusal::new(Reason::QueueFull, detail).predicted(Some(predicted))
    }

    /// A lease for whoever has to stand back behind all requests that wait.
    pub(super) fn lease_behind_queue(
        self: &Arc<Self>,
        pick_by: &PickBy,
        now: Duration,
    ) -> Option<Lease> {
        if self.queue.len() > 0 {
            return None;
        }
        self.try_lease(&query(pick_by.hash, &[], now))
    }

    /// Gives free places of one worker to those who wait for them.
    pub(crate) fn serve_worker(self: &Arc<Self>, worker: &Arc<WorkerState>) {
        if self.queue.len() > 0 {
            self.queue.serve_one(worker.key, || {
                let free = worker.gate().try_acquire();
                free.then(|| Lease::acquired(Arc::clone(worker), Arc::clone(self)))
            });
        }
        self.copies.serve();
    }

    /// Gives free places to those who wait, after workers came, went, or were ejected or readmitted.
    /// Asks anew who may have which.
    pub(crate) fn serve_queue(self: &Arc<Self>) {
        self.copies.serve();
        if self.queue.len() == 0 {
            return;
        }
        let now = self.clock.now();
        self.queue.rehome(|needs| self.view.load().home(needs, now));
        self.serve_seekers();
        let view = self.view.load_full();
        if view.picker.has_homes() {
            view.workers
                .iter()
                .for_each(|worker| self.serve_worker(worker));
        }
    }

    fn serve_seekers(self: &Arc<Self>) {
        let now = self.clock.now();
        self.queue.serve_seekers(|needs| {
            let mut query = needs.query(now);
            if !self.view.load().picker.has_others(&query) {
                query.avoid = &[];
            }
            self.try_lease(&query)
        });
    }

    /// A lease for an arrival while others wait for workers that it does not want.
    fn lease_beside_queue(self: &Arc<Self>, wanted: &Wanted<'_>) -> Option<Lease> {
        let view = self.view.load();
        if !view.picker.has_homes() {
            return None;
        }
        let others_first = match view.home(&wanted.needs(), wanted.now) {
            Home::At(key) => self.queue.is_waited_for(key),
            Home::Anywhere | Home::NotAt(_) => self.queue.has_seekers(),
        };
        if others_first {
            return None;
        }
        let lease = self.lease_for(wanted)?;
        // Dropping the lease gives it to whoever waits for just this worker.
        (!self.queue.is_waited_for(lease.worker().key)).then_some(lease)
    }

    fn lease_for(self: &Arc<Self>, wanted: &Wanted<'_>) -> Option<Lease> {
        let mut query = query(wanted.pick_by.hash, wanted.tried, wanted.now);
        if query.hash.is_some() && self.view.load().ready() > SUMMED_UP_MAX {
            query.in_flight = Some(self.in_flight());
        }
        self.try_lease(&query)
    }

    /// Requests in flight on all workers, this one not yet among them; mirrored copies may be missing.
    fn in_flight(&self) -> u32 {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let elsewhere = queued.saturating_add(self.overflow.away());
        let current = self.load.current().saturating_sub(elsewhere);
        current.saturating_sub(1)
    }

    fn try_lease(self: &Arc<Self>, query: &Query<'_>) -> Option<Lease> {
        let view = self.view.load();
        let picked = view.picker.pick(query)?;
        let worker = Arc::clone(&view.workers[picked]);
        Some(Lease::acquired(worker, Arc::clone(self)))
    }
}

impl View {
    /// Whose places a request may have.
    fn home(&self, needs: &WorkerNeeds, now: Duration) -> Home {
        let query = needs.query(now);
        if let Some(index) = self.picker.home(&query) {
            return Home::At(self.workers[index].key);
        }
        match needs.avoid.last() {
            // Better to wait for another than to be failed again.
            Some(&last) if self.picker.has_others(&query) => Home::NotAt(last),
            _ => Home::Anywhere,
        }
    }

    /// Whether there is a worker that takes requests beside those with these keys.
    pub(super) fn has_others(&self, tried: &[u64]) -> bool {
        // Neither luck nor time plays a part in it.
        self.picker.has_others(&Query {
            seed: 0,
            now: Duration::ZERO,
            hash: None,
            in_flight: None,
            avoid: tried,
        })
    }

    fn worker(&self, key: u64) -> Option<&Arc<WorkerState>> {
        self.workers.iter().find(|worker| worker.key == key)
    }
}

impl Wanted<'_> {
    fn needs(&self) -> WorkerNeeds {
        WorkerNeeds {
            hash: self.pick_by.hash,
            avoid: self.tried.into(),
        }
    }
}

impl WorkerNeeds {
    fn query(&self, now: Duration) -> Query<'_> {
        query(self.hash, &self.avoid, now)
    }
}

fn query(hash: Option<u64>, avoid: &[u64], now: Duration) -> Query<'_> {
    Query {
        seed: luck::number(),
        now,
        hash,
        in_flight: None,
        avoid,
    }
}
