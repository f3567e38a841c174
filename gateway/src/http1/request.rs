//! The head of a request: read, and checked for what must not be passed on.
//!
//! What two programs may read in two ways is refused here, whoever would be deceived by it: two lengths, a
//! length beside chunks, a line that ends in LF alone, a host that is none (RFC 9112 §3.2, §6.3, §11.2).
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

mod target;
mod version;

use std::{mem::MaybeUninit, ops::Range};

use http::{HeaderName, HeaderValue, Method, request::Parts};
use httparse::{Error, Status};

use self::target::Target;
use super::{
    body::Framing,
    field::Field,
    lines::Lines,
    plain,
    values::{Options, has_member, one_length},
};

/// Fields that are parsed without memory of their own; heads with more cost an allocation.
const FIELDS_USUAL: usize = 64;

/// Longest host with its port: a DNS name with its last dot (RFC 1035), a colon and five digits.
const HOST_LEN_MAX: usize = 261;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its field lines.
    pub(crate) lines: Lines,
    /// Its method.
    pub(crate) method: Method,
    /// The path and the query in the head; empty for an absolute URI that has none.
    target: Range<u32>,
    /// Length of the path.
    path: u32,
    /// The host with its port, in the target or in the field.
    host: Range<u32>,
    /// Whether the target names the host.
    pub(crate) is_absolute: bool,
    /// Whether it is HTTP/1.0.
    pub(crate) is_old: bool,
    /// How its body is framed.
    pub(crate) framing: Framing,
    /// What `Connection` names.
    pub(crate) options: Options,
    /// Whether the client wants to send another request on this connection.
    pub(crate) keeps_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the client understands trailers.
    pub(crate) takes_trailers: bool,
}

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In words for the client.
    Bad(&'static str),
    /// A version of HTTP that is not 1.
    Version,
    /// A method that is never passed on, and why.
    Method(&'static str),
    /// Longer than allowed, or too many fields.
    TooLarge,
    /// Already the target is longer than allowed.
    TargetTooLong,
}

/// A request that was read to the end of its head, if it may pass on, and the length of that.
type Checked = (Result<Request, Fault>, usize);

/// What the bytes of a connection begin with.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A part of a head.
    Part,
    /// A head of so many bytes.
    Whole(Request, usize),
    /// Nothing that is passed on. The first line, as far as it can be read, is for the log.
    Bad(Fault),
}

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Fields; the lines of a cookie count as one.
    pub(crate) fields: usize,
}

impl Request {
    /// Reads the head that `bytes` begin with. `bytes` begin where a request should.
    pub(crate) fn parse(bytes: &mut [u8], bounds: Bounds) -> Parsed {
        match Self::parse_plain(bytes, bounds) {
            Some(parsed) => parsed,
            None => Self::parse_any(bytes, bounds),
        }
    }

    /// One as nearly everybody sends them.
    fn parse_plain(bytes: &[u8], bounds: Bounds) -> Option<Parsed> {
        let line = plain::request_line(bytes)?;
        let (lines, length) = plain::lines(bytes, line.end)?;
        if length > bounds.bytes {
            return None;
        }
        let target = Target::plain(line.target, line.path);
        Some(match Self::of(lines, line.method, target, false) {
            Ok(request) if request.has_too_many(bounds.fields) => Parsed::Bad(Fault::TooLarge),
            Ok(request) => Parsed::Whole(request, length),
            Err(fault) => Parsed::Bad(fault),
        })
    }

    /// Any head.
    pub(super) fn parse_any(bytes: &mut [u8], bounds: Bounds) -> Parsed {
        if let Err(fault) = version::suit(bytes) {
            return Parsed::Bad(fault);
        }
        let mut usual = [const { MaybeUninit::uninit() }; FIELDS_USUAL];
        let mut many = Vec::new();
        let parsed = match Self::parse_with(bytes, &mut usual) {
            Err(Error::TooManyHeaders) if bounds.fields > FIELDS_USUAL => {
                // One more than allowed, to tell how many there are, and room for cookies.
                many.resize_with(bounds.fields * 2 + 1, MaybeUninit::uninit);
                Self::parse_with(bytes, &mut many)
            }
            parsed => parsed,
        };
        match parsed {
            Ok(None) if bytes.len() < bounds.bytes => Parsed::Part,
            Ok(None) => Parsed::Bad(too_long(bytes, bounds)),
            Err(Error::TooManyHeaders) => Parsed::Bad(Fault::TooLarge),
            // Another version is judged when its line is whole: 1.2 would be read as 1.1 then.
            Err(Error::Version) if version::is_incomplete(bytes) => Parsed::Part,
            Ok(Some((_, length))) if length > bounds.bytes => Parsed::Bad(too_long(bytes, bounds)),
            Ok(Some((Ok(request), length))) => match request.has_too_many(bounds.fields) {
                true => Parsed::Bad(Fault::TooLarge),
                false => Parsed::Whole(request, length),
            },
            Ok(Some((Err(fault), _))) => Parsed::Bad(fault),
            Err(_) => Parsed::Bad(Fault::Bad(
                "this is not an HTTP request, or its head is malformed",
            )),
        }
    }

