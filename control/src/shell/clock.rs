//! The clock of control: the only place that reads one.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::core::Moment;

/// Time begins here and not at zero, so that what happened shortly before control started has a
/// time too: the desired history of an earlier run.
const BEGINNING: Duration = Duration::from_secs(24 * 3600);

/// Tells the time since a fixed moment before the start; never goes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    /// Wall-clock time at the origin, in milliseconds since 1970.
    wall_ms: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            wall_ms: wall_clock_ms(),
        }
    }

    /// This moment, as the core is told it.
    pub(crate) fn now(&self) -> Moment {
        let since = self.origin.elapsed();
        Moment {
            at: BEGINNING + since,
            wall_ms: self.wall_ms + millis(since),
            today_ms: wall_clock_ms(),
        }
    }

    /// The instant at which [`Self::now`] gives `at`.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.origin + at.saturating_sub(BEGINNING)
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
