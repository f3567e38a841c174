//! The gateway's clock: the one place of the data plane that reads the time.

use std::{cell::Cell, time::Duration};

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

    /// The time of one step of a request's life.
    pub(crate) fn moment(self) -> Moment {
        Moment {
            clock: self,
            read: Cell::new(None),
        }
    }

    /// The time of a step that is taken at `now`.
    pub(crate) fn moment_at(self, now: Duration) -> Moment {
        Moment {
            clock: self,
            read: Cell::new(Some(now)),
        }
    }

    /// The timer's form of a time of this clock.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }
}

/// A time that is read when it is first asked for, and stays the same from then on: what happens in one
/// step happens at one time, and many steps need none.
#[derive(Debug)]
pub(crate) struct Moment {
    clock: Clock,
    read: Cell<Option<Duration>>,
}

impl Moment {
    /// Time since the gateway's start.
    pub(crate) fn now(&self) -> Duration {
        let now = self.read.get().unwrap_or_else(|| self.clock.now());
        self.read.set(Some(now));
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_moment_begins_when_it_is_first_asked_for_and_stays() {
        let clock = Clock::start();
        let (early, late) = (clock.moment(), clock.moment());
        assert_eq!(early.now(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(early.now(), Duration::ZERO);
        assert_eq!(late.now(), Duration::from_secs(1));
    }
}