    fn parse_with<'b>(
        bytes: &'b [u8],
        fields: &mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Result<Option<Checked>, Error> {
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, fields)? {
            Status::Partial => Ok(None),
            Status::Complete(length) => Ok(Some((Self::check(bytes, length, &parsed), length))),
        }
    }

    fn check(
        bytes: &[u8],
        length: usize,
        parsed: &httparse::Request<'_, '_>,
    ) -> Result<Self, Fault> {
        let head = bytes.get(..length).unwrap_or_default();
        let lines = Lines::of(head, parsed.headers).map_err(|_| {
            Fault::Bad("a line of the head does not end in a carriage return and a line feed")
        })?;
        let method = parsed.method.unwrap_or_default();
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| Fault::Bad("no method"))?;
        check_method(&method)?;
        let text = parsed.path.unwrap_or_default();
        let begin = (text.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
        let target = Target::of(text, begin, &method)?;
        Self::of(lines, method, target, parsed.version == Some(0))
    }

    /// That of these lines, if it may pass on.
    fn of(lines: Lines, method: Method, target: Target, is_old: bool) -> Result<Self, Fault> {
        // It is ignored beside a target that names the host, but must be there (RFC 9112 §3.2).
        let named = field_host(&lines, is_old)?;
        let (host, is_absolute) = match target.host {
            Some(host) => {
                check_host(lines.part(named), true)?;
                (host, true)
            }
            None => (named, false),
        };
        check_host(lines.part(host.clone()), is_old && !is_absolute)?;
        let framing = framing(&lines, is_old)?;
        let options = Options::of(&lines);
        let expects_continue = !is_old
            && framing != Framing::Length(0)
            && has_member(lines.values(Field::Expect), "100-continue");
        let takes_trailers = has_member(lines.values(Field::Te), "trailers");
        Ok(Self {
            keeps_alive: !options.closes && (options.keeps_alive || !is_old),
            options,
            method,
            target: target.path_and_query,
            path: target.path,
            host,
            is_absolute,
            is_old,
            framing,
            expects_continue,
            takes_trailers,
            lines,
        })
    }

    fn has_too_many(&self, most: usize) -> bool {
        let further_cookies = || self.lines.values(Field::Cookie).count().saturating_sub(1);
        self.lines.len() > most && self.lines.len() - further_cookies() > most
    }

    /// The path with its query, as a worker gets it.
    pub(crate) fn target(&self) -> &str {
        str::from_utf8(self.target_bytes()).unwrap_or_default()
    }

    /// The same as it lies in the head.
    pub(crate) fn target_bytes(&self) -> &[u8] {
        match self.lines.part(self.target.clone()) {
            [] if self.method == Method::OPTIONS => b"*",
            [] => b"/",
            target => target,
        }
    }

    /// Whether [`Self::target`] lacks the slash before a query (`http://a?b`).
    pub(crate) fn target_lacks_slash(&self) -> bool {
        self.target_bytes().starts_with(b"?")
    }

    /// The first line where a worker gets it as it came, from the head's first byte on.
    pub(crate) fn plain_first_line(&self) -> Option<Range<usize>> {
        let line = self.lines.first_line();
        let behind = self.target.end..u32::try_from(line.end).ok()?;
        let is_plain = !self.is_absolute
            && self.target.start as usize == self.method.as_str().len() + 1
            && self.lines.part(behind) == b" HTTP/1.1\r\n";
        is_plain.then_some(line)
    }

    /// The path as it came, percent-encoded and without the query.
    pub(crate) fn path(&self) -> &str {
        str::from_utf8(self.path_bytes()).unwrap_or_default()
    }

    /// The same as it lies in the head.
    pub(crate) fn path_bytes(&self) -> &[u8] {
        let path = self.target.start..self.target.start + self.path;
        match self.lines.part(path) {
            [] => b"/",
            path => path,
        }
    }

    /// The query, without its question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        let rest = self.target.start + self.path..self.target.end;
        let rest = str::from_utf8(self.lines.part(rest)).unwrap_or_default();
        rest.strip_prefix('?')
    }

    /// The host with its port, as the client wrote it. Empty only for HTTP/1.0, which can do without.
    pub(crate) fn host(&self) -> &str {
        str::from_utf8(self.host_bytes()).unwrap_or_default()
    }

    /// The same as it lies in the head.
    pub(crate) fn host_bytes(&self) -> &[u8] {
        self.lines.part(self.host.clone())
    }

    /// Whether the request asks to go on with another protocol, so that the gateway becomes a tunnel.
    ///
    /// Only HTTP/1.1 knows it, and `Connection` must name it. Versions of HTTP and TLS are not passed
    /// on: inside a tunnel their requests would pass unseen. Neither is an upgrade of a request with a
    /// body. Such requests are served as if they had not asked, as RFC 9110 §7.8 allows.
    pub(crate) fn asks_for_upgrade(&self) -> bool {
        let mut protocols = self.lines.values(Field::Upgrade);
        let (Some(protocol), None) = (protocols.next(), protocols.next()) else {
            return false;
        };
        !self.is_old
            && self.framing == Framing::Length(0)
            && crate::base::headers::is_tunnelled(protocol)
            && self.options.upgrades
    }

    /// The head as a library has it, and the host; `None` where that knows no such target.
    pub(crate) fn to_parts(&self) -> Option<(Parts, HeaderValue)> {
        let host = HeaderValue::from_str(self.host()).ok()?;
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(self.target().parse().ok()?);
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = http::Uri::from_parts(uri).ok()?;
        parts.method = self.method.clone();
        for line in self.lines.iter() {
            let name = HeaderName::from_bytes(self.lines.name(line)).ok()?;
            let value = HeaderValue::from_bytes(self.lines.value(line)).ok()?;
            match line.field {
                Field::Host => drop(parts.headers.insert(name, host.clone())),
                _ => drop(parts.headers.append(name, value)),
            }
        }
        Some((parts, host))
    }

    /// Fields that `Connection` names beside its usual options.
    pub(crate) fn nominated(&self) -> impl Iterator<Item = &[u8]> {
        self.lines
            .values(Field::Connection)
            .flat_map(crate::base::headers::members)
    }
}

