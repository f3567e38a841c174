//! Getting a request to a worker and a response head back: further tries when one fails.

use std::{sync::Arc, time::Duration};

use crate::{
    base::{headers::Fields, reason::Reason, refusal::Refusal},
    count::metrics::Cause,
    fleet::{deployment::DeploymentState, worker::WorkerState},
    http2::Broken,
    request::request_key::RequestHead,
    route::table::ServiceState,
    serve::{
        admission::{self, Presence, Try},
        failure::{Failure, by_client},
        retry::Retry,
        sibling::Sibling,
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    upstream::{ConnectError, Fault, SendError, Wire},
};

/// Pause before a worker that refused a connection is tried again because there is no other: time
/// for control to notice that it is gone.
const SAME_WORKER_PAUSE: Duration = Duration::from_millis(50);

/// Where a request goes, and what it is.
#[derive(Clone, Copy)]
pub(crate) struct Destined<'a> {
    /// The service.
    pub(crate) service: &'a ServiceState,
    /// The deployment of it.
    pub(crate) deployment: &'a Arc<DeploymentState>,
    /// How it is sent, for which it is written.
    pub(crate) wire: &'a Wire,
    /// Whether it asks for an upgrade.
    pub(crate) is_upgrade: bool,
}

/// A request in the hands of what speaks HTTP, which can be sent to one worker after another.
pub(crate) trait Engine {
    /// The head of an answer, with what follows it.
    type Answer;
    /// The fields of such a head.
    type Fields: Fields;

    /// Sends the request at `now` to the worker that the exchange has a lease on, and waits for the head of
    /// the answer. Times out only the opening of a connection: how long a worker may think is the
    /// caller's business.
    async fn send(
        &mut self,
        exchange: &Exchange,
        worker: &WorkerState,
        to: Destined<'_>,
        now: Duration,
    ) -> Result<Self::Answer, SendError>;

    /// Status and fields of an answer.
    fn head_of(answer: &Self::Answer) -> (u16, &Self::Fields);

    /// Whether the client is still there.
    fn presence(&mut self) -> &mut impl Presence;

