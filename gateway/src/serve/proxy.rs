//! The life of one request, step by step: check, route, admit, send, pass the answer on.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY},
    request::Parts,
};
use http_body::Body;

use crate::{
    base::{
        grpc,
        headers::{self, Named},
        reason::Reason,
        refusal::Refusal,
    },
    http2::{self, Incoming},
    request::{
        request_head::{self, Framing, LoggedHead},
        request_key::RequestHead,
    },
    serve::{
        destination::{Destination, Way},
        entry::{check_scheme, enter},
        failure::Failure,
        front_door::AtDoor,
        onward::{Forwarded, Onward},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
    stream::{
        outgoing::Wanted,
        request_body::ClientBody,
        response_body::{Begun, Coming, DownstreamBody, begin},
        tunnel::{self, Switch},
    },
    upstream::Answer,
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
    let came = match forward(&mut exchange, &connection, request).await {
        Ok(Next::Came(forwarded)) => Ok(forwarded),
        Ok(Next::Begins(onward, after)) => {
            return answer_or_begin(exchange, connection, onward, after).await;
        }
        Err(failure) => Err(failure),
    };
    answer(exchange, &connection, came)
}

/// The client's answer.
fn answer(
    mut exchange: Box<Exchange>,
    connection: &Arc<Connection>,
    came: Result<Forwarded, Failure>,
) -> Result<Response<DownstreamBody>, ClientGone> {
    let mut response = match came {
        Ok(forwarded) => pass_on(exchange, connection, forwarded),
        Err(Failure::Refused(refusal)) => {
            let answer = exchange.refused(&refusal);
            let is_bad = refusal.reason == Reason::BadRequest;
            own(exchange, connection, answer, is_bad)
        }
        Err(Failure::Answered(answer)) => {
            let answer = exchange.answers(*answer);
            own(exchange, connection, answer, false)
        }
        Err(Failure::ClientGone) => return Err(ClientGone),
    };
    if let Some(hsts) = connection.hsts() {
        let headers = response.headers_mut();
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    Ok(response)
}

/// The client's answer; where that takes longer than `after`, the head of a stream and keep-alives before it.
async fn answer_or_begin(
    mut exchange: Box<Exchange>,
    connection: Arc<Connection>,
    onward: Box<Onward>,
    after: Duration,
) -> Result<Response<DownstreamBody>, ClientGone> {
    let (dialect, clock) = (exchange.dialect, exchange.clock());
    let id = exchange.request_id.clone();
    let mut headers = exchange.head_of_stream();
    if let Some(hsts) = connection.hsts() {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let mut coming: Coming = Box::pin(async move {
        let came = onward.send(&mut exchange, &connection).await;
        answer(exchange, &connection, came).ok()
    });
    match tokio::time::timeout(after, &mut coming).await {
        Ok(answer) => answer.ok_or(ClientGone),
        Err(_) => Ok(begin(headers, Begun::new((dialect, id), clock, coming))),
    }
}

/// Answers without a worker, maybe what was not to be understood (`is_bad`).
fn own(
    exchange: Box<Exchange>,
    connection: &Connection,
    answer: Response<Bytes>,
    is_bad: bool,
) -> Response<DownstreamBody> {
    let (mut parts, mut body) = answer.into_parts();
    if exchange.is_head() {
        // hyper leaves the body out of an HTTP/1 answer only.
        let length = std::mem::take(&mut body).len();
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let unread = connection.sends_body.load(Ordering::Relaxed);
    if !connection.h2 && (unread || is_bad) {
        // Where the next request would begin is no longer certain; or there is a body before it
        // that nobody reads. hyper then closes the connection, and a client that was not told
        // would lose the next request.
        parts
            .headers
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Response::from_parts(parts, DownstreamBody::own(body, exchange))
}

/// What comes of a request.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every request is of the large one, and is not to pay for a box"
)]
enum Next {
    /// A worker's answer.
    Came(Forwarded),
    /// It is let in, and its answer begins after this time in any case.
    Begins(Box<Onward>, Duration),
}

async fn forward(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    mut request: Request<Incoming>,
) -> Result<Next, Failure> {
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
    let path = parts.uri.path().as_bytes();
    let way = Destination::find(connection, host.as_bytes(), path);
    let size = body.size_hint().lower();
    let mut body = has_body.then(|| ClientBody::new(body, connection));
    let ((to, carriers), begins) = match way {
        Way::To(destination) => {
            let head = RequestHead::new(connection, &parts);
            (enter(exchange, destination?, &head, size)?, None)
        }
        Way::FrontDoor => {
            let at_door = AtDoor::new(exchange, connection, &mut parts, &mut body);
            Box::pin(at_door.enter()).await?
        }
    };
    carriers
        .iter()
        .flatten()
        .for_each(|name| drop(parts.headers.remove(*name)));
    exchange.upload = body.as_ref().map(|body| Arc::clone(body.upload()));
    let onward = Onward {
        to,
        parts,
        named,
        host,
        body,
        has_body,
        upgrade: downstream_upgrade,
        close: framing == Framing::Unseen,
    };
    match begins {
        None => onward.send(exchange, connection).await.map(Next::Came),
        Some(after) => Ok(Next::Begins(Box::new(onward), after)),
    }
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
    if exchange.strips() {
        parts.headers.remove(CONTENT_LENGTH);
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
        DownstreamBody::stream(body, exchange, handback, &timeouts),
    )
}
