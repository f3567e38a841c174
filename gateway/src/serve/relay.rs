//! HTTP/1.1 to HTTP/1.1 as bytes: one task owns both sockets for the whole of an exchange.
//!
//! It reads, looks, and writes in the same poll: no channel, no second task, no body type, no allocation
//! per piece. A service with workers that speak HTTP/2 is served by hyper instead, to which the connection
//! is handed on then.

mod client;
mod down;
mod sending;
mod tunnel;
mod up;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Response, header::ALLOW};
use http_body::SizeHint;
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use self::{
    client::{Asking, Client, NoHead},
    down::{Down, Ended, onto},
    sending::{Got, Sending},
    up::Up,
};
use crate::{
    base::{
        date,
        headers::{self, RequestId, Trace},
        problem::problem,
        reason::Reason,
        refusal::Refusal,
    },
    count::metrics::Settled,
    http1::{
        body::Framing,
        field::Field,
        request::{Bounds, Fault, Request},
        write::{self, Back, Onto, Onward},
    },
    request::{request_head::LoggedHead, request_key::RequestHead},
    route::mirroring::MirrorState,
    serve::{
        attempt::{Destined, attempt},
        destination::Destination,
        proxy::{self, Failure},
        retry::Retry,
    },
    settle::exchange::Exchange,
    socket::{
        connection::{Connection, stalled, watch},
        io::{ClientStream, DownstreamIo, ReadAhead},
        linger::Linger,
    },
    stream::{copied_body::Tee, mirror::Candidate, request_body::Upload},
    upstream::Wire,
};

/// What becomes of a connection after a request.
enum After {
    /// It takes the next one.
    Next,
    /// It ends; the client may still be sending something that nobody reads.
    Close { unread: bool },
    /// It is over.
    Gone,
    /// hyper serves it from this request on.
    HandOn(Box<Request>),
}

/// Serves a connection, of which `read` was read already. Returns it where hyper is to go on.
pub(crate) async fn serve(
    connection: &Arc<Connection>,
    stream: ClientStream,
    read: &[u8],
    limits: &RequestLimits,
    shutdown: &ShutdownWatch,
) -> Option<DownstreamIo> {
    let mut client = Client::new(stream, connection.fd, read);
    let bounds = Bounds {
        bytes: limits.max_header_bytes,
        fields: limits.max_headers,
    };
    let mut ends = pin!(watch(connection, limits, shutdown.clone()));
    let mut is_ending = false;
    loop {
        let head = tokio::select! {
            biased;
            head = poll_fn(|cx| client.poll_head(cx, connection, bounds)) => head,
            () = ends.as_mut(), if !is_ending => {
                is_ending = true;
                let may_end = connection.head_began() && !connection.is_overdue(limits);
                match may_end && !connection.gives_way() {
                    true => continue,
                    false => return None,
                }
            }
            () = stalled(connection, limits), if is_ending => return None,
        };
        let after = match head {
            Ok(request) => {
                let closes = is_ending || *shutdown.borrow();
                // Boxed, so that a connection which waits for a request does not carry one along.
                Box::pin(exchange(&mut client, connection, request, closes)).await
            }
            Err(NoHead::Ended) => return None,
            Err(NoHead::Bad(fault)) => refuse_head(&mut client, connection, fault).await,
        };
        client.is_at_rest();
        match after {
            After::Next => {}
            After::Close { unread } => {
                close(client, connection, unread).await;
                return None;
            }
            After::Gone => return None,
            After::HandOn(request) => return Some(hand_on(client, &request)),
        }
    }
}

/// Gives the connection to hyper, as if nothing of this request had been read.
fn hand_on(client: Client, request: &Request) -> DownstreamIo {
    let mut ahead = ReadAhead::default();
    ahead.add(request.lines.bytes());
    ahead.add(client.ahead.bytes());
    DownstreamIo::over(client.stream, ahead)
}

/// Ends a connection on our side first. Closed with unread bytes it would be reset, and the client could lose
/// the answer.
async fn close(mut client: Client, connection: &Connection, unread: bool) {
    if client.stream.shutdown().await.is_err() || !unread || client.has_ended {
        return;
    }
    let mut linger = Linger::new(connection.thread.clock());
    poll_fn(|cx| linger.poll(&mut client.stream, cx)).await;
}

