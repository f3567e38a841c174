//! The part of the account that concerns the worker: the lease, and how the worker did.

use std::{sync::Arc, time::Duration};

use super::{Exchange, Judged};
use crate::{
    base::{headers::Fields, reason::Reason},
    count::{clients::ClientId, recent::Ended},
    fleet::{deployment::DeploymentState, lease::Lease},
    upstream::{Handback, answer_health::AnswerHealth},
};

impl Exchange {
    /// The request got a worker at `now`.
    pub(crate) fn leased(&mut self, lease: Lease, now: Duration) {
        self.leased_at = now;
        let slot = lease.worker().slot;
        self.listed.entry().has_worker(slot, now);
        self.worker_slot = Some(slot);
        lease.worker().is_used_by(self.client, now);
        self.lease = Some(lease);
    }

    /// When the request got the worker it has, or had last.
    pub(crate) fn leased_at(&self) -> Duration {
        self.leased_at
    }

    /// The lease, while it has one.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The request gives up its worker, which failed it.
    pub(crate) fn worker_failed(&mut self) {
        self.blame(Some(self.client));
    }

    /// The request gives up its worker, which took no connection. No request can cause that.
    pub(crate) fn worker_unreachable(&mut self) {
        self.blame(None);
    }

    fn blame(&mut self, client: Option<ClientId>) {
        if let Some(lease) = self.lease.take() {
            let (thread, now) = (self.connection.thread.index, self.connection.now());
            lease.failed(client, now);
            let failed = Ended {
                failed: true,
                ..Ended::default()
            };
            lease.worker().recent.ended(thread, now, failed);
            self.count_failure();
        }
    }

    /// What to call it when the request's body was not sent to its end, through no fault of the
    /// worker's.
    pub(crate) fn upload_failure(&self) -> Option<Reason> {
        let failure = self.upload.as_ref()?.failure()?;
        Some(failure.reason())
    }

    /// Whether the worker may have broken the connection only because it did not want the rest of a
    /// body that was still being sent (RFC 9112 §9.6), which proves nothing about it.
    pub(crate) fn may_be_refused_early(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.ended())
    }

    /// The request gives up its worker, which is too busy to take it.
    pub(crate) fn worker_refused(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.is_busy(None, self.connection.now());
        }
    }

    /// The request gives up its worker, whose answer does not pass on.
    pub(crate) fn give_up_worker(&mut self) {
        self.lease = None;
        self.judged = Judged::default();
    }

    /// The head of the worker's answer came in.
    pub(crate) fn answered(&mut self, status: u16, fields: &impl Fields) {
        self.status = status;
        if let Some(copy) = self.mirrored() {
            copy.saw(fields);
        }
        self.read_head(status, fields);
        let Some(lease) = &self.lease else { return };
        let now = self.connection.now();
        // The time that the client took to send is no fault of the worker's.
        let begun = self.leased_at.max(self.upload_moved());
        let took = now.saturating_sub(begun);
        let answer_health = AnswerHealth::of_head(self.is_grpc, status, fields);
        match answer_health {
            AnswerHealth::Well => lease.answered(took, now),
            AnswerHealth::Later => lease.began(took, now),
            AnswerHealth::Busy(rest) => lease.is_busy(rest, now),
            AnswerHealth::Failed => lease.failed(Some(self.client), now),
        }
        // A worker that is too busy by its own words is a failure for a canary.
        let is_busy = matches!(answer_health, AnswerHealth::Busy(_)) && status >= 500;
        if answer_health == AnswerHealth::Failed || is_busy {
            let thread = self.connection.thread.index;
            lease.worker().recent.failed(thread, now);
            self.count_failure();
        } else {
            self.judged.head_took = Some(took);
            self.judged.by_trailers =
                (answer_health == AnswerHealth::Later).then_some(answer_health);
        }
    }

    /// The trailers of the worker's answer came in.
    pub(crate) fn trailers(&mut self, trailers: &impl Fields) {
        if let Some(copy) = self.mirrored() {
            copy.saw(trailers);
        }
        if let Some(answer_health) = &mut self.judged.by_trailers {
            *answer_health = AnswerHealth::of_trailers(trailers);
        }
    }

    /// The answer was read to its end. The worker is free at once, whatever time the client takes
    /// to read the rest.
    pub(crate) fn answer_ended(&mut self, handback: Option<Handback>, now: Duration) {
        self.complete = true;
        match (&self.upload, handback) {
            (_, None) => {}
            // A connection on which the request is still being sent cannot take another one.
            (Some(upload), Some(Handback::H1 { .. })) if !upload.ended() => {}
            (Some(upload), Some(Handback::H2(place))) if !upload.ended() => {
                upload.outlives_answer(place)
            }
            (_, Some(handback)) => self.connection.thread.upstreams.give_back(handback, now),
        }
        match (self.judged.by_trailers, &self.lease) {
            (None, _) => self.worker_did_well(),
            (Some(AnswerHealth::Well), Some(lease)) => {
                lease.recovered(now);
                self.worker_did_well();
            }
            // A call without a status has failed too.
            (Some(_), Some(lease)) => {
                lease.failed(Some(self.client), now);
                let thread = self.connection.thread.index;
                lease.worker().recent.failed(thread, now);
                self.count_failure();
            }
            (Some(_), None) => {}
        }
        self.lease_ended(now);
    }

    /// The worker's answer broke off in the middle.
    pub(crate) fn broke_off(&mut self, reason: Reason) {
        self.reason = Some(reason);
        self.complete = true;
        match reason {
            Reason::UpstreamReset if self.may_be_refused_early() => self.lease = None,
            Reason::UpstreamReset | Reason::IdleTimeout => self.worker_failed(),
            _ => self.lease = None,
        }
    }

    /// Counts an answer that was good to its end.
    pub(super) fn worker_did_well(&mut self) {
        let took = self.judged.head_took.take();
        if let (Some(took), Some(deployment)) = (took, self.deployment_on_trial()) {
            let thread = self.connection.thread.index;
            deployment.outcomes.succeeded(thread, self.client, took);
        }
    }

    fn count_failure(&mut self) {
        self.judged = Judged::default();
        if let Some(deployment) = self.deployment_on_trial() {
            let thread = self.connection.thread.index;
            deployment.outcomes.failed(thread, self.client);
        }
    }

    /// The deployment that this request is evidence about. Whoever asks for one by its own host chooses
    /// it, and what they find says nothing about a share of the traffic.
    fn deployment_on_trial(&self) -> Option<&Arc<DeploymentState>> {
        self.deployment.as_ref().filter(|_| !self.is_direct)
    }

    pub(super) fn lease_ended(&mut self, now: Duration) {
        let (Some(lease), Some(deployment)) = (self.lease.take(), &self.deployment) else {
            return;
        };
        let took = now.saturating_sub(self.leased_at);
        deployment.service_time.record(took);
        let ended = Ended {
            first_byte: self.first_byte.map(|at| at.saturating_sub(self.leased_at)),
            whole: Some(took),
            failed: false,
            left: !self.complete,
        };
        let thread = self.connection.thread.index;
        lease.worker().recent.ended(thread, now, ended);
    }
}
