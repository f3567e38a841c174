//! The clock of control: the only place that reads one.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Time begins here and not at zero, so that what happened shortly before control started has a
/// time too: the desired history of an earlier run.
const BEGINNING: Duration = Duration::from_secs(24 * 3600);

/// Tells the time since a fixed moment before the start; never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// Wall-clock time at the origin, in milliseconds since 1970; for the journal only.
    wall_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            wall_ms: wall_clock_ms(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        BEGINNING + self.origin.elapsed()
    }

    /// The moment at which [`Self::now`] gives `at`.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.origin + at.saturating_sub(BEGINNING)
    }

    /// Milliseconds since 1970 at the time `at`.
    pub(crate) fn wall_ms(&self, at: Duration) -> u64 {
        (self.wall_ms + millis(at)).saturating_sub(millis(BEGINNING))
    }

    /// Milliseconds since 1970 now. Unlike [`Self::wall_ms`] it follows a wall clock that is set, and
    /// goes on while the machine sleeps.
    pub(crate) fn today_ms(&self) -> u64 {
        wall_clock_ms()
    }

    /// The time that was at `wall_ms`; what lies before the beginning is moved there.
    pub(crate) fn at_wall_ms(&self, wall_ms: u64) -> Duration {
        let beginning = self.wall_ms.saturating_sub(millis(BEGINNING));
        // A wall clock that was set back in between must not put the past into the future.
        Duration::from_millis(wall_ms.saturating_sub(beginning)).min(BEGINNING)
    }
}

#[allow(clippy::disallowed_methods, reason = "the one clock of control")]
fn wall_clock_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(since_1970.unwrap_or_default())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
