//! Requests that the HTTP library lets through and the gateway must not.

use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
    request::Parts,
    uri::Scheme,
};

use super::{Named, upgrade::is_tunnelled};

/// Longest host with its port: a DNS name with its last dot (RFC 1035), a colon and five digits.
const HOST_LEN_MAX: usize = 261;

/// Checks what must hold before a request is routed, and returns its host as the client wrote it,
/// with the port. It is empty only for HTTP/1.0, which can do without. The error, for people, says
/// what is wrong; its reason is always `bad_request`.
///
/// `named` are its fields. Left to others: hyper refuses what it cannot frame, h2 fields that belong to HTTP/1.1 only, and
/// the connection `Content-Length` beside `Transfer-Encoding`.
pub(crate) fn check_request(parts: &Parts, named: Named) -> Result<HeaderValue, &'static str> {
    check_method(parts)?;
    let http2 = parts.version >= Version::HTTP_2;
    if http2 {
        check_content_length(parts)?;
    } else {
        check_target_form(parts)?;
        if named.has(Named::TRANSFER_ENCODING) {
            check_transfer_encoding(parts)?;
        }
    }
    let mut lines = parts.headers.get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err("more than one Host");
    }
    let host = match (parts.uri.authority(), line) {
        // RFC 9112 §3.2.2: beside an absolute target the field is ignored, but must be there.
        (Some(authority), Some(line)) if !http2 => {
            if !line.is_empty() {
                check_host(line.as_bytes())?;
            }
            HeaderValue::from_str(authority.as_str())
                .map_err(|_| "the request target holds a character that no host has")?
        }
        (Some(authority), Some(line)) => {
            if !line
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                return Err("Host differs from the request target");
            }
            line.clone()
        }
        (Some(authority), None) if parts.version != Version::HTTP_11 => {
            HeaderValue::from_str(authority.as_str())
                .map_err(|_| "the authority holds a character that no host has")?
        }
        (None, Some(line)) => line.clone(),
        (_, None) if parts.version < Version::HTTP_11 => {
            return Ok(HeaderValue::from_static(""));
        }
        (_, None) => return Err("no Host"),
    };
    check_host(host.as_bytes())?;
    Ok(host)
}

fn check_method(parts: &Parts) -> Result<(), &'static str> {
    match parts.method {
        // RFC 8441: an upgrade over HTTP/2 is a CONNECT that names a protocol.
        Method::CONNECT => match parts.extensions.get::<Protocol>() {
            None => Err("CONNECT without a protocol: this is not a forward proxy"),
            // Inside a tunnel of HTTP its requests would pass unseen.
            Some(protocol) if !is_tunnelled(protocol.as_str().as_bytes()) => {
                Err("CONNECT with a protocol that is not tunnelled")
            }
            Some(_) => Ok(()),
        },
        // It would show the fields that the gateway and proxies before it added.
        Method::TRACE => Err("TRACE is not passed on"),
        _ => Ok(()),
    }
}

/// A path, `*`, or an absolute `http` or `https` URI.
fn check_target_form(parts: &Parts) -> Result<(), &'static str> {
    match (parts.uri.scheme(), parts.uri.authority()) {
        // RFC 9112 §3.2.4: the server as a whole has options and nothing else.
        (None, None) if parts.uri.path() == "*" && parts.method != Method::OPTIONS => {
            Err("the request target `*` is for OPTIONS only")
        }
        (None, None) => Ok(()),
        (Some(scheme), Some(_)) if [&Scheme::HTTP, &Scheme::HTTPS].contains(&scheme) => Ok(()),
        _ => Err("the request target is neither a path nor an http URI"),
    }
}

/// h2 lets the same length pass twice; workers refuse it or take one of the two.
fn check_content_length(parts: &Parts) -> Result<(), &'static str> {
    match parts.headers.get_all(CONTENT_LENGTH).iter().nth(1) {
        Some(_) => Err("more than one Content-Length"),
        None => Ok(()),
    }
}

/// Anything but exactly one `chunked` is read differently by different servers.
fn check_transfer_encoding(parts: &Parts) -> Result<(), &'static str> {
    let mut lines = parts.headers.get_all(TRANSFER_ENCODING).iter();
    match (lines.next(), lines.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("Transfer-Encoding other than chunked"),
    }
}

/// Checks how a worker's answer is framed, of which the HTTP library lets more pass than clients should see:
/// codings it does not know, and lengths of which others might take one or the other. Equal lengths become one,
/// and an answer that has no body tells none (RFC 9110 §8.6).
pub(crate) fn check_response(
    status: StatusCode,
    headers: &mut HeaderMap,
) -> Result<(), &'static str> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let (first, second) = (codings.next(), codings.next());
        return match (first, second) {
            (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
            _ => Err("the answer has a Transfer-Encoding other than chunked"),
        };
    }
    if status == StatusCode::NO_CONTENT {
        headers.remove(CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(first), second) = (lengths.next(), lengths.next()) else {
        return Ok(());
    };
    if second.is_none() && !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit) {
        return Ok(());
    }
    let lines = headers.get_all(CONTENT_LENGTH).iter();
    let mut members = lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    let length = members.next().unwrap_or_default();
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    if !is_number || members.any(|other| other != length) {
        return Err("the answer's Content-Length is not one number");
    }
    let length = HeaderValue::from_bytes(length).map_err(|_| "Content-Length is no number")?;
    headers.insert(CONTENT_LENGTH, length);
    Ok(())
}

/// The characters of names of hosts.
#[allow(clippy::indexing_slicing, reason = "it is made when this is compiled")]
static OF_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// A name or address and perhaps a port, of a stricter alphabet than RFC 3986 allows: what DNS, IP
/// addresses and container names use.
pub(crate) fn check_host(host: &[u8]) -> Result<(), &'static str> {
    let (name_is_good, port) = match host {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']');
            let (address, port) = rest.split_at(end.ok_or("Host lacks a bracket")?);
            let address = str::from_utf8(address).unwrap_or_default();
            let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
            (is_address, port.get(1..).unwrap_or_default())
        }
        _ => {
            let is_of_name = |byte: &u8| OF_NAMES.get(usize::from(*byte)) == Some(&true);
            let end = host.iter().position(|byte| !is_of_name(byte));
            let (name, port) = host.split_at(end.unwrap_or(host.len()));
            (!name.is_empty(), port)
        }
    };
    let port_is_good = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name_is_good && port_is_good && host.len() <= HOST_LEN_MAX {
        Ok(())
    } else {
        Err("Host is not a name or address with an optional port")
    }
}

#[cfg(test)]
mod tests;
