//! The gateway's clock: the one place of the data plane that reads the time.

use std::time::Duration;

use tokio::time::Instant;

/// Monotonic time since the gateway's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The timer's form of a time of this clock.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }
}
