//! The life of one request, step by step: check, route, admit, send, pass the answer on.

use std::sync::{Arc, atomic::Ordering};

use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY},
    request::Parts,
};
use http_body::Body;
use penstock_config::Timeouts;

use crate::{
    base::{
        grpc,
        headers::{self, Named},
        reason::Reason,
        refusal::Refusal,
    },
    fleet::deployment::DeploymentState,
    http2::{self, Incoming},
    request::{
        request_head::{self, Framing, LoggedHead},
        request_key::RequestHead,
    },
    serve::{
        admission::ByDescriptor,
        attempt::{Destined, attempt},
        by_hyper::ByHyper,
        destination::Destination,
        entry::{check_scheme, enter},
        failure::Failure,
        find::{find_worker, with_body},
        retry::Retry,
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{
        mirror::MirrorSource,
        outgoing::{Outgoing, Wanted},
        request_body::{ClientBody, UpstreamBody},
        response_body::DownstreamBody,
        tunnel::{self, Switch},
    },
    upstream::{Answer, Wire},
};

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
        .then(|| LoggedHead::of(&request));
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes);
    let begun = Exchange::begin(&connection, request.method(), content_type, logged);
    let mut exchange = Box::new(begun);
    let mut response = match forward(&mut exchange, &connection, request).await {
        Ok(forwarded) => pass_on(exchange, &connection, forwarded),
        Err(Failure::Refused(refusal)) => refuse(exchange, &connection, &refusal),
        Err(Failure::ClientGone) => return Err(ClientGone),
    };
    if let Some(hsts) = connection.hsts() {
        let headers = response.headers_mut();
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    Ok(response)
}

