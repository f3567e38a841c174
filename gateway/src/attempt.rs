//! Getting a request to a worker and a response head back: further tries when one fails.

use std::{sync::Arc, time::Duration};

use http::Request;
use tokio::time::sleep_until;

use crate::{
    admission::{self, Try},
    connection::Connection,
    deployment::DeploymentState,
    exchange::Exchange,
    proxy::{Failure, too_large},
    reason::Reason,
    refusal::Refusal,
    request_body::{UploadFailure, UpstreamBody},
    table::ServiceState,
    upstream::{Answer, SendError},
};

/// Connections tried for one request, on different workers where there are some.
const ATTEMPTS_MAX: u32 = 3;

/// Pause before a worker that refused a connection is tried again because there is no other: time
/// for control to notice that it is gone.
const SAME_WORKER_PAUSE: Duration = Duration::from_millis(50);

/// Sends the request until a worker has it: a connection that cannot be opened costs the client
/// nothing but time, so another worker is tried, whatever the method.
pub(crate) async fn attempt(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    service: &Arc<ServiceState>,
    deployment: &Arc<DeploymentState>,
    mut request: Request<UpstreamBody>,
) -> Result<Answer, Failure> {
    let mut tried = Vec::new();
    loop {
        let sent = send(exchange, connection, service, deployment, request).await?;
        let (unsent, error) = match sent {
            Ok(answer) => return Ok(answer),
            Err(Missed::Unsent(unsent, error)) => (unsent, error),
            Err(Missed::Broken(error)) => return Err(broken(exchange, &error)),
            Err(Missed::Late(reason)) => {
                if reason == Reason::FirstByteTimeout {
                    exchange.worker_failed();
                }
                return Err(timed_out(reason, service.spec.timeouts.first_byte).into());
            }
        };
        request = *unsent;
        tried.extend(exchange.lease().map(|lease| lease.worker().key));
        exchange.worker_failed();
        if exchange.retries + 1 >= ATTEMPTS_MAX {
            return Err(Refusal::new(Reason::ConnectFailed, error).into());
        }
        exchange.retries += 1;
        if deployment.view().ready() <= tried.len() {
            tokio::time::sleep(SAME_WORKER_PAUSE * exchange.retries).await;
        }
        let body_unread = exchange.upload.is_some();
        admission::lease(
            exchange,
            connection,
            service,
            deployment,
            Try::Again(&tried),
            body_unread,
        )
        .await?;
    }
}

/// A try that brought no answer.
enum Missed {
    /// Nothing was sent. The request comes back, with the reason.
    Unsent(Box<Request<UpstreamBody>>, String),
    /// The connection broke after the request was begun.
    Broken(hyper::Error),
    /// No answer came in time.
    Late(Reason),
}

/// Sends the request to the worker it has a lease on and waits for the response head.
async fn send(
    exchange: &Exchange,
    connection: &Connection,
    service: &ServiceState,
    deployment: &DeploymentState,
    request: Request<UpstreamBody>,
) -> Result<Result<Answer, Missed>, Refusal> {
    let Some(lease) = exchange.lease() else {
        return Err(Refusal::new(Reason::Internal, "a request without a lease"));
    };
    let clock = exchange.clock();
    let timeouts = &service.spec.timeouts;
    let protocol = deployment.view().spec.protocol;
    let sent = connection
        .thread
        .upstreams
        .send(lease.worker(), protocol, request, timeouts);
    let mut sent = std::pin::pin!(sent);
    let begun = exchange.leased_at();
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
            answer = sent.as_mut() => return Ok(answer.map_err(|error| match error {
                SendError::Connect(unsent, error) => Missed::Unsent(unsent, error),
                SendError::Broken(error) => Missed::Broken(error),
            })),
            () = sleep_until(clock.instant(until)) => {
                let progressed = exchange.upload.as_ref().is_some_and(|upload| upload.moved() > has_it);
                if !progressed || reason != Reason::FirstByteTimeout {
                    return Ok(Err(Missed::Late(reason)));
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
fn broken(exchange: &mut Exchange, error: &hyper::Error) -> Failure {
    match exchange.upload.as_ref().and_then(|upload| upload.failure()) {
        Some(UploadFailure::TooLarge) => too_large().into(),
        Some(UploadFailure::Stalled) => {
            Refusal::new(Reason::RequestTimeout, "the request body stopped coming").into()
        }
        Some(UploadFailure::Aborted) => Failure::ClientGone,
        None => {
            exchange.worker_failed();
            let reason = if error.is_parse() {
                Reason::BadUpstreamResponse
            } else {
                Reason::UpstreamReset
            };
            Refusal::new(reason, format!("the worker's connection failed: {error}")).into()
        }
    }
}
