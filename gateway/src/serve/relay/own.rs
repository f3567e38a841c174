//! What the gateway answers a relayed connection itself.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header::ALLOW};

use super::{After, Ends, client::Client, up::Up};
use crate::{
    base::{date, headers::RequestId, problem::problem, reason::Reason, refusal::Refusal},
    count::metrics::Settled,
    http1::{
        request::Fault,
        write::{self, Back, Onto},
    },
    settle::exchange::Exchange,
    socket::connection::Connection,
};

/// Answers a request without a worker.
pub(super) async fn refuse(
    client: &mut Client,
    exchange: &mut Exchange,
    connection: &Connection,
    ends: &Ends<'_>,
    up: Option<Up>,
    refusal: &Refusal,
) -> After {
    let answer = exchange.refused(refusal);
    let up = up.or_else(|| Some(Up::unsent(ends.request)));
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
    match (flush(client, connection).await, closes) {
        (false, _) => After::Gone,
        (true, true) => After::Close { unread },
        (true, false) => After::Next,
    }
}

/// Answers what cannot be passed on. The connection ends after it: where the next request would begin
/// cannot be known.
pub(super) async fn refuse_head(
    client: &mut Client,
    connection: &Connection,
    fault: Fault,
) -> After {
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
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
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
        hsts: connection.hsts().map(|hsts| hsts.as_bytes()),
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
