//! Heads on their way out: the lines that pass on are copied in runs as they came, and ours are added.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::{io::Write, ops::Range, time::Duration};

use bytes::Bytes;
use http::Response;

use super::{
    answer::Answer,
    body::Framing,
    field::Field,
    lines::{Line, Lines},
    request::Request,
};
use crate::base::{
    grpc,
    headers::{Forwarding, RequestId, Trace, goes_on, is_protected},
};

/// What the gateway says to a worker of a request, beside what the client said.
pub(crate) struct Onward<'a> {
    /// Who asked.
    pub(crate) forwarding: &'a Forwarding,
    /// The request's id.
    pub(crate) id: &'a RequestId,
    /// The trace that begins where the client brought none.
    pub(crate) trace: &'a Trace,
    /// Fields that held the key which let the request in.
    pub(crate) carriers: [Option<&'static str>; 2],
    /// Whether it asks for an upgrade that may be.
    pub(crate) upgrade: bool,
    /// What is left of the client's own deadline.
    pub(crate) deadline: Option<Duration>,
}

/// Writes the head of `request` as a worker gets it.
pub(crate) fn request(out: &mut Vec<u8>, request: &Request, onward: &Onward<'_>) {
    let lines = &request.lines;
    out.reserve(lines.bytes().len() + 512);
    // Nearly always it passes on as it came, in one piece with the fields behind it.
    let first_line = request.plain_first_line();
    if first_line.is_none() {
        out.extend_from_slice(request.method.as_str().as_bytes());
        out.push(b' ');
        if request.target_lacks_slash() {
            out.push(b'/');
        }
        out.extend_from_slice(request.target_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }
    let traced = goes_on(lines.values(Field::Traceparent));
    let one_cookie = lines.values(Field::Cookie).nth(1).is_none();
    let nominates = request.options.nominates;
    let has_carriers = onward.carriers != [None; 2];
    let trusted = onward.forwarding.is_trusted();
    copy(out, lines, first_line.unwrap_or_default(), |line| {
        let passes = match line.field {
            Field::Other
            | Field::ContentType
            | Field::ContentLength
            | Field::Date
            | Field::GrpcStatus
            | Field::Hsts
            | Field::ProxyAuthenticate
            | Field::RetryAfter => true,
            Field::Host => !request.is_absolute,
            Field::Cookie => one_cookie,
            Field::GrpcTimeout => onward.deadline.is_none(),
            Field::Traceparent | Field::Tracestate => traced,
            Field::Claim | Field::ForwardedHost | Field::ForwardedProto | Field::Mirror => trusted,
            Field::Connection
            | Field::Expect
            | Field::KeepAlive
            | Field::Te
            | Field::TransferEncoding
            | Field::Upgrade
            | Field::Hop
            | Field::LooksLikeFraming
            | Field::ProxyAuthorization
            | Field::Forwarded
            | Field::ForwardedFor
            | Field::RequestId
            | Field::Own => false,
        };
        passes
            && !(nominates && is_nominated(lines, line, request.nominated()))
            && !(has_carriers && carries(lines, line, &onward.carriers))
    });
    let host = request.host_bytes();
    if request.is_absolute || host.is_empty() {
        field(out, "host", host);
    }
    if !one_cookie {
        let cookies = lines.values(Field::Cookie).collect::<Vec<_>>();
        field(out, "cookie", &cookies.join(&b"; "[..]));
    }
    onward.id.write_line(out);
    if !traced {
        onward.trace.write_line(out);
    }
    onward.forwarding.write_lines(out, lines, host);
    if let Some(left) = onward.deadline {
        let timeout = grpc::format_timeout(left);
        field(out, "grpc-timeout", timeout.as_bytes());
    }
    if request.framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    // `TE` and `Upgrade` must be named in `Connection` (RFC 9110 §10.1.4, §7.8).
    let upgrade = lines
        .values(Field::Upgrade)
        .next()
        .filter(|_| onward.upgrade);
    if let Some(protocol) = upgrade {
        field(out, "upgrade", protocol);
    }
    if request.takes_trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    out.extend_from_slice(match (request.takes_trailers, upgrade) {
        (false, None) => b"\r\n",
        (true, None) => b"connection: te\r\n\r\n",
        (false, Some(_)) => b"connection: upgrade\r\n\r\n",
        (true, Some(_)) => b"connection: te, upgrade\r\n\r\n",
    });
}

/// How an answer's body goes on to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onto {
    /// As it came.
    AsItIs,
    /// Without its chunks: an HTTP/1.0 client knows none, and the connection's end is the body's.
    Plain,
    /// In chunks: the worker's connection was to end with the body, and the client's need not.
    Chunks,
}

/// What the gateway says to a client of an answer, beside what the worker said.
pub(crate) struct Back<'a> {
    /// The request's id.
    pub(crate) id: Option<&'a RequestId>,
    /// What is said about HTTPS.
    pub(crate) hsts: Option<&'a [u8]>,
    /// The date for an answer without one.
    pub(crate) date: &'a [u8],
    /// How the body goes on.
    pub(crate) onto: Onto,
    /// Whether the connection ends with this answer.
    pub(crate) closes: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(crate) is_old: bool,
}