    /// Lets `look` see the request.
    fn see<T>(&self, look: impl FnOnce(&RequestHead<'_>) -> T) -> T;

    /// Whether all of the request is kept, so that it can be sent again.
    fn is_kept(&self) -> bool;

    /// Gets the request ready to be sent from its beginning again.
    fn rewind(&mut self) -> Result<(), Refusal>;

    /// Rewrites a request that was prepared for other workers.
    fn suit(&mut self, wire: &Wire) -> Result<(), Refusal>;
}

/// What came of one try.
type Tried<A> = Result<A, Missed>;

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

/// Sends the request until a worker answers it, within the rules of [`Retry`]. What is left of the
/// request is of no use.
pub(crate) async fn attempt<E: Engine>(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    to: Destined<'_>,
    retry: &Retry<'_>,
    engine: &mut E,
) -> Result<E::Answer, Failure> {
    let mut tried = Vec::new();
    let mut moved: Option<Moved> = None;
    loop {
        let to = moved.as_ref().map_or(to, |moved| moved.instead_of(to));
        let came = send(exchange, connection, to, engine).await?;
        let head = came.as_ref().ok().map(E::head_of);
        if let Some((status, fields)) = head {
            exchange.answered(status, fields);
        }
        let cause = match (head, &came) {
            (Some((status, fields)), _) => retry.objection(exchange.is_grpc, status, fields),
            (None, Err(missed)) => cause(missed, retry),
            (None, Ok(_)) => None,
        };
        let Some(cause) = cause else {
            return conclude(exchange, to.service, came);
        };
        tried.extend(exchange.lease().map(|lease| lease.worker().key));
        let sibling = match to.deployment.is_retired() {
            true => {
                let Some(sibling) = engine.see(|head| sibling(exchange, to, head)) else {
                    // Nobody is left there; what went wrong is the answer.
                    return conclude(exchange, to.service, came);
                };
                Some(sibling)
            }
            false => None,
        };
        let next = sibling.as_ref();
        let next = next.map_or(to.deployment, |sibling| &sibling.to.deployment);
        // Any answer is better than none.
        let has_others = next.has_others(&tried);
        if (cause.has_answer() && !has_others)
            || !retry.may(cause, engine.is_kept(), exchange, to.deployment)
        {
            return conclude(exchange, to.service, came);
        }
        exchange.retries += 1;
        once_more(exchange, engine, came)?;
        if let Some(sibling) = &sibling {
            exchange.give_up_worker();
            engine.see(|head| sibling.take_over(exchange, head));
        } else if exchange.lease().is_some() {
            // A new connection to the same worker will do.
            tried.pop();
            continue;
        } else if cause == Cause::ConnectFailed && !has_others {
            tokio::time::sleep(SAME_WORKER_PAUSE * exchange.retries).await;
        }
        let next = lease_again(exchange, (to, sibling), &tried, engine).await?;
        moved = next.or(moved);
        if let Some(moved) = &moved {
            engine.suit(&moved.wire)?;
        }
    }
}

/// A sibling that the request has moved to.
struct Moved {
    to: Sibling,
    wire: Wire,
}

impl Moved {
    fn instead_of<'a>(&'a self, first: Destined<'_>) -> Destined<'a> {
        Destined {
            service: &self.to.service,
            deployment: &self.to.deployment,
            wire: &self.wire,
            is_upgrade: first.is_upgrade,
        }
    }

    fn take_over(&self, exchange: &mut Exchange, head: &RequestHead<'_>) {
        let key = exchange.api_key.clone();
        self.to.take_over(exchange, &head.of_key(key.as_deref()));
    }
}

impl From<Sibling> for Moved {
    fn from(to: Sibling) -> Self {
        let wire = Wire::of(&to.deployment.view().spec);
        Self { to, wire }
    }
}

/// Who may take a request over whose deployment was removed.
fn sibling(exchange: &mut Exchange, from: Destined<'_>, head: &RequestHead<'_>) -> Option<Moved> {
    let key = exchange.api_key.clone();
    let head = head.of_key(key.as_deref());
    let moved = Moved::from(Sibling::of(from.deployment, exchange, &head)?);
    // What was agreed on with the client about an upgrade depends on the protocol.
    (!from.is_upgrade || moved.wire.protocol == from.wire.protocol).then_some(moved)
}

/// Gets a worker for the next try. When the deployment is removed or paused before there is one, a sibling
/// may take over; returns the one that did last.
async fn lease_again<E: Engine>(
    exchange: &mut Exchange,
    (to, mut moved): (Destined<'_>, Option<Moved>),
    tried: &[u64],
    engine: &mut E,
) -> Result<Option<Moved>, Failure> {
    let again = Try::Again(tried);
    loop {
        let at = moved.as_ref().map_or(to, |moved| moved.instead_of(to));
        let (service, deployment) = (at.service, at.deployment);
        let leased = admission::lease(exchange, service, deployment, again, engine.presence());
        let refusal = match leased.await {
            Ok(()) => return Ok(moved),
            Err(Failure::Refused(refusal)) => refusal,
            Err(gone) => return Err(gone),
        };
        if to.is_upgrade {
            return Err(refusal.into());
        }
        let key = exchange.api_key.clone();
        let sibling = engine.see(|head| {
            let head = head.of_key(key.as_deref());
            Sibling::after(refusal, deployment, exchange, &head)
        });
        moved = Some(sibling?.into());
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

/// Gets the request ready for the next try. Unless that may go to the same worker, the lease is given up.
fn once_more<E: Engine>(
    exchange: &mut Exchange,
    engine: &mut E,
    came: Tried<E::Answer>,
) -> Result<(), Refusal> {
    match came {
        Ok(_) => exchange.give_up_worker(),
        Err(Missed::Unsent(error)) => {
            unreached(exchange, &error);
            return Ok(());
        }
        Err(Missed::NotProcessed { going_away, .. }) => {
            // The same worker once: it only wants another connection.
            if !going_away || exchange.retries > 1 {
                exchange.worker_refused();
            }
        }
        Err(Missed::Broken(_)) if exchange.may_be_refused_early() => exchange.give_up_worker(),
        Err(Missed::Broken(_)) => exchange.worker_failed(),
        Err(Missed::Late { held_back, .. }) => too_late(exchange, held_back),
    }
    engine.rewind()
}

/// What the client gets when there is no further try.
fn conclude<A>(
    exchange: &mut Exchange,
    service: &ServiceState,
    came: Tried<A>,
) -> Result<A, Failure> {
    let refusal = match came {
        Ok(answer) => return Ok(answer),
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
) -> Result<Tried<E::Answer>, Failure> {
    let Some(lease) = exchange.lease() else {
        return Err(Refusal::new(Reason::Internal, "a request without a lease").into());
    };
    let clock = exchange.clock();
    let timeouts = &to.service.spec.timeouts;
    let now = match exchange.retries {
        0 => exchange.leased_at(),
        _ => clock.now(),
    };
    let sent = engine.send(exchange, lease.worker(), to, now);
    let mut sent = std::pin::pin!(sent);
    let begun = exchange.leased_at();
    let mut timer = connection.timer.lend();
    loop {
        // The worker cannot answer before it has the request, however long the client takes.
        let has_it = exchange
            .upload
            .as_ref()
            .map_or(begun, |upload| upload.moved().max(begun));
        let (until, reason) =
            exchange.sooner(has_it + timeouts.first_byte, Reason::FirstByteTimeout);
        tokio::select! {
            biased;
            answer = sent.as_mut() => return Ok(match answer {
                Ok(answer) => Ok(answer),
                Err(SendError::Connect(error)) => Err(Missed::Unsent(error)),
                Err(SendError::NotProcessed { going_away, error }) => {
                    Err(Missed::NotProcessed { going_away, error })
                }
                Err(SendError::Broken(broken)) => Err(Missed::Broken(broken)),
                Err(SendError::ClientGone) => return Err(Failure::ClientGone),
            }),
            () = timer.until(clock.instant(until)) => {
                let progressed = exchange.upload.as_ref().is_some_and(|upload| upload.moved() > has_it);
                if !progressed || reason != Reason::FirstByteTimeout {
                    let upstreams = &connection.thread.upstreams;
                    let held_back = upstreams.holds_back(lease.worker(), to.wire);
                    return Ok(Err(Missed::Late { reason, held_back }));
                }
            }
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
