//! The life of one request, step by step: check, route, admit, send, pass the answer on.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, header::CONNECTION, request::Parts};
use hyper::body::{Body as _, Incoming};
use tokio::time::sleep_until;

use crate::{
    admission,
    connection::Connection,
    deployment::DeploymentState,
    destination::Destination,
    exchange::Exchange,
    grpc, headers,
    outgoing::{Outgoing, Wanted},
    reason::Reason,
    refusal::Refusal,
    request_body::{UploadFailure, UpstreamBody},
    request_head::{self, Framing, LoggedHead},
    response_body::DownstreamBody,
    table::ServiceState,
    tunnel::{self, Switch},
    upstream::{Answer, SendError},
};

/// Connections tried for one request, on different workers where there are some.
const ATTEMPTS_MAX: u32 = 3;

/// Pause before a worker that refused a connection is tried again because there is no other: time
/// for control to notice that it is gone.
const SAME_WORKER_PAUSE: Duration = Duration::from_millis(50);

/// Why a request gets no worker's answer.
pub(crate) enum Failure {
    /// The gateway answers itself.
    Refused(Refusal),
    /// Nobody is there to be answered.
    ClientGone,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Tells hyper to close the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the client has gone")]
pub(crate) struct ClientGone;

/// Serves one request.
pub(crate) async fn handle(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<DownstreamBody>, ClientGone> {
    let logged = connection
        .thread
        .logs_access()
        .then(|| Box::new(LoggedHead::of(&request)));
    let mut exchange = Box::new(Exchange::begin(&connection, &request, logged));
    match forward(&mut exchange, &connection, request).await {
        Ok(forwarded) => Ok(pass_on(exchange, &connection, forwarded)),
        Err(Failure::Refused(refusal)) => Ok(exchange.refuse(&refusal)),
        Err(Failure::ClientGone) => Err(ClientGone),
    }
}

/// A worker's response head, and how to go on.
struct Forwarded {
    answer: Answer,
    wanted: Option<Wanted>,
    idle: Duration,
    close: bool,
}

async fn forward(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Forwarded, Failure> {
    let downstream_upgrade = Wanted::of(&mut request);
    let (mut parts, body) = request.into_parts();
    exchange.request_id = Some(headers::identify(
        &mut parts.headers,
        &connection.forwarding,
    ));
    let has_body = downstream_upgrade.is_none() && !body.is_end_stream();
    let framing = request_head::framing(connection, &parts, has_body);
    let host = check_head(framing, &parts)?;
    let destination = Destination::find(connection, &host, &parts)?;
    let service = Arc::clone(&destination.service);
    let spec = Arc::clone(&service.spec);
    check_length(&body, spec.max_body_bytes)?;
    let deployment = destination.choose()?;
    exchange.enter(&deployment);
    exchange.limit(
        spec.timeouts.total,
        parts
            .headers
            .get(grpc::GRPC_TIMEOUT)
            .and_then(grpc::parse_timeout),
    );

    admission::lease(exchange, connection, &service, &deployment, &[], has_body).await?;
    let upstream_body = if has_body {
        let (body, upload) =
            UpstreamBody::stream(body, connection, spec.max_body_bytes, spec.timeouts.idle);
        exchange.upload = Some(upload);
        body
    } else {
        UpstreamBody::Empty
    };
    let protocol = deployment.view().spec.protocol;
    let outgoing = Outgoing::prepare(
        parts,
        upstream_body,
        &host,
        connection,
        protocol,
        downstream_upgrade,
        exchange,
    );
    let Outgoing { request, wanted } = outgoing?;
    let answer = attempt(exchange, connection, &service, &deployment, request).await?;
    check_answer(&answer, wanted.as_ref())?;
    exchange.connect_time = answer.connect_time;
    exchange.answered(answer.response.status());
    Ok(Forwarded {
        answer,
        wanted,
        idle: spec.timeouts.idle,
        close: framing == Framing::Unseen,
    })
}

/// The host of a request that may be passed on.
fn check_head(framing: Framing, parts: &Parts) -> Result<HeaderValue, Refusal> {
    let host = match framing {
        Framing::Contradictory => Err("both Content-Length and Transfer-Encoding"),
        Framing::Clear | Framing::Unseen => headers::check_request(parts),
    };
    host.map_err(|error| Refusal::new(Reason::BadRequest, error))
}

/// Refuses a body that is known to be too long before anything is done for it.
fn check_length(body: &Incoming, max: Option<u64>) -> Result<(), Refusal> {
    match max {
        Some(max) if body.size_hint().lower() > max => Err(too_large()),
        _ => Ok(()),
    }
}

fn too_large() -> Refusal {
    Refusal::new(
        Reason::BodyTooLarge,
        "the request body is longer than this service allows",
    )
}

/// Sends the request until a worker has it: a connection that cannot be opened costs the client
/// nothing but time, so another worker is tried, whatever the method.
async fn attempt(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    service: &Arc<ServiceState>,
    deployment: &Arc<DeploymentState>,
    mut request: Request<UpstreamBody>,
) -> Result<Answer, Failure> {
    let mut tried = Vec::new();
    loop {
        let (unsent, error) = match send(exchange, connection, service, deployment, request).await?
        {
            Ok(answer) => return Ok(answer),
            Err(unsent) => unsent,
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
            &tried,
            body_unread,
        )
        .await?;
    }
}

/// A request that was not sent, and why.
type Unsent = (Box<Request<UpstreamBody>>, String);

/// Sends the request to the worker it has a lease on and waits for the response head.
async fn send(
    exchange: &Exchange,
    connection: &Connection,
    service: &ServiceState,
    deployment: &DeploymentState,
    request: Request<UpstreamBody>,
) -> Result<Result<Answer, Unsent>, Failure> {
    let Some(lease) = exchange.lease() else {
        return Err(Refusal::new(Reason::Internal, "a request without a lease").into());
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
            answer = sent.as_mut() => return match answer {
                Ok(answer) => Ok(Ok(answer)),
                Err(SendError::Connect(unsent, error)) => Ok(Err((unsent, error))),
                Err(SendError::Broken(error)) => Err(broken(exchange, &error)),
            },
            () = sleep_until(clock.instant(until)) => {
                let progressed = exchange.upload.as_ref().is_some_and(|upload| upload.moved() > has_it);
                if !progressed || reason != Reason::FirstByteTimeout {
                    return Err(timed_out(reason, timeouts.first_byte).into());
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
fn broken(exchange: &Exchange, error: &hyper::Error) -> Failure {
    match exchange.upload.as_ref().and_then(|upload| upload.failure()) {
        Some(UploadFailure::TooLarge) => too_large().into(),
        Some(UploadFailure::Stalled) => {
            Refusal::new(Reason::RequestTimeout, "the request body stopped coming").into()
        }
        Some(UploadFailure::Aborted) => Failure::ClientGone,
        None => {
            if let Some(lease) = exchange.lease() {
                lease.worker().failed();
            }
            let reason = if error.is_parse() {
                Reason::BadUpstreamResponse
            } else {
                Reason::UpstreamReset
            };
            Refusal::new(reason, format!("the worker's connection failed: {error}")).into()
        }
    }
}

/// A worker that switches protocols unasked cannot be followed. One that answers an extended
/// CONNECT by an ordinary success cannot either: the client would take it for an open tunnel.
fn check_answer(answer: &Answer, wanted: Option<&Wanted>) -> Result<(), Refusal> {
    let status = answer.response.status();
    let detail = match wanted {
        None if status == StatusCode::SWITCHING_PROTOCOLS => {
            "the worker switched protocols unasked"
        }
        Some(Wanted::H2(..))
            if status.is_success() && !Wanted::is_accepted_by(&answer.response) =>
        {
            "the worker did not switch protocols"
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(Reason::BadUpstreamResponse, detail))
}

/// Turns the worker's answer into the client's.
fn pass_on(
    exchange: Box<Exchange>,
    connection: &Arc<Connection>,
    forwarded: Forwarded,
) -> Response<DownstreamBody> {
    let Forwarded {
        answer,
        wanted,
        idle,
        close,
    } = forwarded;
    let Answer {
        mut response,
        handback,
        ..
    } = answer;
    let switched = wanted.and_then(|wanted| wanted.accepted(&mut response));
    let (mut parts, body) = response.into_parts();
    if let Some(id) = &exchange.request_id {
        headers::prepare_response(&mut parts.headers, id, switched.is_some() && !connection.h2);
    }
    if let Some((downstream, upstream, status)) = switched {
        parts.status = status;
        tunnel::start(
            exchange,
            &connection.thread,
            Switch {
                downstream,
                upstream,
            },
        );
        return Response::from_parts(parts, DownstreamBody::empty());
    }
    if close {
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(
        parts,
        DownstreamBody::stream(body, exchange, handback, idle),
    )
}