/// Writes the head of a worker's answer as the client gets it, but for the empty line at its end: more
/// fields may follow.
pub(crate) fn answer(out: &mut Vec<u8>, answer: &Answer, back: &Back<'_>) {
    let lines = &answer.lines;
    out.reserve(lines.bytes().len() + 256);
    status_line(out, answer.status, answer.phrase());
    let nominates = answer.options.nominates;
    let switches = answer.status == 101;
    let is_chunked = lines.has(Field::TransferEncoding);
    let mut lengths = lines.values(Field::ContentLength);
    let one_length = answer.may_tell_length()
        && !is_chunked
        && lengths.next().is_some_and(|length| !length.contains(&b','))
        && lengths.next().is_none();
    copy(out, lines, 0..0, |line| {
        let passes = match line.field {
            Field::Connection
            | Field::Hop
            | Field::KeepAlive
            | Field::Mirror
            | Field::Own
            | Field::ProxyAuthenticate
            | Field::Te
            | Field::TransferEncoding => false,
            Field::RequestId => back.id.is_none(),
            Field::ContentLength => one_length,
            Field::Upgrade => switches,
            Field::Hsts => back.hsts.is_none(),
            _ => true,
        };
        passes && !(nominates && is_nominated(lines, line, answer.nominated()))
    });
    if let Some(id) = back.id {
        id.write_line(out);
    }
    if let Some(hsts) = back.hsts {
        field(out, "strict-transport-security", hsts);
    }
    if !lines.has(Field::Date) && answer.status >= 200 {
        field(out, "date", back.date);
    }
    if switches {
        out.extend_from_slice(b"connection: upgrade\r\n");
        return;
    }
    match (back.onto, answer.framing) {
        (Onto::Chunks, _) => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        (Onto::AsItIs, Framing::Chunked) => {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
        }
        // Equal lengths on several lines, or in a list, are told as one.
        (_, Framing::Length(length)) if !one_length && answer.tells_length() => {
            number_field(out, "content-length", length);
        }
        _ => {}
    }
    connection_line(out, back.closes, back.is_old);
}

/// Writes an interim answer (1xx) as the client gets it.
pub(crate) fn interim(out: &mut Vec<u8>, answer: &Answer) {
    let lines = &answer.lines;
    status_line(out, answer.status, answer.phrase());
    let nominates = answer.options.nominates;
    copy(out, lines, 0..0, |line| {
        let ends_here = matches!(
            line.field,
            Field::Connection
                | Field::ContentLength
                | Field::Hop
                | Field::KeepAlive
                | Field::Mirror
                | Field::Own
                | Field::ProxyAuthenticate
                | Field::RequestId
                | Field::Te
                | Field::TransferEncoding
                | Field::Upgrade
        );
        let is_nominated = || nominates && is_nominated(lines, line, answer.nominated());
        !ends_here && !is_nominated()
    });
    out.extend_from_slice(b"\r\n");
}

/// Writes an answer of the gateway's own, with its body unless the request was a HEAD.
pub(crate) fn own(out: &mut Vec<u8>, answer: &Response<Bytes>, back: &Back<'_>, is_head: bool) {
    let status = answer.status();
    let phrase = status.canonical_reason().unwrap_or_default();
    status_line(out, status.as_u16(), phrase.as_bytes());
    for (name, value) in answer.headers() {
        field(out, name.as_str(), value.as_bytes());
    }
    if let Some(hsts) = back.hsts {
        field(out, "strict-transport-security", hsts);
    }
    field(out, "date", back.date);
    number_field(out, "content-length", answer.body().len() as u64);
    connection_line(out, back.closes, back.is_old);
    out.extend_from_slice(b"\r\n");
    if !is_head {
        out.extend_from_slice(answer.body());
    }
}

/// Writes one field.
#[inline]
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes the size line of a chunk.
pub(crate) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    // Writing to a Vec does not fail.
    let _ = write!(out, "{size:x}\r\n");
}

fn number_field(out: &mut Vec<u8>, name: &str, number: u64) {
    let _ = write!(out, "{name}: {number}\r\n");
}

fn status_line(out: &mut Vec<u8>, status: u16, phrase: &[u8]) {
    if status == 200 && phrase == b"OK" {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let _ = write!(out, "HTTP/1.1 {status} ");
    out.extend_from_slice(phrase);
    out.extend_from_slice(b"\r\n");
}

fn connection_line(out: &mut Vec<u8>, closes: bool, is_old: bool) {
    match (closes, is_old) {
        (true, _) => out.extend_from_slice(b"connection: close\r\n"),
        (false, true) => out.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, false) => {}
    }
}

/// Copies what is at `run` and the lines that pass, each run of neighbours at once.
fn copy(out: &mut Vec<u8>, lines: &Lines, mut run: Range<usize>, passes: impl Fn(&Line) -> bool) {
    let mut flush = |run: Range<usize>| {
        out.extend_from_slice(lines.bytes().get(run).unwrap_or_default());
    };
    for line in lines.iter() {
        if !passes(line) {
            continue;
        }
        let whole = lines.whole(line);
        if whole.start == run.end {
            run.end = whole.end;
        } else {
            flush(std::mem::replace(&mut run, whole));
        }
    }
    flush(run);
}

/// Whether a line is one of those that `Connection` names and that may be removed for that.
fn is_nominated<'v>(
    lines: &Lines,
    line: &Line,
    mut nominated: impl Iterator<Item = &'v [u8]>,
) -> bool {
    let name = lines.name(line);
    nominated.any(|member| member.eq_ignore_ascii_case(name)) && {
        let name = str::from_utf8(name).unwrap_or_default();
        !is_protected(&name.to_ascii_lowercase())
    }
}

/// Whether a line held the key that let the request in.
fn carries(lines: &Lines, line: &Line, carriers: &[Option<&'static str>; 2]) -> bool {
    let mut carriers = carriers.iter().flatten();
    carriers.any(|name| lines.name(line).eq_ignore_ascii_case(name.as_bytes()))
}
