//! Why a copy was not answered to its end.

/// Every reason. Closed, so that the slug can be a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// As many copies as `max_in_flight` allows.
    MaxInFlight,
    /// No worker of the target is ready.
    NoWorker,
    /// Every worker of the target is at its limit, or requests wait there already.
    Full,
    /// The copy's body fell behind the original's by more than the buffer holds.
    Behind,
    /// The copy took longer than `timeout`.
    Timeout,
    /// No connection to the worker.
    ConnectFailed,
    /// The worker's connection broke before the answer was complete, or what it sent is no answer.
    UpstreamReset,
    /// The original's client left.
    ClientGone,
    /// The original was answered before its body had been read to the end.
    Unfinished,
}

impl Dropped {
    /// Every reason, in the order of [`Dropped::index`].
    pub(crate) const ALL: [Self; 9] = [
        Self::MaxInFlight,
        Self::NoWorker,
        Self::Full,
        Self::Behind,
        Self::Timeout,
        Self::ConnectFailed,
        Self::UpstreamReset,
        Self::ClientGone,
        Self::Unfinished,
    ];

    /// Its place in [`Dropped::ALL`], for tables of counters.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The name that metrics and logs show.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::MaxInFlight => "max_in_flight",
            Self::NoWorker => "no_worker",
            Self::Full => "full",
            Self::Behind => "behind",
            Self::Timeout => "timeout",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamReset => "upstream_reset",
            Self::ClientGone => "client_gone",
            Self::Unfinished => "unfinished",
        }
    }
}
