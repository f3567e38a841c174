//! Getting a request to a worker and a response head back: further tries when one fails.

mod again;

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use self::again::again;
use crate::{
    base::{headers::Fields, reason::Reason, refusal::Refusal, timer::Timer},
    count::metrics::Cause,
    fleet::{deployment::DeploymentState, worker::WorkerState},
    http2::Broken,
    request::request_key::RequestHead,
    route::table::ServiceState,
    serve::{
        admission::Presence,
        failure::{Failure, by_client},
        retry::Retry,
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    upstream::{ConnectError, Fault, SendError, Wire},
};

/// Where a request goes, and what it is.
#[derive(Clone, Copy)]
pub(crate) struct Destined<'a> {
    /// The service.
    pub(crate) service: &'a Arc<ServiceState>,
    /// The deployment of it.
    pub(crate) deployment: &'a Arc<DeploymentState>,
    /// How it is sent, for which it is written.
    pub(crate) wire: &'a Wire,
    /// Whether it asks for an upgrade.
    pub(crate) is_upgrade: bool,
}

/// A request in the hands of what speaks HTTP, which can be sent to one worker after another.
pub(crate) trait Engine {
    /// The fields of an answer's head.
    type Fields: Fields;

    /// Sends the request at `now` to the worker that the exchange has a lease on, and waits for the head of
    /// the answer, which it keeps: a large thing is not handed up through everything. Times out only the opening of a connection: how long a worker may think is the
    /// caller's business.
    async fn send(
        &mut self,
        exchange: &Exchange,
        worker: &WorkerState,
        to: Destined<'_>,
        now: Duration,
    ) -> Result<(), SendError>;

    /// Status and fields of the answer it has.
    fn answer(&self) -> Option<(u16, &Self::Fields)>;

    /// Whether the client is still there.
    fn presence(&mut self) -> &mut impl Presence;

    /// Lets `look` see the request.
    fn see<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T;

    /// Whether all of the request is kept, so that it can be sent again.
    fn is_kept(&self) -> bool;

    /// Gets the request ready to be sent from its beginning again. An answer that it has is dropped.
    fn rewind(&mut self) -> Result<(), Refusal>;

    /// Rewrites a request that was prepared for other workers.
    fn suit(&mut self, wire: &Wire) -> Result<(), Refusal>;
}

/// What came of one try: where it is good, the engine has an answer.
type Tried = Result<(), Missed>;

/// A try that brought no answer.
enum Missed {
    /// Nothing was sent, for this reason.
    Unsent(ConnectError),
    /// The worker did not process it, because it is too busy or because the connection is `going_away`.
    NotProcessed { going_away: bool, error: String },
    /// The connection broke after the request was begun.
    Broken(Broken),
    /// No answer came in time. The request may not have left when its worker `held_back` streams.
    Late { reason: Reason, held_back: bool },
}

/// Sends the request until a worker answers it, within the rules of [`Retry`]. The engine has the answer then,
/// and what is left of the request is of no use.
pub(crate) async fn attempt<E: Engine>(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    to: Destined<'_>,
    retry: &Retry<'_>,
    engine: &mut E,
    timer: &mut Timer,
) -> Result<(), Failure> {
    let came = send(exchange, connection, to, engine, timer).await?;
    match judge(exchange, retry, engine, &came) {
        None => conclude(exchange, to.service, came),
        // Boxed, because it is rare.
        Some(cause) => {
            let again = again(
                exchange,
                connection,
                to,
                retry,
                engine,
                timer,
                (cause, came),
            );
            Box::pin(again).await
        }
    }
}

/// Notes what came of a try, and why the request might be sent again, if there is a reason.
fn judge<E: Engine>(
    exchange: &mut Exchange,
    retry: &Retry<'_>,
    engine: &E,
    came: &Tried,
) -> Option<Cause> {
    match came {
        Ok(()) => {
            let (status, fields) = engine.answer()?;
            exchange.answered(status, fields);
            retry.objection(exchange.is_grpc, status, fields)
        }
        Err(missed) => cause(missed, retry),
    }
}

/// Why the request might be sent again, if there is a reason.
fn cause(missed: &Missed, retry: &Retry<'_>) -> Option<Cause> {
    match missed {
        Missed::Unsent(_) => Some(Cause::ConnectFailed),
        Missed::NotProcessed { .. } => Some(Cause::NotProcessed),
        // What is not HTTP is an answer too.
        Missed::Broken(broken) => (!broken.is_parse()).then_some(Cause::UpstreamReset),
        Missed::Late { reason, .. } => {
            let is_listed = *reason == Reason::FirstByteTimeout && retry.wants_late();
            is_listed.then_some(Cause::FirstByteTimeout)
        }
    }
}