/// What is too long: the head, or already its first line, however much came behind that.
fn too_long(bytes: &[u8], bounds: Bounds) -> Fault {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    match line.is_none_or(|end| end >= bounds.bytes) {
        true => Fault::TargetTooLong,
        false => Fault::TooLarge,
    }
}

fn check_method(method: &Method) -> Result<(), Fault> {
    match *method {
        Method::CONNECT => Err(Fault::Bad(
            "CONNECT without a protocol: this is not a forward proxy",
        )),
        // It would show the fields that the gateway and proxies before it added.
        Method::TRACE => Err(Fault::Method("TRACE is not passed on")),
        _ => Ok(()),
    }
}

/// Where the only `Host` is.
fn field_host(lines: &Lines, is_old: bool) -> Result<Range<u32>, Fault> {
    let mut hosts = lines.iter().filter(|line| line.field == Field::Host);
    match (hosts.next(), hosts.next()) {
        (Some(line), None) => Ok(line.place()),
        (None, _) if is_old => Ok(0..0),
        (None, _) => Err(Fault::Bad("no Host")),
        (Some(_), Some(_)) => Err(Fault::Bad("more than one Host")),
    }
}

/// A name or address and perhaps a port, of a stricter alphabet than RFC 3986 allows: what DNS, IP
/// addresses and container names use.
fn check_host(host: &[u8], may_be_empty: bool) -> Result<(), Fault> {
    match host.is_empty() {
        true if may_be_empty => Ok(()),
        _ if host.len() <= HOST_LEN_MAX => {
            crate::base::headers::check_host(host).map_err(Fault::Bad)
        }
        _ => Err(Fault::Bad("Host is longer than any name")),
    }
}

/// How the body is framed. Anything but one length or exactly one `chunked` is read differently by
/// different servers.
fn framing(lines: &Lines, is_old: bool) -> Result<Framing, Fault> {
    let mut codings = lines.values(Field::TransferEncoding);
    let length = one_length(lines.values(Field::ContentLength));
    match (codings.next(), codings.next()) {
        (None, _) => length
            .map(|length| Framing::Length(length.unwrap_or(0)))
            .map_err(|_| Fault::Bad("Content-Length is not one number")),
        (Some(_), _) if is_old => Err(Fault::Bad("HTTP/1.0 knows no Transfer-Encoding")),
        (Some(_), _) if length != Ok(None) => {
            Err(Fault::Bad("both Content-Length and Transfer-Encoding"))
        }
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        _ => Err(Fault::Bad("Transfer-Encoding other than chunked")),
    }
}

#[cfg(test)]
mod tests;
