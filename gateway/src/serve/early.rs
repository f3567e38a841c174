//! Which bodies are read before their requests take places at workers, and how much of them: a client that
//! sends slowly keeps nobody else from being served.
//!
//! What is read is what could be sent again later, up to the `buffer` of the service's retries. A longer body
//! begins to flow when that much has come.

use std::{
    future::poll_fn,
    task::{Poll, ready},
    time::Duration,
};

use crate::{
    base::{reason::Reason, refusal::Refusal, reserve::Reserved, timer::Timer},
    fleet::deployment::DeploymentState,
    route::table::ServiceState,
    serve::{
        admission::Presence,
        failure::{Failure, by_client},
    },
    settle::{exchange::Exchange, upload::UploadFailure},
    stream::request_body::ClientBody,
};

/// A body of unknown length may be half of a conversation, in which the client sends nothing before the worker
/// has answered. After a pause of this length the request goes to a worker with what it has.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The same for a service, where less may be all the silence that is allowed.
pub(super) fn pause_max(service: &ServiceState) -> Duration {
    let timeouts = &service.spec.timeouts;
    let least = timeouts.idle.min(timeouts.total.unwrap_or(timeouts.idle));
    PAUSE_MAX.min(least / 2)
}

/// What is to come of a body before its request takes a place.
pub(super) struct Wanted {
    /// So many bytes, or all of it.
    pub(super) bytes: u64,
    _reserved: Reserved,
}

impl Wanted {
    /// What is to come of a body of this length, where it is known. `None`: the request begins with what it
    /// has.
    pub(super) fn of(
        exchange: &Exchange,
        service: &ServiceState,
        deployment: &DeploymentState,
        length: Option<u64>,
    ) -> Option<Self> {
        let most = service.spec.retries.buffer_bytes;
        let bytes = length.map_or(most, |length| length.min(most));
        let max_queued = service.spec.queue.max_requests;
        if bytes == 0 || exchange.is_conversation || !deployment.has_places(max_queued) {
            return None;
        }
        Some(Self {
            bytes,
            _reserved: exchange.thread().early.lend(bytes)?,
        })
    }
}

/// A body that is still coming.
pub(super) trait Coming {
    /// How long it is, where the client has said so.
    fn length(&self) -> Option<u64>;

    /// Whether all of it is here.
    fn is_whole(&mut self) -> bool;

    /// Waits until what is wanted of it is here.
    async fn comes(
        &mut self,
        exchange: &mut Exchange,
        service: &ServiceState,
        wanted: &Wanted,
    ) -> Result<(), Failure>;

    /// Whether the client is still there.
    fn presence(&mut self) -> &mut impl Presence;
}

impl<P: Presence> Coming for (&mut P, &mut ClientBody) {
    fn length(&self) -> Option<u64> {
        self.1.length()
    }

    fn is_whole(&mut self) -> bool {
        self.1.is_whole()
    }

    async fn comes(
        &mut self,
        exchange: &mut Exchange,
        service: &ServiceState,
        wanted: &Wanted,
    ) -> Result<(), Failure> {
        let (body, spec) = (&mut *self.1, &service.spec);
        let is_conversation = exchange.is_conversation;
        body.limit(spec.max_body_bytes, &spec.timeouts, is_conversation);
        let here = poll_fn(|cx| Poll::Ready(body.poll_early(cx, wanted.bytes)));
        let came = match here.await {
            // Boxed, so that requests whose bodies came with them do not carry this along.
            Poll::Pending => {
                let pause = pause_max(service);
                body.watch();
                Box::pin(waits(exchange, body, wanted, pause)).await?
            }
            Poll::Ready(came) => came,
        };
        came.map_err(by_client)
    }

    fn presence(&mut self) -> &mut impl Presence {
        if !self.1.is_whole() {
            self.1.watch();
        }
        &mut *self.0
    }
}

/// Waits for a body of which something is missing.
async fn waits(
    exchange: &mut Exchange,
    body: &mut ClientBody,
    wanted: &Wanted,
    pause: Duration,
) -> Result<Result<(), UploadFailure>, Refusal> {
    let clock = exchange.clock();
    let mut timer = Timer::default();
    let is_open = body.length().is_none();
    let came = poll_fn(|cx| {
        if let Poll::Ready(came) = body.poll_early(cx, wanted.bytes) {
            return Poll::Ready(Ok(came));
        }
        let begins = is_open.then(|| body.upload().moved() + pause);
        let late = exchange
            .deadline
            .filter(|late| begins.is_none_or(|begins| late.0 < begins));
        let Some(at) = late.map(|(at, _)| at).or(begins) else {
            return Poll::Pending;
        };
        ready!(timer.poll_until(cx, clock.instant(at)));
        Poll::Ready(match late {
            Some((_, reason)) => Err(too_late(reason)),
            None => Ok(Ok(())),
        })
    });
    let came = came.await;
    exchange.is_ready(clock.now());
    came
}

/// The request's time was over before enough of its body had come.
pub(super) fn too_late(reason: Reason) -> Refusal {
    Refusal::new(
        reason,
        "the request's time was over before its body had come",
    )
}
