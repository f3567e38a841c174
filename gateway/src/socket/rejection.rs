//! hyper's own answers to what it cannot read, told in our form.
//!
//! hyper answers a head that it cannot parse by itself: a bare 400, 414 or 431, and the service
//! never hears of it. On its way out such an answer is recognised (no request is being served, a
//! head had begun, and the answer has none of the fields that all our answers have) and replaced.

use std::sync::atomic::Ordering;

use crate::{
    base::{headers, problem::problem, reason::Reason},
    socket::connection::Connection,
};

/// Fields, one of which every answer of ours has.
const OUR_FIELDS: [&[u8]; 2] = [b"x-request-id:", b"x-penstock-reason:"];

/// What to write instead of `answer`, if hyper made it.
pub(crate) fn replacement(connection: &Connection, answer: &[u8]) -> Option<Vec<u8>> {
    if connection.h2 || connection.is_serving() || !connection.head_began() {
        return None;
    }
    let status = answer
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?
        .get(..3)?;
    let reason = match status {
        b"400" => Reason::BadRequest,
        b"414" => Reason::UriTooLong,
        b"431" => Reason::HeaderTooLarge,
        _ => return None,
    };
    let is_ours = OUR_FIELDS.iter().any(|field| {
        answer
            .windows(field.len())
            .any(|part| part.eq_ignore_ascii_case(field))
    });
    if is_ours {
        return None;
    }
    connection.head().lock().clear();
    connection.expects_head.store(false, Ordering::Relaxed);
    // What follows what cannot be read may be anything.
    connection.sends_body.store(true, Ordering::Relaxed);
    connection.thread.shared.head_refused(reason);
    Some(written(reason))
}

/// The whole answer as bytes. The connection ends after it: where the next request would begin
/// cannot be known.
fn written(reason: Reason) -> Vec<u8> {
    let answer = problem(
        reason,
        detail(reason),
        None,
        false,
        Some(&headers::RequestId::fresh()),
    );
    let status = answer.status();
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\nconnection: close\r\n");
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"content-length: ");
    bytes.extend_from_slice(answer.body().len().to_string().as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    bytes.extend_from_slice(answer.body());
    bytes
}

fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::UriTooLong => "the request target is too long",
        Reason::HeaderTooLarge => "the request head is too long or has too many fields",
        _ => "this is not an HTTP request, or its head is malformed",
    }
}