/// Serves one request.
async fn exchange(
    client: &mut Client,
    connection: &Arc<Connection>,
    request: Request,
    closes: bool,
) -> After {
    let head = RequestHead::of_bytes(connection, &request);
    let destination = Destination::find(connection, request.host(), head.path());
    if destination.as_ref().is_ok_and(|to| to.service.speaks_h2) {
        return After::HandOn(Box::new(request));
    }
    let logs = connection.thread.logs_access();
    let logged = logs.then(|| LoggedHead::of_bytes(&request));
    let content_type = request.lines.values(Field::ContentType).next();
    let begun = Exchange::begin(connection, &request.method, content_type, logged);
    let mut exchange = Box::new(begun);
    client.asking = match request.is_old {
        true => Asking::Not,
        false => Asking::ByInterim,
    };
    let ends = Ends {
        closes: closes || !request.keeps_alive,
        request: &request,
    };
    match forward(client, &mut exchange, connection, &request, destination).await {
        Ok(forwarded) => pass_on(client, exchange, connection, &ends, forwarded).await,
        Err((Failure::Refused(refusal), up)) => {
            refuse(client, exchange, connection, &ends, up, &refusal).await
        }
        Err((Failure::ClientGone, _)) => After::Gone,
    }
}

/// How the connection ends after an answer.
struct Ends<'r> {
    /// Whether it does in any case.
    closes: bool,
    request: &'r Request,
}

/// A worker's answer, and what is left of the request.
struct Forwarded {
    got: Got,
    up: Up,
    /// Whether an upgrade was asked for.
    upgrade: bool,
    idle: Duration,
    keepalive: Duration,
}

/// Gets the request to a worker and the head of an answer back.
async fn forward(
    client: &mut Client,
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    request: &Request,
    destination: Result<Destination, Refusal>,
) -> Result<Forwarded, (Failure, Option<Up>)> {
    let unsent = |refusal: Refusal| (Failure::from(refusal), None);
    let trace = Trace::fresh();
    exchange.request_id = Some(identify(connection, request, &trace));
    let head = RequestHead::of_bytes(connection, request);
    proxy::check_scheme(connection, request.host(), &head).map_err(unsent)?;
    let size = match request.framing {
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => 0,
    };
    let entered = proxy::enter(exchange, destination.map_err(unsent)?, &head, size);
    let (to, carriers) = entered.map_err(unsent)?;
    let found = proxy::find_worker(exchange, to, head, client).await;
    let (destination, deployment) = found.map_err(|failure| (failure, None))?;
    let service = &destination.service;
    let upgrade = request.asks_for_upgrade();
    let wire = Wire::of(&deployment.view().spec);
    let to = Destined {
        service,
        deployment: &deployment,
        wire: &wire,
        is_upgrade: upgrade,
    };
    let mut up = upload(
        exchange,
        connection,
        request,
        to,
        destination.is_direct(),
        (&trace, carriers),
    );
    let retry = Retry::prepare(service, wire.protocol, upgrade, &request.method);
    let keeps = retry.keeps.is_some_and(|bytes| up.keep(bytes));
    debug_assert!(!keeps || up.is_kept());
    let mut sending = Sending {
        head: onward(exchange, connection, request, &trace, carriers, upgrade),
        client,
        connection,
        request,
        up,
    };
    let answered = attempt(exchange, connection, to, &retry, &mut sending).await;
    let Sending { mut up, .. } = sending;
    up.forget();
    match answered {
        Ok(got) if got.answer.status == 101 && !upgrade => {
            exchange.worker_failed();
            let detail = "the worker switched protocols unasked";
            let refusal = Refusal::new(Reason::BadUpstreamResponse, detail);
            Err((refusal.into(), Some(up)))
        }
        Ok(got) => {
            exchange.connect_time = got.connect_time;
            let timeouts = &service.spec.timeouts;
            let (idle, keepalive) = (timeouts.idle, timeouts.keepalive);
            Ok(Forwarded {
                got,
                up,
                upgrade,
                idle,
                keepalive,
            })
        }
        Err(failure) => Err((failure, Some(up))),
    }
}

/// The id of a request: that of a trusted proxy, or that of its own trace.
fn identify(connection: &Connection, request: &Request, trace: &Trace) -> RequestId {
    let given = match connection.forwarding.is_trusted() {
        true => request.lines.values(Field::RequestId).next(),
        false => None,
    };
    given
        .and_then(RequestId::given)
        .unwrap_or_else(|| trace.id())
}

