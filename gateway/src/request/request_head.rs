//! The head of a request: what the log keeps of it, and whether its framing can be trusted.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::sync::atomic::Ordering;

use http::{Method, Request, Version, header::HOST, request::Parts};

use crate::{base::headers::Named, http1, socket::connection::Connection};

/// What the access log needs when the request is over. Made only when there is a log.
pub(crate) struct LoggedHead {
    pub(crate) protocol: &'static str,
    /// Method, host, and path with its query, one behind the other: one piece of memory for all.
    text: Box<str>,
    method_length: u32,
    host_length: u32,
}

impl LoggedHead {
    /// Copies what the log needs.
    pub(crate) fn of_bytes(request: &http1::request::Request) -> Self {
        Self::new(
            request.method.as_str(),
            if request.is_old {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            request.host(),
            request.target(),
        )
    }

    /// Copies what the log needs.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let path = request
            .uri()
            .path_and_query()
            .map_or("*", |path| path.as_str());
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str().into(),
            None => request
                .headers()
                .get(HOST)
                .map(|host| String::from_utf8_lossy(host.as_bytes()))
                .unwrap_or_default(),
        };
        let protocol = match request.version() {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        };
        Self::new(request.method().as_str(), protocol, &host, path)
    }

    fn new(method: &str, protocol: &'static str, host: &str, path: &str) -> Self {
        // Heads are much shorter than what these can count.
        let length = |text: &str| u32::try_from(text.len()).unwrap_or_default();
        Self {
            method_length: length(method),
            host_length: length(host),
            text: [method, host, path].concat().into(),
            protocol,
        }
    }

    /// The method, the host, and the path with its query.
    pub(crate) fn parts(&self) -> (&str, &str, &str) {
        let length = self.method_length as usize;
        let (method, target) = self.text.split_at_checked(length).unwrap_or_default();
        let length = self.host_length as usize;
        let (host, path) = target.split_at_checked(length).unwrap_or_default();
        (method, host, path)
    }
}

/// Whether a request's framing can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It says one thing only.
    Clear,
    /// Both `Content-Length` and `Transfer-Encoding`: refused.
    Contradictory,
    /// What the HTTP library passes over in silence: refused.
    Malformed(&'static str),
    /// Chunked, and its head was not seen alone (pipelined, or very long): served, and the
    /// connection closed afterwards, so that nothing can be hidden behind it (RFC 9112 §6.1).
    Unseen,
}

/// Judges the framing of an HTTP/1 request with the fields `named` by the bytes of its head, and forgets
/// the bytes.
pub(crate) fn framing(
    connection: &Connection,
    request: &Parts,
    named: Named,
    has_body: bool,
) -> Framing {
    if connection.h2 {
        return Framing::Clear;
    }
    let mut head = connection.head().lock();
    let framing = match malformed(&head, &request.method) {
        Some(why) => Framing::Malformed(why),
        None if named.has(Named::TRANSFER_ENCODING) => judge(&head, &request.method),
        None => Framing::Clear,
    };
    head.clear();
    // What follows is this request's body, or the next head.
    connection.expects_head.store(!has_body, Ordering::Relaxed);
    connection.sends_body.store(has_body, Ordering::Relaxed);
    framing
}

/// What is wrong with a head, as far as it was seen, although the HTTP library took it: it cuts off fragments,
/// and takes lines that end in a line feed alone.
fn malformed(read: &[u8], method: &Method) -> Option<&'static str> {
    // Only a head that was seen from its beginning.
    read.strip_prefix(method.as_str().as_bytes())?;
    for (number, line) in read.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match line {
            b"\r\n" => return None,
            [.., b'\r', b'\n'] if number == 0 && line.contains(&b'#') => {
                return Some("the request target has a fragment (`#`)");
            }
            [.., b'\r', b'\n'] => {}
            [.., b'\n'] => {
                return Some(
                    "a line of the head does not end in a carriage return and a line feed",
                );
            }
            _ => return None,
        }
    }
    None
}

fn judge(read: &[u8], method: &Method) -> Framing {
    let begins_here = read.starts_with(method.as_str().as_bytes())
        && read.get(method.as_str().len()) == Some(&b' ');
    let end = read.windows(2).enumerate().position(|(at, pair)| {
        pair == b"\n\n" || (pair == b"\n\r" && read.get(at + 2) == Some(&b'\n'))
    });
    let Some(end) = end.filter(|_| begins_here) else {
        return Framing::Unseen;
    };
    let names_length = read
        .get(..=end)
        .unwrap_or_default()
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b':').next())
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length"));
    if names_length {
        Framing::Contradictory
    } else {
        Framing::Clear
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_head_that_also_names_a_length_is_contradictory_in_any_spelling() {
        for head in [
            "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ncOnTeNt-LeNgTh : 3\r\n\r\nabc",
            "POST / HTTP/1.1\ncontent-length:0\ntransfer-encoding: chunked\n\n",
        ] {
            assert_eq!(
                judge(head.as_bytes(), &Method::POST),
                Framing::Contradictory,
                "{head}"
            );
        }
    }

    #[test]
    fn what_the_library_passes_over_is_seen_in_the_head_and_nowhere_else() {
        for head in [
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
        ] {
            assert!(
                malformed(head.as_bytes(), &Method::GET).is_some(),
                "{head:?}"
            );
        }
        for head in [
            "GET /a HTTP/1.1\r\nHost: a\r\nA: #\r\n\r\n#\n",
            "of another request # \n",
            "GET /a HTTP/1.1\r\nHo",
        ] {
            assert_eq!(malformed(head.as_bytes(), &Method::GET), None, "{head:?}");
        }
    }

    #[test]
    fn a_length_in_the_body_is_not_one_in_the_head() {
        let request =
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n16\r\ncontent-length: 3\r\n\r\n";
        assert_eq!(judge(request.as_bytes(), &Method::POST), Framing::Clear);
    }

    #[test]
    fn a_head_of_which_only_a_part_was_seen_is_not_trusted() {
        for part in [
            "",
            "er-encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-enc",
        ] {
            assert_eq!(
                judge(part.as_bytes(), &Method::POST),
                Framing::Unseen,
                "{part}"
            );
        }
    }
}
