//! HTTP/1.1 to HTTP/1.1 as bytes: one task owns both sockets for the whole of an exchange.
//!
//! It reads, looks, and writes in the same poll: no channel, no second task, no body type, no allocation
//! per piece. A service with workers that speak HTTP/2 is served by hyper instead, to which the connection
//! is handed on then.

mod client;
mod down;
mod early;
mod forward;
mod kept;
mod lent;
mod long;
mod own;
mod sending;
mod tunnel;
mod up;

use std::{future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use http::HeaderMap;
use penstock_config::RequestLimits;
use pingora_core::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;

use self::{
    client::{Asking, Client, NoHead},
    down::{Down, onto},
    forward::{Forwarded, To, forward},
    lent::{Desk, Job, Served, Serving},
    long::Long,
    up::Up,
};
use crate::{
    base::{date, timer::Timer},
    http1::{
        answer::Answer,
        body::Framing,
        field::Field,
        request::{Bounds, Request},
        write::{self, Back, Onto},
    },
    request::request_head::LoggedHead,
    serve::{
        destination::{Destination, Way},
        failure::Failure,
    },
    settle::exchange::Exchange,
    socket::{
        connection::{Connection, told_to_end},
        io::{ClientStream, DownstreamIo, ReadAhead},
        linger::Linger,
    },
};

/// The client's side of a connection, with the timer that its requests have one after the other.
struct Side {
    client: Client,
    timer: Timer,
}

/// What becomes of a connection after a request.
enum After {
    /// It takes the next one.
    Next,
    /// It ends; the client may still be sending something that nobody reads.
    Close { unread: bool },
    /// It is over.
    Gone,
    /// It is over, and what had come of the answer before may still help.
    CutOff,
    /// hyper serves it from this request on.
    HandOn(Option<Box<Request>>),
}

/// Serves a connection, of which `read` was read already. Returns it where hyper is to go on. Not an
/// `async fn`, which would hold its arguments twice, and the memory of this is that of every connection.
pub(crate) fn serve<'c>(
    connection: &'c Arc<Connection>,
    stream: ClientStream,
    read: Vec<u8>,
    limits: &'c RequestLimits,
    shutdown: &'c ShutdownWatch,
) -> impl Future<Output = Option<Box<DownstreamIo>>> + Send {
    let mut side = Box::new(Side {
        client: Client::new(stream, connection.fd, &read),
        timer: Timer::default(),
    });
    let mut told = told_to_end(connection, shutdown.clone());
    async move {
        let bounds = Bounds {
            bytes: limits.max_header_bytes,
            fields: limits.max_headers,
        };
        let mut is_ending = false;
        loop {
            let head = poll_fn(|cx| {
                connection.turn(|| {
                    if let Poll::Ready(head) = side.client.poll_head(cx, connection, bounds) {
                        return Poll::Ready(Some(head));
                    }
                    if !is_ending && Pin::new(&mut told).poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    // The client is idle, or slow.
                    let Some(deadline) = connection.deadline(limits) else {
                        return Poll::Pending;
                    };
                    let deadline = connection.thread.clock().instant(deadline);
                    side.timer.poll_until(cx, deadline).map(|()| None)
                })
            });
            let Some(head) = head.await else {
                // Once a client that is in the middle of something is waited for.
                let may_end = connection.head_began() && !connection.is_overdue(limits);
                if is_ending || !may_end || connection.gives_way() {
                    return None;
                }
                is_ending = true;
                continue;
            };
            let after = match head {
                Ok(request) => {
                    let closes = is_ending || *shutdown.borrow();
                    // A connection that waits for a request does not carry one along.
                    let mut serving = Serving::lend(Job {
                        side,
                        connection: Arc::clone(connection),
                        request,
                        closes,
                    });
                    let served = poll_fn(|cx| connection.turn(|| serving.poll(cx))).await;
                    serving.give_back();
                    let after;
                    (side, after) = match served {
                        Served::Whole(side, after) => (side, after),
                        Served::Part(mut long) => {
                            let after = poll_fn(|cx| connection.turn(|| long.poll(cx))).await;
                            // Its account is settled here.
                            (long.side, after)
                        }
                    };
                    after
                }
                Err(NoHead::Ended) => return None,
                Err(NoHead::Bad(fault)) => {
                    Box::pin(own::refuse_head(&mut side.client, connection, fault)).await
                }
            };
            side.client.is_at_rest();
            match after {
                After::Next => {}
                After::Close { unread } => {
                    Box::pin(close(side.client, connection, unread)).await;
                    return None;
                }
                After::CutOff => {
                    let client = &mut side.client;
                    let _ = poll_fn(|cx| Poll::Ready(client.poll_out(cx).is_ready())).await;
                    return None;
                }
                After::Gone | After::HandOn(None) => return None,
                After::HandOn(Some(request)) => return Some(hand_on(side.client, &request)),
            }
        }
    }
}

