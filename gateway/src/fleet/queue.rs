//! Requests that wait for a worker: each in its turn, bounded, left at any time.
//!
//! The hand-over between whoever gives a lease back and whoever arrives is a Dekker handshake:
//! the giver frees the place, then looks for waiters; the arrival counts itself as a waiter, then
//! looks for a place. Both sides use sequentially consistent operations, so one of them sees the
//! other and no request waits beside a free worker. It holds for every worker by itself: the giver
//! looks for those who may have its place, the arrival for a place that it may have.
//!
//! Whose places a waiter may have is found out under the queue's lock, from the newest view and the
//! gates, and asked anew under the lock after these have changed. So nobody goes on waiting for a
//! worker that went a moment earlier.
//!
//! What a waiter has to expect is said once, when it joins; it cannot be told later anyway.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use penstock_balancer::{Ahead, Home, Line, Turn};
use tokio::sync::oneshot;

use crate::{
    base::{reason::Reason, refusal::Refusal, wait_notice::WaitNotice},
    fleet::lease::Lease,
};

/// What a waiter gets in the end.
pub(crate) type Grant = Result<Lease, Refusal>;

/// The waiting requests of one deployment.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    /// Requests that left before their turn.
    left: AtomicU64,
    line: Mutex<Line<Waiting>>,
}

/// What a waiter's worker depends on.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerNeeds {
    /// Hash of what binds the request to a worker.
    pub(crate) hash: Option<u64>,
    /// Keys of workers that failed it already.
    pub(crate) avoid: Box<[u64]>,
}

/// How long a request waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// When its wait is over at the latest.
    pub(crate) until: Duration,
    /// Whether it had better be refused at once than wait until then in vain.
    pub(crate) sheds: bool,
}

struct Waiting {
    needs: WorkerNeeds,
    patience: Patience,
    grant: oneshot::Sender<Grant>,
}

impl Queue {
    /// Requests waiting now.
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Requests so far that left before their turn.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Who goes before a request that would join now.
    pub(crate) fn ahead(&self, turn: &Turn, home: Home) -> Ahead {
        self.line.lock().ahead(turn, home)
    }

    /// Whether somebody waits who may have a place at the worker with this key.
    pub(crate) fn is_waited_for(&self, worker: u64) -> bool {
        self.line.lock().first(worker).is_some()
    }

    /// Whether somebody waits who may have places at several workers.
    pub(crate) fn has_seekers(&self) -> bool {
        self.line.lock().seekers().next().is_some()
    }

    /// Lets a request wait for its turn; `home` tells whose places it may have. The caller must serve
    /// the queue afterwards, because a place may have become free just before.
    pub(crate) fn join(
        self: &Arc<Self>,
        place: Option<Place>,
        (turn, patience): (Turn, Patience),
        needs: WorkerNeeds,
        home: impl FnOnce(&WorkerNeeds) -> Home,
    ) -> Joined {
        let (sender, grant) = oneshot::channel();
        let mut line = self.line.lock();
        let home = home(&needs);
        let ahead = line.ahead(&turn, home);
        let waiting = Waiting {
            needs,
            patience,
            grant: sender,
        };
        let ticket = line.join(turn, home, waiting);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(line);
        let waiter = Waiter {
            queue: Arc::clone(self),
            ticket,
            grant,
            wait_notice: None,
            place,
        };
        Joined {
            waiter,
            home,
            ahead,
        }
    }

