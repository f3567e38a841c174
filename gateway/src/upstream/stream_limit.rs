//! How many streams a worker allows at once on a connection.
//!
//! What is asked for beyond that `h2` holds back without a word, and a request that is held back seems to
//! have a worker that does not answer. So the worker's settings are read on their way to it, and further
//! requests open another connection.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// What a worker said last; nothing is allowed before it has said something, which it does first of all
/// (RFC 9113 §3.4).
#[derive(Debug, Default)]
pub(super) struct StreamLimit {
    /// One more than it allows; zero when it has said nothing yet.
    said: AtomicU64,
    has_changed: Notify,
}

impl StreamLimit {
    /// The worker allows so many from now on.
    pub(super) fn is_now(&self, streams: u32) {
        self.said.store(u64::from(streams) + 1, Ordering::Relaxed);
        self.has_changed.notify_waiters();
    }

    /// Whether it has said something.
    pub(super) fn is_known(&self) -> bool {
        self.said.load(Ordering::Relaxed) > 0
    }

    /// How many it allows now.
    pub(super) fn allowed(&self) -> usize {
        let allowed = self.said.load(Ordering::Relaxed).saturating_sub(1);
        usize::try_from(allowed).unwrap_or(usize::MAX)
    }

    /// Waits until it has said what is wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.has_changed.notified();
            if wanted(self) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn nothing_is_allowed_before_the_worker_has_said_something() {
        let limit = StreamLimit::default();
        let mut allows_any = Box::pin(limit.until(|limit| limit.allowed() > 0));
        let mut is_over = || {
            let mut context = Context::from_waker(Waker::noop());
            allows_any.as_mut().poll(&mut context).is_ready()
        };
        assert_eq!((limit.is_known(), limit.allowed()), (false, 0));
        assert!(!is_over());
        limit.is_now(0);
        assert_eq!((limit.is_known(), limit.allowed()), (true, 0));
        assert!(!is_over(), "it allows none yet");
        limit.is_now(2);
        assert_eq!(limit.allowed(), 2);
        assert!(is_over());
        limit.is_now(u32::MAX);
        assert_eq!(limit.allowed(), u32::MAX as usize);
    }
}
