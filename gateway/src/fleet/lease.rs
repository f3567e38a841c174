//! The right to one in-flight place on one worker.

use std::{sync::Arc, time::Duration};

use penstock_balancer::Grown;

use crate::{
    count::clients::ClientId,
    fleet::{deployment::DeploymentState, worker::WorkerState},
};

/// One in-flight place on one worker. Dropping it gives the place back, and to the next waiter if
/// there is one.
pub(crate) struct Lease {
    worker: Arc<WorkerState>,
    deployment: Arc<DeploymentState>,
}

impl Lease {
    /// Wraps a place that was just acquired from `worker`'s gate.
    pub(crate) fn acquired(worker: Arc<WorkerState>, deployment: Arc<DeploymentState>) -> Self {
        if let Some(grows) = worker.requested() {
            deployment.look_after_at(grows);
        }
        Self { worker, deployment }
    }

    /// The worker.
    pub(crate) fn worker(&self) -> &Arc<WorkerState> {
        &self.worker
    }

    /// The worker answered, `took` after it got the request. Its next places open up while it is
    /// fresh.
    pub(crate) fn answered(&self, took: Duration, now: Duration) {
        self.deployment.strikes.succeeded(now);
        self.grown(self.worker.answered(took, now));
    }

    /// As [`Self::answered`], for an answer whose end will tell whether it is a good one.
    pub(crate) fn began(&self, took: Duration, now: Duration) {
        self.grown(self.worker.began(took, now));
    }

    fn grown(&self, grown: Grown) {
        if grown.has_more {
            self.deployment.serve_worker(&self.worker);
        }
        if let Some(next) = grown.next {
            self.deployment.look_after_at(next);
        }
    }

    /// The answer that began was a good one to its end.
    pub(crate) fn recovered(&self, now: Duration) {
        self.deployment.strikes.succeeded(now);
        self.worker.recovered(now);
    }

    /// The worker failed the request of this client; `None` when no client can have caused it. It may be
    /// ejected for that.
    pub(crate) fn failed(&self, client: Option<ClientId>, now: Duration) {
        self.deployment.strikes.failed(now);
        if self.worker.failed(client, now) {
            self.deployment.worker_failed(&self.worker, now);
        }
    }

    /// The worker has too much to do, and may want to `rest`.
    pub(crate) fn is_busy(&self, rest: Option<Duration>, now: Duration) {
        self.deployment.strikes.failed(now);
        self.worker.refused(now);
        if let Some(length) = rest {
            self.deployment.worker_rests(&self.worker, length, now);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.worker.gate().release();
        if left == 0 && self.worker.gate().is_closed() {
            // Control waits for this to stop the worker.
            self.deployment.poke();
        }
        self.deployment.serve_worker(&self.worker);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease({})", self.worker.id)
    }
}