    /// Refuses somebody who should give way to a request for which there is no place, if there is
    /// somebody.
    pub(crate) fn displace(
        &self,
        turn: &Turn,
        home: impl FnOnce() -> Home,
        refusal: &Refusal,
    ) -> bool {
        let displaced = {
            let mut line = self.line.lock();
            let displaced = line.displace(turn, home());
            self.waiting
                .fetch_sub(usize::from(displaced.is_some()), Ordering::SeqCst);
            displaced
        };
        let Some(waiting) = displaced else {
            return false;
        };
        // One that has gone left a place too.
        let _ = waiting.grant.send(Err(refusal.clone()));
        self.left.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How long the one has waited by `now` that joined first.
    pub(crate) fn longest_wait(&self, now: Duration) -> Option<Duration> {
        let arrived = self.line.lock().first_arrival()?;
        Some(now.saturating_sub(arrived))
    }

    /// Asks anew whose places everybody may have.
    pub(crate) fn rehome(&self, mut home: impl FnMut(&WorkerNeeds) -> Home) {
        self.line.lock().rehome(|waiting| home(&waiting.needs));
    }

    /// Gives leases to those who may have them from several workers, until there is no lease or nobody
    /// left. `take_lease` is told what one of them wishes; whoever is first for a place at the worker
    /// it then finds gets that.
    pub(crate) fn serve_seekers(&self, mut take_lease: impl FnMut(&WorkerNeeds) -> Option<Lease>) {
        self.hand_out(|line| line.seekers().find_map(|seeker| take_lease(&seeker.needs)));
    }

    /// Gives leases on the worker with this key to those who may have them, until there is no lease or
    /// nobody left.
    pub(crate) fn serve_one(&self, worker: u64, mut take_lease: impl FnMut() -> Option<Lease>) {
        self.hand_out(|line| {
            line.first(worker)?;
            take_lease()
        });
    }

    fn hand_out(&self, mut take_lease: impl FnMut(&Line<Waiting>) -> Option<Lease>) {
        let mut held = None;
        loop {
            let mut line = self.line.lock();
            let Some(lease) = held.take().or_else(|| take_lease(&line)) else {
                break;
            };
            let next = line.serve(lease.worker().key);
            if next.is_some() {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            drop(line);
            // Outside the lock: the lease of a waiter that has just gone is tried on the next one, and
            // one that nobody may have is given back.
            if let Some(waiting) = next
                && let Err(Ok(lease)) = waiting.grant.send(Ok(lease))
            {
                held = Some(lease);
            }
        }
    }

    /// Answers every waiter with `refusal`.
    pub(crate) fn refuse_all(&self, refusal: &Refusal) {
        let waiters = {
            let mut line = self.line.lock();
            self.waiting.fetch_sub(line.len(), Ordering::SeqCst);
            line.clear()
        };
        for waiting in waiters {
            // One that has gone needs no answer.
            let _ = waiting.grant.send(Err(refusal.clone()));
        }
    }

    /// Answers every waiter that had better know at once that its time is over before its turn. `least`:
    /// how long it takes from `now` at least until somebody has a worker before whom so many go.
    pub(crate) fn refuse_late(
        &self,
        now: Duration,
        least: impl Fn(usize) -> Duration,
        refusal: impl Fn(Duration) -> Refusal,
    ) {
        let in_vain = |ahead, waiting: &Waiting| {
            let patience = waiting.patience;
            patience.sheds && patience.until < now.saturating_add(least(ahead))
        };
        let waiters = {
            let mut line = self.line.lock();
            let waiters = line.take_late(in_vain);
            self.waiting.fetch_sub(waiters.len(), Ordering::SeqCst);
            waiters
        };
        for waiting in waiters {
            let left = waiting.patience.until.saturating_sub(now);
            let _ = waiting.grant.send(Err(refusal(left)));
        }
    }

    fn leave(&self, ticket: u64) {
        let mut line = self.line.lock();
        if line.leave(ticket).is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is known of a request that has just joined.
pub(crate) struct Joined {
    /// Its place in the queue.
    pub(crate) waiter: Waiter,
    /// Whose places it waits for.
    pub(crate) home: Home,
    /// Who goes before it. Counted as it joined, so that no two are told the same position.
    pub(crate) ahead: Ahead,
}

/// A request in the queue. Dropping it leaves the queue, and gives a lease back that came too late.
pub(crate) struct Waiter {
    queue: Arc<Queue>,
    ticket: u64,
    grant: oneshot::Receiver<Grant>,
    /// What it had to expect when it joined.
    pub(crate) wait_notice: Option<WaitNotice>,
    place: Option<Place>,
}

impl Waiter {
    /// Waits for a lease or a refusal. Can be cancelled and called again.
    pub(crate) async fn granted(&mut self) -> Grant {
        poll_fn(|cx| self.poll_granted(cx)).await
    }

    /// The same.
    pub(crate) fn poll_granted(&mut self, cx: &mut Context<'_>) -> Poll<Grant> {
        Pin::new(&mut self.grant).poll(cx).map(|grant| match grant {
            Ok(grant) => grant,
            Err(_) => Err(Refusal::new(
                Reason::ShuttingDown,
                "the gateway is shutting down",
            )),
        })
    }

    /// Gives its place in the queues of the service to another waiter of the same request.
    pub(crate) fn hand_place_to(&mut self, other: &mut Self) {
        if other.place.is_none() {
            other.place = self.place.take();
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

    /// Takes the place of somebody who was told to go, and is gone in a moment.
    pub(crate) fn take_over(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Places that are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// A place in a service's queues; given back on drop.
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
