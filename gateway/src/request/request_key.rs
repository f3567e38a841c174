//! What tells where a request belongs: a small borrowed view of its head, and keys read from it.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::net::IpAddr;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Method, Uri, request::Parts};
use penstock_config::KeySource;

use crate::{
    base::{
        grpc,
        headers::{self, Fields, Forwarding},
        networks::told_apart,
    },
    http1::{field::Field, request::Request},
    socket::{connection::Connection, terms::Settings},
};

/// A request's head as everything sees it that decides about the request. Knows nothing of the engine.
#[derive(Clone, Copy)]
pub(crate) struct RequestHead<'a> {
    method: &'a Method,
    source: Source<'a>,
    peer: IpAddr,
    forwarding: &'a Forwarding,
    settings: &'a ArcSwap<Settings>,
    /// Name of the API key that it was let in with.
    pub(crate) api_key: Option<&'a str>,
}

/// Where the view looks.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// At what a library read.
    Map(&'a Uri, &'a HeaderMap),
    /// At the bytes as they came.
    Bytes(&'a Request),
}

/// What a request is told apart by, as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    /// As it stands in the request.
    Text(&'a [u8]),
    /// A client's address, see [`told_apart`].
    Address([u8; 16]),
}

impl<'a> RequestHead<'a> {
    /// The view of a request that came over `connection`.
    pub(crate) fn new(connection: &'a Connection, parts: &'a Parts) -> Self {
        let source = Source::Map(&parts.uri, &parts.headers);
        Self::over(connection, &parts.method, source)
    }

    /// The view of a request that came over `connection` as bytes.
    pub(crate) fn of_bytes(connection: &'a Connection, request: &'a Request) -> Self {
        Self::over(connection, &request.method, Source::Bytes(request))
    }

    /// The view of a request that came over `connection`, as it goes to workers. What is read of it is the
    /// same: the gateway's own words are those of a trusted proxy, or not asked for.
    pub(crate) fn outgoing<B>(connection: &'a Connection, request: &'a http::Request<B>) -> Self {
        let source = Source::Map(request.uri(), request.headers());
        Self::over(connection, request.method(), source)
    }

    fn over(connection: &'a Connection, method: &'a Method, source: Source<'a>) -> Self {
        Self {
            method,
            source,
            peer: connection.peer.ip(),
            forwarding: &connection.forwarding,
            settings: &connection.thread.shared.settings,
            api_key: None,
        }
    }

    /// The view of a request that came from 192.0.2.1.
    #[cfg(test)]
    pub(crate) fn of(
        parts: &'a Parts,
        forwarding: &'a Forwarding,
        settings: &'a ArcSwap<Settings>,
    ) -> Self {
        Self {
            method: &parts.method,
            source: Source::Map(&parts.uri, &parts.headers),
            peer: [192, 0, 2, 1].into(),
            forwarding,
            settings,
            api_key: None,
        }
    }

