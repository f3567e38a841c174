//! Workers that are not ready yet.

use std::time::Duration;

/// What is known of the workers of one deployment that are not ready yet: whether some are on their
/// way, and how long that takes by experience. Nothing in it changes by itself as time passes, so that
/// it is no reason to publish a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coming {
    /// How long a start takes: the median. `None`: not known yet.
    pub start_p50: Option<Duration>,
    /// What nine of ten starts stay within. `None`: not known yet.
    pub start_p90: Option<Duration>,
    /// Less than any start has to be expected to take. `None`: a worker may be there at any moment.
    pub start_least: Option<Duration>,
    /// Workers on their way.
    pub starting: u32,
    /// Whether one more is wanted and there is no room for it: no GPU is free.
    pub no_room: bool,
    /// How long the oldest of them had been on its way when this was written down. `None`: none is,
    /// or nobody knows, because an earlier run of control began it, or its image is still being pulled.
    pub oldest: Option<Duration>,
    /// Whether the next one comes from sleep; then the times are those of waking.
    pub asleep: bool,
}
