//! How soon a deployment could answer.

use std::{cmp::Ordering, time::Duration};

use penstock_config::{Source, fleet::Phase};

use super::{DeploymentState, View};

/// How a deployment stands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It has a worker.
    Ready,
    /// One is on its way, and most likely there after this time.
    Starting(Eta),
    /// A request would wake it.
    Cold(Eta),
    /// No worker could be started; or there is none, and none to be started.
    Failed,
    /// The operator has stopped it.
    Paused,
}

/// A time that may not be known: later than any other then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Eta(pub(crate) Option<Duration>);

impl Ord for Eta {
    fn cmp(&self, other: &Self) -> Ordering {
        let known = |eta: &Self| eta.0.unwrap_or(Duration::MAX);
        known(self).cmp(&known(other))
    }
}

impl PartialOrd for Eta {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl DeploymentState {
    /// How it stands now.
    pub(crate) fn standing(&self) -> Standing {
        self.view.load().standing(self.clock.now())
    }

    /// How long it takes until it has a worker, where a request would have to wake it and that is known.
    pub(crate) fn wakes_in(&self) -> Option<Duration> {
        match self.standing() {
            Standing::Cold(eta) => eta.0,
            _ => None,
        }
    }
}

impl View {
    fn standing(&self, now: Duration) -> Standing {
        if self.has_ready() {
            return Standing::Ready;
        }
        let eta = Eta(self.likely_start(now));
        match (&self.phase, &self.spec.source) {
            (Phase::Paused { .. }, _) => Standing::Paused,
            (Phase::Failed { .. }, _) => Standing::Failed,
            (Phase::Starting, _) => Standing::Starting(eta),
            (Phase::Cold | Phase::Warm, Source::Static(_)) => Standing::Failed,
            (Phase::Cold | Phase::Warm, _) => Standing::Cold(eta),
        }
    }
}
