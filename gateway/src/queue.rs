//! Requests that wait for a worker: first come, first served, bounded, left at any time.
//!
//! The hand-over between whoever gives a lease back and whoever arrives is a Dekker handshake:
//! the giver frees the place, then looks for waiters; the arrival counts itself as a waiter, then
//! looks for a place. Both sides use sequentially consistent operations, so one of them sees the
//! other and no request waits beside a free worker.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{lease::Lease, reason::Reason, refusal::Refusal};

/// What a waiter gets in the end.
pub(crate) type Grant = Result<Lease, Refusal>;

/// The waiting requests of one deployment.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next_ticket: u64,
    waiters: BTreeMap<u64, oneshot::Sender<Grant>>,
}

impl Queue {
    /// Requests waiting now.
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Puts a request at the end. The caller must [`Self::serve`] the queue afterwards, because a
    /// place may have become free just before.
    pub(crate) fn join(self: &Arc<Self>, place: Place) -> Waiter {
        let (sender, grant) = oneshot::channel();
        let mut line = self.line.lock();
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiters.insert(ticket, sender);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(line);
        Waiter {
            queue: Arc::clone(self),
            ticket,
            grant,
            _place: place,
        }
    }

    /// Gives leases to waiters, the oldest first, until there is no lease or no waiter left.
    pub(crate) fn serve(&self, mut take_lease: impl FnMut() -> Option<Lease>) {
        let mut held = None;
        loop {
            let (waiter, lease) = {
                let mut line = self.line.lock();
                if line.waiters.is_empty() {
                    break;
                }
                let Some(lease) = held.take().or_else(&mut take_lease) else {
                    break;
                };
                let Some((_, waiter)) = line.waiters.pop_first() else {
                    break;
                };
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                (waiter, lease)
            };
            // Outside the lock: the lease of a waiter that has just gone is tried on the next one.
            if let Err(Ok(lease)) = waiter.send(Ok(lease)) {
                held = Some(lease);
            }
        }
    }

    /// Answers every waiter with `refusal`.
    pub(crate) fn refuse_all(&self, refusal: &Refusal) {
        let waiters = {
            let mut line = self.line.lock();
            let waiters = std::mem::take(&mut line.waiters);
            self.waiting.fetch_sub(waiters.len(), Ordering::SeqCst);
            waiters
        };
        for waiter in waiters.into_values() {
            // One that has gone needs no answer.
            let _ = waiter.send(Err(refusal.clone()));
        }
    }

    fn leave(&self, ticket: u64) {
        let mut line = self.line.lock();
        if line.waiters.remove(&ticket).is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// A request in the queue. Dropping it leaves the queue, and gives a lease back that came too late.
pub(crate) struct Waiter {
    queue: Arc<Queue>,
    ticket: u64,
    grant: oneshot::Receiver<Grant>,
    _place: Place,
}

impl Waiter {
    /// Waits for a lease or a refusal. Can be cancelled and called again.
    pub(crate) async fn granted(&mut self) -> Grant {
        match (&mut self.grant).await {
            Ok(grant) => grant,
            Err(_) => Err(Refusal::new(
                Reason::ShuttingDown,
                "the gateway is shutting down",
            )),
        }
    }

    /// Leaves the queue, with what came in the very last moment if anything did.
    pub(crate) fn give_up(mut self) -> Option<Grant> {
        self.grant.close();
        self.grant.try_recv().ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.queue.leave(self.ticket);
    }
}

/// How many requests may wait in all queues of one service together.
#[derive(Default)]
pub(crate) struct Places {
    taken: AtomicUsize,
}

impl Places {
    /// Takes a place unless `max` are taken.
    pub(crate) fn take(self: &Arc<Self>, max: usize) -> Option<Place> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max).then_some(taken + 1)
            })
            .ok()?;
        Some(Place(Arc::clone(self)))
    }
}

/// A place in a service's queues; given back on drop.
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
