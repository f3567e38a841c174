//! Who asked: `X-Forwarded-For`, `-Host`, `-Proto` and `Forwarded` (RFC 7239).

use std::{io::Write, net::IpAddr, sync::OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::{Fields, Named, client, list};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Length of the longest address: IPv6 with an IPv4 address at its end.
const ADDRESS_MAX: usize = 45;

/// What one downstream connection adds to each of its requests, written once.
#[derive(Debug)]
pub(crate) struct Forwarding {
    trusted: bool,
    proto: &'static str,
    /// The peer.
    peer: IpAddr,
    /// The `Forwarded` element for the host that the connection asked for first. Nearly every
    /// connection asks for one host only.
    first: OnceLock<Box<Written>>,
    /// The same for requests that are written as bytes: the length of the host, and
    /// in one piece the host and all four lines.
    lines: OnceLock<(usize, Box<[u8]>)>,
}

/// The values for one host.
#[derive(Debug)]
struct Written {
    host: HeaderValue,
    element: HeaderValue,
    address: HeaderValue,
}

impl Forwarding {
    /// For a connection from `peer`. `trusted`: the peer is a proxy whose word is believed.
    pub(crate) fn new(peer: IpAddr, tls: bool, trusted: bool) -> Self {
        // A dual-stack socket shows IPv4 peers as `::ffff:192.0.2.1`.
        let peer = peer.to_canonical();
        let proto = if tls { "https" } else { "http" };
        Self {
            trusted,
            proto,
            peer,
            first: OnceLock::new(),
            lines: OnceLock::new(),
        }
    }

    /// Whether the peer is a proxy whose word is believed.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether the client of a request came by HTTPS, here or to the trusted proxy in front.
    pub(crate) fn is_https(&self, headers: &impl Fields) -> bool {
        self.proto == "https" || self.trusted && client::came_by_https(headers)
    }

    /// Writes the fields, after what a trusted proxy wrote and instead of what anybody else wrote.
    pub(super) fn write(&self, headers: &mut HeaderMap, named: Named, host: &HeaderValue) {
        if self.trusted {
            self.append(headers, host);
        } else {
            if named.has(Named::CLAIMS) {
                remove_claims(headers);
            }
            headers.insert(X_FORWARDED_FOR, self.first(host).address.clone());
            headers.insert(X_FORWARDED_HOST, host.clone());
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(self.proto));
            headers.insert(FORWARDED, self.element(host));
        }
    }

    /// Goes on with the lists of the proxy in front. When it wrote only one of the two, the other is
    /// not begun: it would name that proxy as if it were the client.
    fn append(&self, headers: &mut HeaderMap, host: &HeaderValue) {
        let had_for = headers.contains_key(X_FORWARDED_FOR);
        let had_forwarded = headers.contains_key(FORWARDED);
        if had_for {
            append(headers, X_FORWARDED_FOR, &self.first(host).address);
        } else if !had_forwarded {
            headers.insert(X_FORWARDED_FOR, self.first(host).address.clone());
        }
        if had_forwarded {
            append(headers, FORWARDED, &self.element(host));
        } else if !had_for {
            headers.insert(FORWARDED, self.element(host));
        }
        headers
            .entry(X_FORWARDED_HOST)
            .or_insert_with(|| host.clone());
        headers
            .entry(X_FORWARDED_PROTO)
            .or_insert_with(|| HeaderValue::from_static(self.proto));
    }

    /// As [`Self::write`], for a request that is written as bytes, of which the list fields are left out.
    pub(crate) fn write_lines(&self, out: &mut Vec<u8>, fields: &impl Fields, host: &[u8]) {
        if self.trusted {
            self.append_lines(out, fields, host);
            return;
        }
        let (length, first) = self.lines.get_or_init(|| {
            let mut first = host.to_vec();
            self.add_lines(&mut first, host);
            (host.len(), first.into())
        });
        match first.split_at_checked(*length) {
            Some((known, lines)) if known == host => out.extend_from_slice(lines),
            _ => self.add_lines(out, host),
        }
    }

    fn add_lines(&self, lines: &mut Vec<u8>, host: &[u8]) {
        let mut room = [0; ADDRESS_MAX];
        line(lines, "x-forwarded-for", &[self.address(&mut room)]);
        line(lines, "x-forwarded-host", &[host]);
        line(lines, "x-forwarded-proto", &[self.proto.as_bytes()]);
        line(lines, "forwarded", &[&self.element_bytes(host)]);
    }

    /// The peer's address, as `X-Forwarded-For` has it.
    fn address<'r>(&self, room: &'r mut [u8; ADDRESS_MAX]) -> &'r [u8] {
        let mut rest = &mut room[..];
        // There is room for every address.
        let _ = write!(rest, "{}", self.peer);
        let left = rest.len();
        room.get(..ADDRESS_MAX - left).unwrap_or_default()
    }

    /// As [`Self::append`].
    fn append_lines(&self, out: &mut Vec<u8>, fields: &impl Fields, host: &[u8]) {
        let mut room = [0; ADDRESS_MAX];
        let address = self.address(&mut room);
        let had_for = fields.has("x-forwarded-for");
        let had_forwarded = fields.has("forwarded");
        let with = |name: &'static str, last| {
            let before = fields.all(name).filter(|line| !line.is_empty());
            before.chain([last]).collect::<Vec<&[u8]>>()
        };
        if had_for || !had_forwarded {
            line(out, "x-forwarded-for", &with("x-forwarded-for", address));
        }
        if had_forwarded || !had_for {
            let element = self.element_bytes(host);
            line(out, "forwarded", &with("forwarded", &element));
        }
        if !fields.has("x-forwarded-host") {
            line(out, "x-forwarded-host", &[host]);
        }
        if !fields.has("x-forwarded-proto") {
            line(out, "x-forwarded-proto", &[self.proto.as_bytes()]);
        }
    }

    fn element(&self, host: &HeaderValue) -> HeaderValue {
        let first = self.first(host);
        match first.host == *host {
            true => first.element.clone(),
            false => self.write_element(host),
        }
    }

    /// The values for the host that was asked for first, which is this one where none was.
    fn first(&self, host: &HeaderValue) -> &Written {
        self.first.get_or_init(|| {
            let mut room = [0; ADDRESS_MAX];
            let address = HeaderValue::from_bytes(self.address(&mut room));
            Box::new(Written {
                host: host.clone(),
                element: self.write_element(host),
                address: address.expect("an address is ASCII"),
            })
        })
    }

    /// `for=192.0.2.1;host="example.org:80";proto=http`
    fn write_element(&self, host: &HeaderValue) -> HeaderValue {
        list::value_of(self.element_bytes(host.as_bytes()))
    }

    fn element_bytes(&self, host: &[u8]) -> Vec<u8> {
        let mut room = [0; ADDRESS_MAX];
        let address = self.address(&mut room);
        let mut element = Vec::with_capacity(96);
        element.extend_from_slice(b"for=");
        if address.contains(&b':') {
            // IPv6 is bracketed, and a colon needs quotes (RFC 7239 §6).
            element.extend_from_slice(b"\"[");
            element.extend_from_slice(address);
            element.extend_from_slice(b"]\"");
        } else {
            element.extend_from_slice(address);
        }
        element.extend_from_slice(b";host=");
        push_value(&mut element, host);
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(self.proto.as_bytes());
        element
    }
}

