//! The request as the worker gets it, and the upgrade it may ask for.

use base64::{Engine, prelude::BASE64_STANDARD};
use h2::ext::Protocol as Extended;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{
        CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
    uri::{PathAndQuery, Scheme},
};
use http_body::Body as _;
use hyper::upgrade::OnUpgrade;
use penstock_config::Protocol;
use tokio::sync::oneshot;

use crate::{
    base::{
        grpc,
        headers::{self, Named, Onward},
        reason::Reason,
        refusal::Refusal,
    },
    http2::{Content, Incoming, Tunnel},
    settle::exchange::Exchange,
    stream::{request_body::UpstreamBody, tunnel::End},
    upstream::Wire,
};

/// A request ready to be sent.
pub(crate) struct Outgoing {
    /// The request.
    pub(crate) request: Request<UpstreamBody>,
    /// The upgrade it asks for, if any.
    pub(crate) wanted: Option<Wanted>,
}

/// An upgrade the client asked for, in one of its two forms.
pub(crate) enum Wanted {
    /// `Connection: upgrade` on HTTP/1.1 (RFC 9110 §7.8).
    H1(OnUpgrade),
    /// Extended CONNECT on HTTP/2 (RFC 8441), with the protocol's name.
    H2(oneshot::Receiver<Tunnel>, Extended),
}

impl Wanted {
    /// The upgrade `request` asks for, if any.
    pub(crate) fn of(request: &mut Request<Incoming>, named: Named) -> Option<Self> {
        if request.method() == Method::CONNECT {
            let protocol = request.extensions().get::<Extended>().cloned()?;
            return match std::mem::take(request.body_mut()) {
                Incoming::Http2(Content::Asked(tunnel)) => Some(Self::H2(tunnel, protocol)),
                _ => None,
            };
        }
        let asked = named.has(Named::UPGRADE)
            && headers::requested_upgrade(request.version(), request.headers());
        asked.then(|| Self::H1(hyper::upgrade::on(request)))
    }

    /// Whether `response` agrees to an upgrade that was asked for.
    pub(crate) fn is_accepted_by<B>(response: &Response<B>) -> bool {
        let status = response.status();
        status == StatusCode::SWITCHING_PROTOCOLS
            || (response.version() == Version::HTTP_2 && status.is_success())
    }

    /// If the worker agreed: both ends, and the status the client must see.
    pub(crate) fn accepted(
        self,
        response: &mut Response<Incoming>,
    ) -> Option<(End, End, StatusCode)> {
        if !Self::is_accepted_by(response) {
            return None;
        }
        let upstream = match std::mem::take(response.body_mut()) {
            Incoming::Http2(Content::Tunnel(tunnel)) => End::Http2(tunnel),
            _ => End::Http1(hyper::upgrade::on(&mut *response)),
        };
        match self {
            Self::H1(downstream) => {
                let downstream = End::Http1(downstream);
                Some((downstream, upstream, StatusCode::SWITCHING_PROTOCOLS))
            }
            Self::H2(downstream, _) => {
                // The handshake's proof is for HTTP/1.1 only.
                response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
                Some((End::Asked(downstream), upstream, StatusCode::OK))
            }
        }
    }
}