/// Answers without a worker.
fn refuse(
    mut exchange: Box<Exchange>,
    connection: &Connection,
    refusal: &Refusal,
) -> Response<DownstreamBody> {
    let (mut parts, mut body) = exchange.refused(refusal).into_parts();
    if exchange.is_head() {
        // hyper leaves the body out of an HTTP/1 answer only.
        let length = std::mem::take(&mut body).len();
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let unread = connection.sends_body.load(Ordering::Relaxed);
    if !connection.h2 && (unread || refusal.reason == Reason::BadRequest) {
        // Where the next request would begin is no longer certain; or there is a body before it
        // that nobody reads. hyper then closes the connection, and a client that was not told
        // would lose the next request.
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, DownstreamBody::own(body, exchange))
}

/// A worker's response head, and how to go on.
struct Forwarded {
    answer: Answer,
    wanted: Option<Wanted>,
    timeouts: Timeouts,
    close: bool,
}

async fn forward(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Forwarded, Failure> {
    let too_large = too_large_head(connection, &mut request);
    let named = Named::of(request.headers());
    let downstream_upgrade = Wanted::of(&mut request, named);
    let (mut parts, body) = request.into_parts();
    exchange.request_id = Some(headers::identify(
        &mut parts.headers,
        named,
        &connection.forwarding,
    ));
    if let Some(detail) = too_large {
        return Err(Refusal::new(Reason::HeaderTooLarge, detail).into());
    }
    let has_body = downstream_upgrade.is_none() && !body.is_end_stream();
    let framing = request_head::framing(connection, &parts, named, has_body);
    let host = check_head(framing, &parts, named)?;
    check_scheme(
        connection,
        host.as_bytes(),
        &RequestHead::new(connection, &parts),
    )?;
    let (to, carriers) = {
        let head = RequestHead::new(connection, &parts);
        let size = body.size_hint().lower();
        {
            let destination = Destination::find(connection, host.as_bytes(), head.path_bytes())?;
            enter(exchange, destination, &head, size)?
        }
    };
    carriers
        .iter()
        .flatten()
        .for_each(|name| drop(parts.headers.remove(*name)));
    let mut body = has_body.then(|| ClientBody::new(body, connection));
    exchange.upload = body.as_ref().map(|body| Arc::clone(body.upload()));
    let (destination, deployment) = {
        let head = RequestHead::new(connection, &parts);
        let mut presence = ByDescriptor::of(connection, has_body);
        match &mut body {
            Some(body) if !body.is_whole() => {
                let body = &mut (&mut presence, &mut **body);
                Box::pin(with_body(exchange, to, head, body)).await?
            }
            _ => find_worker(exchange, to, head, &mut presence).await?,
        }
    };
    let service = &destination.service;
    let upstream_body = upload(
        exchange,
        connection,
        (&destination, &deployment),
        (&host, &parts),
        body,
        downstream_upgrade.is_some(),
    );
    let wire = Wire::of(&deployment.view().spec);
    let Outgoing { request, wanted } = Outgoing::prepare(
        parts,
        named,
        upstream_body,
        &host,
        &wire,
        downstream_upgrade,
        exchange,
    )?;
    let to = Destined {
        service,
        deployment: &deployment,
        wire: &wire,
        is_upgrade: wanted.is_some(),
    };
    let retry = Retry::prepare(service, wire.protocol, to.is_upgrade, request.method());
    let mut engine = ByHyper::new(connection, request, &retry, has_body);
    let mut timer = connection.timer().lend();
    let answered = attempt(exchange, connection, to, &retry, &mut engine, &mut timer);
    answered.await?;
    drop(timer);
    let no_answer = || Refusal::new(Reason::Internal, "an answer without a head");
    let mut answer = engine.answer.take().ok_or_else(no_answer)?;
    if let Err(refusal) = check_answer(&mut answer, wanted.as_ref()) {
        exchange.worker_failed();
        return Err(refusal.into());
    }
    exchange.connect_time = answer.connect_time;
    Ok(Forwarded {
        answer,
        wanted,
        timeouts: service.spec.timeouts,
        close: framing == Framing::Unseen,
    })
}

/// What is too much in the head of an HTTP/2 request, in words. Its fields are gone then: a map that is full
/// takes none of ours. Over HTTP/1 hyper itself sees to it.
fn too_large_head(connection: &Connection, request: &mut Request<Incoming>) -> Option<String> {
    if !connection.h2 {
        return None;
    }
    let (fields, bytes) = (connection.max_headers, connection.max_head_bytes);
    let detail = if headers::are_too_many(request.headers(), fields) {
        format!("the request head has more than {fields} fields")
    } else if http2::request_size(request) > bytes {
        format!("the request head has more than {bytes} bytes")
    } else {
        return None;
    };
    request.headers_mut().clear();
    Some(detail)
}

/// The body as it goes to the worker, and to the mirror's target if this request is copied.
fn upload(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    to: (&Destination, &Arc<DeploymentState>),
    head: (&HeaderValue, &Parts),
    body: Option<Box<ClientBody>>,
    is_upgrade: bool,
) -> UpstreamBody {
    let (destination, deployment) = to;
    let (host, parts) = head;
    let spec = &destination.service.spec;
    let tee = match &destination.service.mirror {
        Some(mirror)
            if !is_upgrade
                && !destination.is_direct()
                && mirror.takes(
                    deployment,
                    headers::is_copy(&parts.headers, &connection.forwarding),
                ) =>
        {
            let source = MirrorSource {
                connection,
                service: spec,
                parts,
                host,
                body: body.as_ref().map(|body| body.size_hint()),
            };
            mirror.copy(exchange, &source)
        }
        _ => None,
    };
    let Some(mut body) = body else {
        return UpstreamBody::Empty;
    };
    body.limit(
        spec.max_body_bytes,
        &spec.timeouts,
        exchange.is_conversation,
    );
    body.show_to(tee);
    UpstreamBody::Streamed(body)
}

/// The host of a request that may be passed on.
fn check_head(framing: Framing, parts: &Parts, named: Named) -> Result<HeaderValue, Refusal> {
    let host = match framing {
        Framing::Contradictory => Err("both Content-Length and Transfer-Encoding"),
        Framing::Malformed(why) => Err(why),
        Framing::Clear | Framing::Unseen => headers::check_request(parts, named),
    };
    // It would show the fields that the gateway and proxies before it added.
    if parts.method == Method::TRACE {
        return Err(Refusal::new(
            Reason::MethodNotAllowed,
            "TRACE is not passed on",
        ));
    }
    host.map_err(|error| Refusal::new(Reason::BadRequest, error))
}

/// A worker that switches protocols unasked cannot be followed. One that answers an extended
/// CONNECT by an ordinary success cannot either: the client would take it for an open tunnel. Nor is one
/// passed on that does not tell where it ends.
fn check_answer(answer: &mut Answer, wanted: Option<&Wanted>) -> Result<(), Refusal> {
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
        _ => match headers::settle_length(answer.response.headers_mut()) {
            Ok(()) => return Ok(()),
            Err(detail) => detail,
        },
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
        timeouts,
        close,
    } = forwarded;
    exchange.passes_on();
    let Answer {
        mut response,
        handback,
        ..
    } = answer;
    let switched = wanted.and_then(|wanted| wanted.accepted(&mut response));
    let (mut parts, body) = response.into_parts();
    // Ours, whatever version the worker speaks; the server says what the client's can have.
    if !connection.h2 {
        parts.version = Version::HTTP_11;
    }
    if let Some(id) = &exchange.request_id {
        headers::prepare_response(&mut parts.headers, id, switched.is_some() && !connection.h2);
    }
    if exchange.is_grpc && !connection.h2 {
        grpc::announce_trailers(&mut parts.headers);
    }
    exchange.write_own(&mut parts.headers);
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
        DownstreamBody::stream(body, exchange, handback, &timeouts),
    )
}
