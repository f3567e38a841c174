//! HTTP/1.1 to HTTP/1.1 as bytes: one task owns both sockets for the whole of an exchange.
//!
//! It reads, looks, and writes in the same poll: no channel, no second task, no body type, no allocation
//! per piece. A service with workers that speak HTTP/2 is served by hyper instead, to which the connection
//! is handed on then.

mod client;
mod down;
mod early;
mod forward;
mod own;
mod sending;
mod tunnel;
mod up;

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use http::HeaderMap;
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use self::{
    client::{Asking, Client, NoHead},
    down::{Down, Ended, onto},
    forward::{Forwarded, forward},
};
use crate::{
    base::date,
    http1::{
        body::Framing,
        field::Field,
        request::{Bounds, Request},
        write::{self, Back, Onto},
    },
    request::{request_head::LoggedHead, request_key::RequestHead},
    serve::{destination::Destination, failure::Failure},
    settle::exchange::Exchange,
    socket::{
        connection::{Connection, stalled, watch},
        io::{ClientStream, DownstreamIo, ReadAhead},
        linger::Linger,
    },
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
            Err(NoHead::Bad(fault)) => own::refuse_head(&mut client, connection, fault).await,
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
            own::refuse(client, exchange, connection, &ends, up, &refusal).await
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
        timeouts,
    } = forwarded;
    exchange.passes_on();
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
    let mut down = Down::new(got, onto, timeouts);
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