/// The body on its way to the worker, and to the mirror's target if this request is copied.
fn upload(
    exchange: &mut Exchange,
    connection: &Arc<Connection>,
    request: &Request,
    to: Destined<'_>,
    is_direct: bool,
    (trace, carriers): (&Trace, [Option<&'static str>; 2]),
) -> Up {
    let spec = &to.service.spec;
    let has_body = request.framing != Framing::Length(0);
    let tee = match &to.service.mirror {
        Some(mirror) if !to.is_upgrade && !is_direct => {
            copy(exchange, connection, request, to, mirror, trace, carriers)
        }
        _ => None,
    };
    exchange.upload = has_body.then(|| Arc::new(Upload::begin(connection)));
    let upload = exchange.upload.clone();
    let (max, idle) = (spec.max_body_bytes, spec.timeouts.idle);
    Up::new(request, upload, max, idle, tee)
}

/// Starts a copy of the request for the mirror's target, if it is to have one.
fn copy(
    exchange: &mut Exchange,
    connection: &Connection,
    request: &Request,
    to: Destined<'_>,
    mirror: &MirrorState,
    trace: &Trace,
    carriers: [Option<&'static str>; 2],
) -> Option<Tee> {
    let is_copy =
        connection.forwarding.is_trusted() && request.lines.values(Field::Mirror).next().is_some();
    if !mirror.takes(to.deployment, is_copy) {
        return None;
    }
    let Some((mut parts, host)) = request.to_parts() else {
        mirror.cannot();
        return None;
    };
    for name in carriers.into_iter().flatten() {
        parts.headers.remove(name);
    }
    if let Some(id) = &exchange.request_id {
        headers::go_by(&mut parts.headers, id, trace);
    }
    let body = match request.framing {
        Framing::Length(0) => None,
        Framing::Length(length) => Some(SizeHint::with_exact(length)),
        Framing::Chunked | Framing::UntilClose => Some(SizeHint::default()),
    };
    let candidate = Candidate {
        connection,
        service: &to.service.spec,
        parts: &parts,
        host: &host,
        body,
    };
    mirror.copy(exchange, &candidate)
}

/// The head as workers get it.
fn onward(
    exchange: &Exchange,
    connection: &Connection,
    request: &Request,
    trace: &Trace,
    carriers: [Option<&'static str>; 2],
    upgrade: bool,
) -> crate::http1::buffer::Buffer {
    let mut head = crate::http1::buffer::Buffer::default();
    let left = match exchange.deadline {
        Some((deadline, Reason::Deadline)) => Some(deadline.saturating_sub(exchange.clock().now())),
        _ => None,
    };
    if let Some(id) = &exchange.request_id {
        let onward = Onward {
            forwarding: &connection.forwarding,
            id,
            trace,
            carriers,
            upgrade,
            deadline: left,
        };
        write::request(head.end(), request, &onward);
    }
    head
}

/// Passes a worker's answer on, to its end.
async fn pass_on(
    client: &mut Client,
    mut exchange: Box<Exchange>,
    connection: &Arc<Connection>,
    ends: &Ends<'_>,
    forwarded: Forwarded,
) -> After {
    let Forwarded {
        got,
        mut up,
        upgrade,
        idle,
        keepalive,
    } = forwarded;
    let onto = onto(ends.request, &got.answer);
    let switches = upgrade && got.answer.status == 101;
    let until_close = got.answer.framing == Framing::UntilClose && onto != Onto::Chunks;
    // A body that is still coming may never come to its end.
    let closes = ends.closes || onto == Onto::Plain || until_close || !up.is_over();
    let back = Back {
        id: exchange.request_id.as_ref(),
        hsts: connection.hsts.as_ref().map(|hsts| hsts.as_bytes()),
        date: &date::now(),
        onto,
        closes: closes && !switches,
        is_old: ends.request.is_old,
    };
    write::answer(client.out.end(), &got.answer, &back);
    write_own(client, &exchange);
    client.out.push(b"\r\n");
    client.asking = Asking::Not;
    if switches {
        let sent = tunnel::run(client, got, exchange).await;
        return if sent {
            After::Close { unread: false }
        } else {
            After::Gone
        };
    }
    let mut down = Down::new(got, onto, idle, keepalive);
    let mut timer = connection.timer.lend();
    let passed = poll_fn(|cx| down.poll(cx, client, &mut up, &mut exchange, &mut timer));
    let ended = passed.await;
    drop(exchange);
    match ended {
        Ended::Whole if closes => After::Close {
            unread: !up.skip(&mut client.ahead),
        },
        Ended::Whole => After::Next,
        Ended::CutOff => {
            // What had come before may still help.
            let _ = poll_fn(|cx| Poll::Ready(client.poll_out(cx).is_ready())).await;
            After::Gone
        }
        Ended::ClientGone => After::Gone,
    }
}

/// Adds Set-Cookie and what is told about the queue.
fn write_own(client: &mut Client, exchange: &Exchange) {
    if exchange.has_own() {
        let mut headers = HeaderMap::new();
        exchange.write_own(&mut headers);
        for (name, value) in &headers {
            write::field(client.out.end(), name.as_str(), value.as_bytes());
        }
    }
}

/// Answers a request without a worker.
async fn refuse(
    client: &mut Client,
    mut exchange: Box<Exchange>,
    connection: &Connection,
    ends: &Ends<'_>,
    up: Option<Up>,
    refusal: &Refusal,
) -> After {
    let answer = exchange.refused(refusal);
    let up = up.or_else(|| Some(Up::new(ends.request, None, None, Duration::MAX, None)));
    // A body that has come already is passed over, so that the connection can go on.
    let unread = up.is_none_or(|mut up| !up.skip(&mut client.ahead));
    // Where the next request would begin is not certain after what is no request.
    let closes = ends.closes || unread || refusal.reason == Reason::BadRequest;
    write_answer(
        client,
        connection,
        &answer,
        closes,
        ends.request.is_old,
        exchange.is_head(),
    );
    let told = flush(client, connection).await;
    drop(exchange);
    match (told, closes) {
        (false, _) => After::Gone,
        (true, true) => After::Close { unread },
        (true, false) => After::Next,
    }
}

/// Answers what cannot be passed on. The connection ends after it: where the next request would begin
/// cannot be known.
async fn refuse_head(client: &mut Client, connection: &Connection, fault: Fault) -> After {
    let (reason, detail) = match fault {
        Fault::Bad(detail) => (Reason::BadRequest, detail),
        Fault::Version => (Reason::VersionNotSupported, "this is not HTTP/1"),
        Fault::Method(detail) => (Reason::MethodNotAllowed, detail),
        Fault::TooLarge => (
            Reason::HeaderTooLarge,
            "the request head is too long or has too many fields",
        ),
        Fault::TargetTooLong => (Reason::UriTooLong, "the request target is too long"),
    };
    connection.thread.shared.unrouted.request(&Settled {
        status: reason.status().as_u16(),
        reason: Some(reason),
        duration: Duration::ZERO,
        first_byte: None,
        queue_wait: None,
    });
    let id = RequestId::fresh();
    let mut answer = problem(reason, detail, None, false, Some(&id));
    if reason == Reason::MethodNotAllowed {
        let methods =
            http::HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
        answer.headers_mut().insert(ALLOW, methods);
    }
    let is_head = client.ahead.bytes().starts_with(b"HEAD ");
    write_answer(client, connection, &answer, true, false, is_head);
    match flush(client, connection).await {
        true => After::Close { unread: true },
        false => After::Gone,
    }
}

fn write_answer(
    client: &mut Client,
    connection: &Connection,
    answer: &Response<Bytes>,
    closes: bool,
    is_old: bool,
    is_head: bool,
) {
    let back = Back {
        id: None,
        hsts: connection.hsts.as_ref().map(|hsts| hsts.as_bytes()),
        date: &date::now(),
        onto: Onto::AsItIs,
        closes,
        is_old,
    };
    write::own(client.out.end(), answer, &back, is_head);
}

/// Writes what there is for the client, which takes it within the time it has for a head: whether it did.
async fn flush(client: &mut Client, connection: &Connection) -> bool {
    let limit = connection.thread.settings().limits.header_timeout;
    let flushed = tokio::time::timeout(limit, client.flush());
    matches!(flushed.await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the future that an async function makes.
    fn size_of_future<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_that_waits_for_a_request_takes_little_memory() {
        let size = size_of_future(serve);
        assert!(size <= 1024, "{size} bytes");
    }
}
