//! Header fields on their way through: what ends here, and what the gateway adds.
//!
//! On the way up, fields that concern only the client's connection are removed, who asked is
//! written into `X-Forwarded-*` and `Forwarded`, and the request gets an id and a trace. On the way
//! down, fields that concern only the worker's connection are removed and the id is added. What a
//! peer says about earlier hops is believed only when it is a trusted proxy.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

mod check;
mod client;
mod fields;
mod forwarded;
mod hop_by_hop;
mod list;
mod named;
mod own;
mod trace;
mod trailers;
mod upgrade;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};
use penstock_config::Protocol;

pub(crate) use check::{check_host, check_request, check_response};
pub(crate) use client::client_address;
pub(crate) use fields::Fields;
pub(crate) use forwarded::Forwarding;
pub(crate) use hop_by_hop::{is_option, is_protected};
pub(crate) use list::members;
pub(crate) use named::Named;
pub(crate) use trace::{RequestId, Trace, X_REQUEST_ID, goes_on};
pub(crate) use trailers::clean_trailers;
pub(crate) use upgrade::{is_tunnelled, requested_upgrade};

/// Says of a request that it is a mirrored copy: nobody reads its answer.
pub(crate) const X_PENSTOCK_MIRROR: HeaderName = HeaderName::from_static("x-penstock-mirror");

/// As many fields as a request usually gets added; the map then grows once for all of them.
const ADDED: usize = 7;

/// How a request goes to the worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Onward {
    /// The worker's protocol.
    pub(crate) protocol: Protocol,
    /// Whether an HTTP/1.1 upgrade that [`requested_upgrade`] accepted goes along.
    pub(crate) upgrade: bool,
}

/// Whether a request has more than `max` fields. The lines of a cookie, of which HTTP/2 clients send one
/// for each part, count as one field.
pub(crate) fn are_too_many(headers: &HeaderMap, max: usize) -> bool {
    let further_cookies = || headers.get_all(COOKIE).iter().count().saturating_sub(1);
    headers.len() > max && headers.len() - further_cookies() > max
}

/// Gives the request its id and its trace, and returns the id.
pub(crate) fn identify(headers: &mut HeaderMap, named: Named, from: &Forwarding) -> RequestId {
    trace::write(headers, named, from.is_trusted())
}

/// Has a request go by this id, and by this trace where it brings none that is valid.
pub(crate) fn go_by(headers: &mut HeaderMap, id: &RequestId, trace: &Trace) {
    headers.insert(X_REQUEST_ID, id.to_value());
    trace.write_unless(headers);
}

/// Whether a request is a mirrored copy, by the word of a trusted proxy.
pub(crate) fn is_copy(headers: &HeaderMap, from: &Forwarding) -> bool {
    from.is_trusted() && headers.contains_key(X_PENSTOCK_MIRROR)
}

/// Turns a client's request fields into those for the worker.
///
/// `host` is what [`check_request`] returned. `Expect` is removed too: the gateway answers it
/// itself when the body is first read. Framing is left to the HTTP library: `Transfer-Encoding`
/// goes, `Content-Length` stays.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    named: Named,
    from: &Forwarding,
    host: &HeaderValue,
    onward: Onward,
) {
    let is_trailers = |token: &[u8]| token.eq_ignore_ascii_case(b"trailers");
    let takes_trailers = named.has(Named::TE) && list::any(headers, &TE, is_trailers);
    let upgrade = if onward.upgrade {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    if named.has(Named::CONNECTION | Named::ENDS_HERE) {
        hop_by_hop::remove_from_request(headers);
    }
    if named.has(Named::OWN) {
        own::remove(headers, from.is_trusted());
    }
    headers.reserve(ADDED);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    match onward.protocol {
        Protocol::Http1 => suit_http1(headers, named, host, takes_trailers, upgrade),
        Protocol::H2 => {
            // The authority is a pseudo-header there, which the caller puts into the URI.
            headers.remove(HOST);
        }
    }
    from.write(headers, named, host);
}

/// Turns fields that were prepared for workers that speak one protocol into those for the other one.
pub(crate) fn suit(headers: &mut HeaderMap, host: &HeaderValue, protocol: Protocol) {
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    match protocol {
        Protocol::Http1 => {
            let takes_trailers = headers.contains_key(TE);
            suit_http1(headers, Named::of(headers), host, takes_trailers, None);
        }
        Protocol::H2 => {
            headers.remove(HOST);
        }
    }
}

/// Makes one of all the lengths that an answer tells, which must be the same (RFC 9110 §8.6). What it is told
/// in chunks has none that counts.
pub(crate) fn settle_length(headers: &mut HeaderMap) -> Result<(), &'static str> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else {
        return Ok(());
    };
    let is_plain = first.as_bytes().iter().all(u8::is_ascii_digit) && !first.is_empty();
    if (is_plain && lines.next().is_none()) || headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let mut members = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .flat_map(|line| members(line.as_bytes()));
    let length = members.next().unwrap_or_default().to_vec();
    let is_same = members.all(|member| member == length);
    drop(members);
    if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
        return Err("the worker's answer has a Content-Length that is no number");
    }
    if !is_same {
        return Err("the worker's answer has more than one Content-Length, and they differ");
    }
    let length = list::value_of(length);
    headers.insert(CONTENT_LENGTH, length);
    Ok(())
}

/// Turns a worker's response fields into those for the client. `upgrade`: the response is the 101
/// that accepts the request's upgrade.
pub(crate) fn prepare_response(headers: &mut HeaderMap, request_id: &RequestId, upgrade: bool) {
    let protocol = if upgrade {
        headers.get(UPGRADE).cloned()
    } else {
        None
    };
    if headers.contains_key(TRANSFER_ENCODING) {
        // The length does not count beside it (RFC 9112 §6.3), and would where it ends.
        headers.remove(CONTENT_LENGTH);
    }
    hop_by_hop::remove_from_response(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    headers.insert(X_REQUEST_ID, request_id.to_value());
}

/// Removes from an interim answer of a worker what concerns only its connection.
pub(crate) fn clean_interim(headers: &mut HeaderMap) {
    hop_by_hop::remove_from_response(headers);
    headers.remove(CONTENT_LENGTH);
}

fn suit_http1(
    headers: &mut HeaderMap,
    named: Named,
    host: &HeaderValue,
    takes_trailers: bool,
    upgrade: Option<HeaderValue>,
) {
    // What `Connection` names cannot have been this one. An absolute target counts more than the field.
    if !named.has(Named::HOST) || headers.get(HOST) != Some(host) {
        headers.insert(HOST, host.clone());
    }
    // HTTP/2 clients send one line per cookie; HTTP/1.1 knows one line only (RFC 9113 §8.2.3).
    if named.has(Named::COOKIE) {
        join_lines(headers, COOKIE, b"; ");
    }
    // `TE` and `Upgrade` must be named in `Connection` (RFC 9110 §10.1.4, §7.8).
    let options = match (takes_trailers, &upgrade) {
        (false, None) => return,
        (true, None) => "te",
        (false, Some(_)) => "upgrade",
        (true, Some(_)) => "te, upgrade",
    };
    headers.insert(CONNECTION, HeaderValue::from_static(options));
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
    }
}

/// Makes one line of all lines of a field; nothing changes when there is at most one.
fn join_lines(headers: &mut HeaderMap, name: HeaderName, separator: &[u8]) {
    if headers.get_all(&name).iter().nth(1).is_none() {
        return;
    }
    let joined = list::join(headers, &name, separator);
    headers.insert(name, list::value_of(joined));
}

#[cfg(test)]
mod tests;
