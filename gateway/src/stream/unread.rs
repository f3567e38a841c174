//! Answers that their clients do not read.
//!
//! hyper asks for the next piece of a body only when the last one could be written. A client that
//! stops reading stops the asking, and with it every timer inside the body, while the worker's
//! place stays taken. So bodies that go on for a while are watched from outside, by their thread's
//! regular sweep: one whose client took nothing for the service's `idle` is taken away from it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use crate::stream::response_body::WorkerBody;

/// A worker's answer that can be taken away.
pub(crate) struct Slot {
    /// `None` once it was taken away.
    pub(crate) body: Option<WorkerBody>,
    /// Since when the client is to take what it was given, if it is the client that is waited for.
    pub(crate) given_since: Option<Duration>,
    /// Whether the thread's sweep knows it.
    pub(crate) watched: bool,
}

/// The bodies of one thread that are watched.
#[derive(Default)]
pub(crate) struct Unread {
    slots: Mutex<Vec<Weak<Mutex<Slot>>>>,
}

impl Unread {
    /// Watches a body until it is dropped.
    pub(crate) fn watch(&self, slot: &Arc<Mutex<Slot>>) {
        self.slots.lock().push(Arc::downgrade(slot));
    }

    /// Takes away the bodies that nobody has read for too long.
    pub(crate) fn sweep(&self, now: Duration) {
        let mut given_up = Vec::new();
        self.slots.lock().retain(|slot| {
            let Some(slot) = slot.upgrade() else {
                return false;
            };
            given_up.extend(slot.lock().take_if_unread(now));
            true
        });
        // Dropped outside the locks: this gives leases back, and so wakes others.
        drop(given_up);
    }
}

impl Slot {
    fn take_if_unread(&mut self, now: Duration) -> Option<WorkerBody> {
        let since = self.given_since?;
        let idle = self.body.as_ref()?.idle();
        if now.saturating_sub(since) < idle {
            return None;
        }
        self.body.take()
    }
}