    /// The same with the API key that let it in.
    pub(crate) fn of_key<'k>(&self, key: Option<&'k NamedKey>) -> RequestHead<'k>
    where
        'a: 'k,
    {
        RequestHead {
            api_key: key.map(|key| &*key.name),
            ..*self
        }
    }

    /// The method.
    pub(crate) fn method(&self) -> &'a Method {
        self.method
    }

    /// The path as it came, percent-encoded and without the query.
    pub(crate) fn path(&self) -> &'a str {
        match self.source {
            Source::Map(uri, _) => uri.path(),
            Source::Bytes(request) => request.path(),
        }
    }

    /// The same as bytes.
    pub(crate) fn path_bytes(&self) -> &'a [u8] {
        match self.source {
            Source::Map(uri, _) => uri.path().as_bytes(),
            Source::Bytes(request) => request.path_bytes(),
        }
    }

    /// What the client gives a call of gRPC.
    pub(crate) fn grpc_timeout(&self) -> Option<&'a [u8]> {
        match self.source {
            Source::Map(_, headers) => headers.get(grpc::GRPC_TIMEOUT).map(HeaderValue::as_bytes),
            Source::Bytes(request) => request.lines.values(Field::GrpcTimeout).next(),
        }
    }

    /// The path with its query, as it came.
    pub(crate) fn target(&self) -> &'a str {
        match self.source {
            Source::Map(uri, _) => uri.path_and_query().map_or("/", |target| target.as_str()),
            Source::Bytes(request) => request.target(),
        }
    }

    /// All values of a header; the name in lower case.
    pub(crate) fn headers<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        // The target may name the host; over HTTP/2 it always does.
        let (map, bytes, authority) = match self.source {
            Source::Map(uri, headers) => {
                let authority = (name == "host" && !headers.contains_key("host"))
                    .then(|| uri.authority())
                    .flatten();
                (Some(headers), None, authority.map(|host| host.as_str()))
            }
            Source::Bytes(request) if name == "host" => (None, None, Some(request.host())),
            Source::Bytes(request) => (None, Some(&request.lines), None),
        };
        let map = map.into_iter().flat_map(move |map| map.all(name));
        let bytes = bytes.into_iter().flat_map(move |lines| lines.all(name));
        map.chain(bytes).chain(authority.map(str::as_bytes))
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers(name).next().is_some()
    }

    /// The first value of a cookie, without quotes around it.
    ///
    /// A client may send several of a name, the one for the longest path first (RFC 6265 §5.4), and
    /// over HTTP/2 on several lines.
    pub(crate) fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        self.headers("cookie").find_map(|line| {
            let mut pairs = line.split(|byte| *byte == b';');
            pairs.find_map(|pair| {
                let value = pair
                    .trim_ascii_start()
                    .strip_prefix(name.as_bytes())?
                    .trim_ascii_start()
                    .strip_prefix(b"=")?
                    .trim_ascii();
                let quoted = || value.strip_prefix(b"\"")?.strip_suffix(b"\"");
                Some(quoted().unwrap_or(value))
            })
        })
    }

    /// The first value of a query parameter, as it came: `%41` and `A` are two values, but the same
    /// in a name.
    pub(crate) fn query(&self, name: &str) -> Option<&'a [u8]> {
        let query = match self.source {
            Source::Map(uri, _) => uri.query(),
            Source::Bytes(request) => request.query(),
        };
        let mut pairs = query?.as_bytes().split(|byte| *byte == b'&');
        pairs.find_map(|pair| {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let (encoded, value) = (parts.next()?, parts.next().unwrap_or_default());
            Decoded(encoded).eq(name.bytes()).then_some(value)
        })
    }

    /// The client's address: behind trusted proxies the one that they name.
    pub(crate) fn client_address(&self) -> IpAddr {
        let peer = self.peer.to_canonical();
        if !self.forwarding.is_trusted() {
            return peer;
        }
        let settings = self.settings.load();
        let is_trusted = |hop| settings.trusted.contains(hop);
        match self.source {
            Source::Map(_, headers) => headers::client_address(headers, peer, is_trusted),
            Source::Bytes(request) => headers::client_address(&request.lines, peer, is_trusted),
        }
    }

    /// Whether the client came by HTTPS, here or to the trusted proxy in front.
    pub(crate) fn is_https(&self) -> bool {
        match self.source {
            Source::Map(_, headers) => self.forwarding.is_https(headers),
            Source::Bytes(request) => self.forwarding.is_https(&request.lines),
        }
    }

    /// The request's key. One that is empty is none: requests that have nothing in common but a
    /// missing value do not belong together.
    pub(crate) fn key(&self, source: &KeySource) -> Option<Key<'a>> {
        let text = match source {
            KeySource::Header(name) => self.headers(name).next(),
            KeySource::Cookie(name) => self.cookie(name),
            KeySource::Query(name) => self.query(name),
            KeySource::ApiKey => self.api_key.map(str::as_bytes),
            KeySource::ClientAddress => {
                let prefix = || self.settings.load().limits.ipv6_prefix;
                return Some(Key::Address(told_apart(self.client_address(), prefix)));
            }
        };
        text.filter(|text| !text.is_empty()).map(Key::Text)
    }

    /// A hash of the request's key, the same in every gateway.
    pub(crate) fn hash(&self, source: &KeySource) -> Option<u64> {
        Some(penstock_balancer::key(self.key(source)?.as_bytes()))
    }
}

impl Key<'_> {
    /// The key's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::Address(address) => address,
        }
    }
}

/// The API key that a request was let in with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedKey {
    /// What it is called in the file, and in logs.
    pub(crate) name: Box<str>,
    /// The models that it is for, at the front door alone; `None`: whatever the service has.
    pub(crate) models: Option<Box<[Box<str>]>>,
}

impl NamedKey {
    /// Whether it is for a model that was asked for at the front door.
    pub(crate) fn is_for(&self, model: &str) -> bool {
        let models = self.models.as_ref();
        models.is_none_or(|models| models.iter().any(|name| **name == *model))
    }
}

/// The bytes of a form-encoded name; an escape that is none stands for itself.
struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let escaped = |high, low| u8::try_from(digit(high)? * 16 + digit(low)?).ok();
        let (byte, width) = match self.0 {
            [b'%', high, low, ..] => escaped(*high, *low).map_or((b'%', 1), |byte| (byte, 3)),
            [b'+', ..] => (b' ', 1),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        self.0 = self.0.get(width..).unwrap_or_default();
        Some(byte)
    }
}

#[cfg(test)]
pub(crate) mod tests;
