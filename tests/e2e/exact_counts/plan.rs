//! How long the storm lasts.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

/// When the clients have asked enough.
pub(super) struct Plan {
    deadline: Option<Instant>,
    left: AtomicU64,
    over: AtomicBool,
}

impl Plan {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            left: AtomicU64::new(u64::MAX),
            over: AtomicBool::new(false),
        }
    }

    pub(super) fn requests(count: u64) -> Self {
        Self {
            deadline: None,
            left: AtomicU64::new(count),
            over: AtomicBool::new(false),
        }
    }

    /// Whether one more request is wanted.
    pub(super) fn one_more(&self) -> bool {
        let in_time = self
            .deadline
            .is_none_or(|deadline| Instant::now() < deadline);
        let take = |left: u64| left.checked_sub(1);
        in_time
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
    }

    /// All clients have ended.
    pub(super) fn over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}
