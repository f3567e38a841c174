//! Answers that their clients do not read.
//!
//! The next piece of a body is asked for only when the last one could be written. A client that
//! stops reading stops the asking, and with it every timer inside the body, while the worker's
//! place stays taken. So bodies that go on for a while are watched from outside, by their thread's
//! regular sweep: one whose client took nothing for the service's `idle`, or less than its `min_rate`, is
//! taken away from it. What counts is what the client takes, as far as that is known.

use std::{sync::Arc, task::Waker, time::Duration};

use parking_lot::Mutex;

use crate::{
    base::{clock::Clock, pace::Taking, reason::Reason, swept::Swept},
    http2::Taken,
    stream::response_body::WorkerBody,
};

/// A worker's answer that can be taken away.
pub(crate) struct Slot {
    /// `None` once it was taken away.
    pub(crate) body: Option<WorkerBody>,
    /// Since when the client is to take what it was given, if it is the client that is waited for.
    pub(crate) given_since: Option<Duration>,
    /// Whether the thread's sweep knows it.
    pub(crate) watched: bool,
    /// What the client has taken, and what it had when somebody looked last.
    pub(crate) taken: Arc<Taken>,
    pub(crate) taken_before: u64,
    /// What its system has acknowledged when somebody looked last, if what is in its way is its system.
    pub(crate) acknowledged: Option<u64>,
    /// Whether it takes as much as it must.
    pub(crate) taking: Taking,
    /// Who is to be told that it was taken away, if nobody asks.
    pub(crate) reader: Option<Waker>,
}

impl Swept for Mutex<Slot> {
    /// Takes the body away if nobody has read it for too long.
    fn look(&self, clock: Clock) {
        let given_up = self.lock().take_if_unread(clock, clock.now());
        // Dropped outside the lock: this gives leases back, and so wakes others.
        drop(given_up);
    }
}

impl Slot {
    fn take_if_unread(&mut self, clock: Clock, now: Duration) -> Option<WorkerBody> {
        let since = self.given_since?;
        let quiet = match self.has_moved(now.saturating_sub(since)) {
            true => {
                self.given_since = Some(now);
                Duration::ZERO
            }
            false => now.saturating_sub(since),
        };
        let is_too_slow = self.is_too_slow(now);
        let body = self.body.as_mut()?;
        let reason = match body.overdue(&clock.moment()) {
            None if quiet >= body.idle() => Some(Reason::RequestTimeout),
            None if is_too_slow => Some(Reason::ClientTooSlow),
            overdue => overdue,
        };
        let Some(reason) = reason else {
            if self.reader.is_none() {
                body.gather();
            }
            return None;
        };
        body.is_taken_away(reason);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        self.body.take()
    }

    /// Whether the client, which is waited for, takes less than it must. Where its connection is what the answer
    /// waits for, it does so if that moves, whichever of its answers is on it.
    fn is_too_slow(&mut self, now: Duration) -> bool {
        let Some(body) = &self.body else { return false };
        let (taken, is_h2) = (&self.taken, body.is_h2());
        let written = match is_h2 {
            true => taken.bytes(),
            false => body.handed_out(),
        };
        self.taking.looks(body.rate(), now, written, || {
            let is_on_its_way = !is_h2 || taken.is_on_its_way();
            is_on_its_way.then(|| body.acknowledged()).flatten()
        })
    }

    /// Whether the client has taken something since somebody looked last. After a while without that its
    /// system is asked: what lies in its buffers and ours may last a slow reader for minutes.
    fn has_moved(&mut self, quiet: Duration) -> bool {
        let taken = self.taken.bytes();
        if taken != self.taken_before {
            self.taken_before = taken;
            self.acknowledged = None;
            return true;
        }
        let Some(body) = self.body.as_ref() else {
            return false;
        };
        if quiet < body.idle() / 2 || (body.is_h2() && !self.taken.is_on_its_way()) {
            return false;
        }
        let acknowledged = body.acknowledged();
        let before = std::mem::replace(&mut self.acknowledged, acknowledged);
        before.is_some() && before != acknowledged
    }
}