/// What the client gets when there is no further try.
fn conclude(exchange: &mut Exchange, service: &ServiceState, came: Tried) -> Result<(), Failure> {
    let refusal = match came {
        Ok(()) => {
            exchange.is_taken();
            return Ok(());
        }
        Err(Missed::Broken(error)) => return Err(broken(exchange, &error)),
        Err(Missed::Late { reason, held_back }) => {
            if reason == Reason::FirstByteTimeout {
                too_late(exchange, held_back);
            }
            timed_out(reason, service.spec.timeouts.first_byte)
        }
        Err(Missed::Unsent(error)) => {
            unreached(exchange, &error);
            Refusal::new(Reason::ConnectFailed, "no worker could be reached").because(error.text)
        }
        Err(Missed::NotProcessed { error, .. }) => {
            // It has as many streams as it wants, or is about to go: it does not fail.
            exchange.worker_refused();
            let detail = "the worker did not process the request";
            Refusal::new(Reason::UpstreamReset, detail).because(error)
        }
    };
    Err(refusal.into())
}

/// No connection came about: by the worker's doing, or for want of something here.
fn unreached(exchange: &mut Exchange, error: &ConnectError) {
    match error.fault {
        Fault::Worker => exchange.worker_unreachable(),
        Fault::Busy => exchange.worker_refused(),
        Fault::Here => exchange.give_up_worker(),
    }
}

/// The worker did not begin to answer in time: it failed, unless it has come to take fewer requests at once
/// and may not have got this one.
fn too_late(exchange: &mut Exchange, held_back: bool) {
    if held_back {
        exchange.worker_refused();
    } else {
        exchange.worker_failed();
    }
}

/// Sends the request to the worker it has a lease on and waits for the response head.
async fn send<E: Engine>(
    exchange: &Exchange,
    connection: &Connection,
    to: Destined<'_>,
    engine: &mut E,
    timer: &mut Timer,
) -> Result<Tried, Failure> {
    let Some(lease) = exchange.lease() else {
        return Err(Refusal::new(Reason::Internal, "a request without a lease").into());
    };
    let now = match exchange.retries {
        0 => exchange.leased_at(),
        _ => exchange.now(),
    };
    let mut sent = pin!(engine.send(exchange, lease.worker(), to, now));
    let first_byte = to.service.spec.timeouts.first_byte;
    let answered = poll_fn(|cx| match sent.as_mut().poll(cx) {
        Poll::Ready(sent) => Poll::Ready(Ok(sent)),
        Poll::Pending => poll_late(cx, exchange, first_byte, timer).map(Err),
    });
    Ok(match answered.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(SendError::Connect(error))) => Err(Missed::Unsent(error)),
        Ok(Err(SendError::NotProcessed { going_away, error })) => {
            Err(Missed::NotProcessed { going_away, error })
        }
        Ok(Err(SendError::Broken(broken))) => Err(Missed::Broken(broken)),
        Ok(Err(SendError::ClientGone)) => return Err(Failure::ClientGone),
        Err(reason) => {
            let upstreams = &connection.thread.upstreams;
            let held_back = upstreams.holds_back(lease.worker(), to.wire);
            Err(Missed::Late { reason, held_back })
        }
    })
}

/// Ready when the answer is late, and why. The worker cannot answer before it has the request, however long
/// the client takes.
fn poll_late(
    cx: &mut Context<'_>,
    exchange: &Exchange,
    first_byte: Duration,
    timer: &mut Timer,
) -> Poll<Reason> {
    let begun = exchange.leased_at();
    loop {
        let has_it = exchange.upload_moved().max(begun);
        let (until, reason) = exchange.sooner(has_it + first_byte, Reason::FirstByteTimeout);
        ready!(timer.poll_until(cx, exchange.clock().instant(until)));
        let progressed = exchange.upload_moved() > has_it;
        if !progressed || reason != Reason::FirstByteTimeout {
            return Poll::Ready(reason);
        }
    }
}

fn timed_out(reason: Reason, first_byte: Duration) -> Refusal {
    match reason {
        Reason::FirstByteTimeout => Refusal::new(
            reason,
            format!("the worker began no answer within {first_byte:?}"),
        ),
        _ => Refusal::new(
            reason,
            "the request's time was over before the worker answered",
        ),
    }
}

/// The connection broke after the request was begun: the client's doing or the worker's?
fn broken(exchange: &mut Exchange, broken: &Broken) -> Failure {
    if let Some(failure) = exchange.upload.as_ref().and_then(|upload| upload.failure()) {
        return by_client(failure);
    }
    // What is no HTTP is the worker's doing in any case.
    if exchange.may_be_refused_early() && !broken.is_parse() {
        exchange.give_up_worker();
    } else {
        exchange.worker_failed();
    }
    let (reason, detail) = match broken.is_parse() {
        true => (
            Reason::BadUpstreamResponse,
            "the worker's answer is not valid HTTP",
        ),
        false => (
            Reason::UpstreamReset,
            "the worker broke off before it answered",
        ),
    };
    Refusal::new(reason, detail)
        .because(broken.to_string())
        .into()
}