/// Writes a field of these list members on one line.
fn line(out: &mut Vec<u8>, name: &str, members: &[&[u8]]) {
    out.extend_from_slice(name.as_bytes());
    let mut separator = &b": "[..];
    for member in members {
        out.extend_from_slice(separator);
        out.extend_from_slice(member);
        separator = b", ";
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a parameter's value, as a token when it is one, else quoted (RFC 9110 §5.6).
fn push_value(element: &mut Vec<u8>, value: &[u8]) {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if !value.is_empty() && value.iter().all(is_token_byte) {
        element.extend_from_slice(value);
        return;
    }
    element.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            element.push(b'\\');
        }
        element.push(*byte);
    }
    element.push(b'"');
}

/// Adds a member to a list, on one line.
fn append(headers: &mut HeaderMap, name: HeaderName, member: &HeaderValue) {
    let mut joined = list::join(headers, &name, b", ");
    if !joined.is_empty() {
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(member.as_bytes());
    headers.insert(name, list::value_of(joined));
}

/// Removes what a client says about hops before it, beyond the fields that are overwritten anyway.
fn remove_claims(headers: &mut HeaderMap) {
    // Names in a list, because a client may send very many of them.
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_claim(name))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// `X-Forwarded-Port`, `-Prefix`, …, `X-Real-IP`; and all of them with underscores, which CGI-like
/// workers (WSGI) cannot tell from hyphens.
pub(super) fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str().as_bytes();
    let is = |pattern: &[u8], name: &[u8]| {
        pattern
            .iter()
            .zip(name)
            .all(|(p, n)| p == n || (*p == b'-' && *n == b'_'))
    };
    name.first() == Some(&b'x')
        && (name.len() > 12 && is(b"x-forwarded-", name)
            || name.len() == 9 && is(b"x-real-ip", name))
}

#[cfg(test)]
mod tests;