impl Outgoing {
    /// Makes the worker's request of the client's, which has the fields `named`.
    pub(crate) fn prepare(
        parts: Parts,
        named: Named,
        body: UpstreamBody,
        host: &HeaderValue,
        wire: &Wire,
        wanted: Option<Wanted>,
        exchange: &Exchange,
    ) -> Result<Self, Refusal> {
        let protocol = wire.protocol;
        // HTTP/1.1 upgrades end at a worker that speaks HTTP/2; it answers the plain request.
        let wanted =
            wanted.filter(|wanted| protocol == Protocol::Http1 || matches!(wanted, Wanted::H2(..)));
        let onward = Onward {
            protocol,
            upgrade: matches!(wanted, Some(Wanted::H1(_))),
        };
        let mut headers = parts.headers;
        headers::prepare_request(&mut headers, named, exchange.forwarding(), host, onward);
        if let Some((deadline, Reason::Deadline)) = exchange.deadline {
            let left = deadline.saturating_sub(exchange.clock().now());
            headers.insert(grpc::GRPC_TIMEOUT, grpc::format_timeout(left));
        }
        if protocol == Protocol::Http1 && body.size_hint().exact().is_none() {
            // Else hyper would leave out the body of a GET whose length is not known.
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let mut request = Request::new(body);
        // Where interim answers are told, among others.
        *request.extensions_mut() = parts.extensions;
        *request.method_mut() = parts.method;
        if let Some(Wanted::H2(_, extended)) = &wanted {
            match protocol {
                Protocol::H2 => {
                    request.extensions_mut().insert(extended.clone());
                }
                Protocol::Http1 => {
                    *request.method_mut() = Method::GET;
                    ask_for_upgrade(&mut headers, extended)?;
                }
            }
        }
        *request.uri_mut() = target(&parts.uri, host, wire)?;
        *request.version_mut() = version(protocol);
        *request.headers_mut() = headers;
        Ok(Self { request, wanted })
    }
}

/// Rewrites a request that was prepared for other workers. Nothing changes where these are spoken to in
/// the same way.
pub(crate) fn suit(request: &mut Request<UpstreamBody>, wire: &Wire) -> Result<(), Refusal> {
    let version = version(wire.protocol);
    if request.version() == version && wire.protocol == Protocol::Http1 {
        return Ok(());
    }
    let host = match (request.headers().get(HOST), request.uri().authority()) {
        (Some(host), _) => Ok(host.clone()),
        (None, authority) => HeaderValue::from_str(authority.map_or("", |host| host.as_str())),
    };
    let host = host.map_err(|_| Refusal::new(Reason::BadRequest, "the request has no host"))?;
    *request.uri_mut() = target(request.uri(), &host, wire)?;
    if request.version() == version {
        return Ok(());
    }
    *request.version_mut() = version;
    headers::suit(request.headers_mut(), &host, wire.protocol);
    if wire.protocol == Protocol::Http1 && request.body().size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    Ok(())
}

fn version(protocol: Protocol) -> Version {
    match protocol {
        Protocol::Http1 => Version::HTTP_11,
        Protocol::H2 => Version::HTTP_2,
    }
}

/// Writes an extended CONNECT as the HTTP/1.1 handshake it stands for (RFC 8441 §5).
fn ask_for_upgrade(headers: &mut HeaderMap, extended: &Extended) -> Result<(), Refusal> {
    let protocol = HeaderValue::from_str(extended.as_str())
        .map_err(|_| Refusal::new(Reason::BadRequest, ":protocol is not a header value"))?;
    headers.remove(TE);
    headers.insert(UPGRADE, protocol);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // RFC 6455 §4.1: 16 random bytes, base64.
    let key = BASE64_STANDARD.encode(rand::random::<[u8; 16]>());
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    headers
        .entry(HeaderName::from_static("sec-websocket-version"))
        .or_insert(HeaderValue::from_static("13"));
    Ok(())
}

/// The request target in the form the worker's protocol wants: a path, or a URI with authority.
fn target(uri: &Uri, host: &HeaderValue, wire: &Wire) -> Result<Uri, Refusal> {
    if wire.protocol == Protocol::Http1 && uri.authority().is_none() {
        return Ok(uri.clone());
    }
    let path = uri
        .path_and_query()
        .cloned()
        .unwrap_or(PathAndQuery::from_static("/"));
    let mut target = http::uri::Parts::default();
    target.path_and_query = Some(path);
    if wire.protocol == Protocol::H2 {
        let scheme = wire.tls.as_ref().map_or(Scheme::HTTP, |_| Scheme::HTTPS);
        target.scheme = Some(scheme);
        target.authority = host.to_str().ok().and_then(|host| host.parse().ok());
    }
    Uri::from_parts(target)
        .map_err(|_| Refusal::new(Reason::BadRequest, "the request has no valid host"))
}