/// Gives the connection to hyper, as if nothing of this request had been read.
fn hand_on(client: Client, request: &Request) -> Box<DownstreamIo> {
    let mut ahead = ReadAhead::default();
    ahead.add(request.lines.bytes());
    ahead.add(client.ahead.bytes());
    Box::new(DownstreamIo::over(client.stream, ahead))
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

/// Serves one request after the other, of whichever connection.
async fn serve_jobs(desk: Arc<Desk>) {
    loop {
        let job = poll_fn(|_| desk.poll_job()).await;
        let served = 'served: {
            let Job {
                mut side,
                connection,
                request,
                closes,
            } = job;
            let mut parts = Parts::default();
            let begun = begin(&mut side, &connection, &request, closes, &mut parts);
            let closes = match begun.await {
                Ok(begun) => begun,
                Err(After::HandOn(_)) => {
                    let after = After::HandOn(Some(Box::new(request)));
                    break 'served Served::Whole(side, after);
                }
                Err(after) => break 'served Served::Whole(side, after),
            };
            let Side { client, timer } = &mut *side;
            let Parts {
                exchange: Some(exchange),
                up: Some(up),
                down: Some(down),
            } = &mut parts
            else {
                break 'served Served::Whole(side, After::Gone);
            };
            let first = poll_fn(|cx| Poll::Ready(down.poll(cx, client, up, exchange, timer)));
            if let Poll::Ready(ended) = first.await {
                let after = long::after(ended, closes, up, client);
                break 'served Served::Whole(side, after);
            }
            match (parts.exchange, parts.up, parts.down) {
                (Some(exchange), Some(up), Some(down)) => Served::Part(Box::new(Long {
                    side,
                    exchange,
                    up,
                    down,
                    closes,
                })),
                _ => Served::Whole(side, After::Gone),
            }
        };
        desk.put(served);
    }
}

/// What a request is made of while it is served. Each is put where it stays: they are large.
#[derive(Default)]
struct Parts {
    // In this order they are dropped: the account comes last.
    down: Option<Down>,
    up: Option<Up>,
    exchange: Option<Exchange>,
}

/// Gets the request to a worker and the head of an answer for the client written: whether the connection ends
/// when the rest has passed; or what becomes of the connection. What is rare is boxed, because
/// all that serves a request is in one piece of memory.
async fn begin(
    Side { client, timer }: &mut Side,
    connection: &Arc<Connection>,
    request: &Request,
    closes: bool,
    parts: &mut Parts,
) -> Result<bool, After> {
    let destination =
        match Destination::find(connection, request.host_bytes(), request.path_bytes()) {
            Way::To(destination) => destination,
            Way::FrontDoor => return Err(After::HandOn(None)),
        };
    if destination.as_ref().is_ok_and(|to| to.service.speaks_h2) {
        return Err(After::HandOn(None));
    }
    let logs = connection.thread.logs_access();
    let logged = logs.then(|| LoggedHead::of_bytes(request));
    let content_type = request.lines.values(Field::ContentType).next();
    let Parts { exchange, up, down } = parts;
    let begun = Exchange::begin(connection, &request.method, content_type, logged);
    let exchange = exchange.insert(begun);
    client.asking = match request.is_old {
        true => Asking::Not,
        false => Asking::ByInterim,
    };
    let ends = Ends {
        closes: closes || !request.keeps_alive,
        request,
    };
    let to = To {
        client: &mut *client,
        connection,
        request,
        destination,
    };
    let mut got = None;
    let forwarded = match forward(to, exchange, (up, &mut got), timer).await {
        Ok(forwarded) => forwarded,
        Err(Failure::Refused(refusal)) => {
            let refused = own::refuse(client, exchange, connection, &ends, up.take(), &refusal);
            return Err(Box::pin(refused).await);
        }
        Err(Failure::ClientGone | Failure::Answered(_)) => return Err(After::Gone),
    };
    let Some(got) = got else {
        return Err(After::Gone);
    };
    // What was sent has a body, if only one that is over.
    let Some(up) = up else {
        return Err(After::Gone);
    };
    let Forwarded { upgrade, service } = forwarded;
    exchange.passes_on();
    let onto = onto(request, &got.answer);
    let closes = closes_after(&ends, &got.answer, onto, up);
    let switches = upgrade && got.answer.status == 101;
    let line = (onto, closes && !switches, request.is_old);
    write_head(client, exchange, connection, &got.answer, line);
    if switches {
        let sent = Box::pin(tunnel::run(client, got, exchange)).await;
        return Err(if sent {
            After::Close { unread: false }
        } else {
            After::Gone
        });
    }
    *down = Some(Down::new(got, onto, service));
    Ok(closes)
}

/// How the connection ends after an answer.
struct Ends<'r> {
    /// Whether it does in any case.
    closes: bool,
    request: &'r Request,
}

/// Whether the connection ends after this answer.
fn closes_after(ends: &Ends<'_>, answer: &Answer, onto: Onto, up: &Up) -> bool {
    let until_close = answer.framing == Framing::UntilClose && onto != Onto::Chunks;
    // A body that is still coming may never come to its end.
    ends.closes || onto == Onto::Plain || until_close || !up.is_over()
}

/// Writes the head of a worker's answer for the client.
fn write_head(
    client: &mut Client,
    exchange: &Exchange,
    connection: &Connection,
    answer: &Answer,
    (onto, closes, is_old): (Onto, bool, bool),
) {
    let back = Back {
        id: exchange.request_id.as_ref(),
        hsts: connection.hsts().map(|hsts| hsts.as_bytes()),
        // It comes with a date nearly always.
        date: &match answer.lines.has(Field::Date) {
            true => date::NONE,
            false => date::now(),
        },
        onto,
        closes,
        is_old,
    };
    write::answer(client.out.end(), answer, &back);
    write_own(client, exchange);
    client.out.push(b"\r\n");
    client.asking = Asking::Not;
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

    /// Bytes of the future that a function makes.
    fn size_of_future<A, B, C, D, E, F>(_: impl FnOnce(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// The same.
    fn size_of_future_of_one<A, F>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_takes_little_memory_while_it_waits_and_while_it_streams() {
        // Without a request, and how much more while a worker thinks, and while an answer streams.
        let sizes = (
            size_of_future(serve) + size_of::<Side>(),
            size_of_future_of_one(serve_jobs),
            size_of::<Long>(),
        );
        let (waits, thinks, streams) = sizes;
        let is_small = waits <= 528 && thinks <= 2840 && streams <= 728;
        assert!(is_small, "{sizes:?} bytes");
    }
}
