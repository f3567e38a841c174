//! Clients: HTTP/1.1 and HTTP/2 by hyper, raw TCP.

mod raw;
mod secured;
mod sse;
mod websocket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::net::TcpStream;

use super::{Task, answered};

pub(crate) use raw::RawConnection;
pub(crate) use secured::{Stream, secure, trusting};
pub(crate) use sse::Events;
pub(crate) use websocket::{extended_connect, over_h1, over_h2};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = BoxBody<Bytes, BoxError>;

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body whose pieces the test sends one by one. Dropping the sender ends it.
pub(crate) fn by_pieces() -> (http_body_util::channel::Sender<Bytes, BoxError>, Body) {
    let (sender, body) = http_body_util::channel::Channel::new(1);
    (sender, body.boxed())
}

/// Sends requests for one host to one address, each over a connection of its own unless
/// [`Client::connect`] is used.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    version: http::Version,
    tls: Option<Arc<ClientConfig>>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr, host: impl Into<String>) -> Self {
        Self {
            address,
            host: host.into(),
            version: http::Version::HTTP_11,
            tls: None,
        }
    }

    /// The same over HTTP/2 with prior knowledge.
    pub(crate) fn h2(&self) -> Self {
        Self {
            version: http::Version::HTTP_2,
            ..self.clone()
        }
    }

    /// The same by HTTPS, trusting the certificates of this PEM text.
    pub(crate) fn https(&self, pem: &str) -> Self {
        let alpn: &[u8] = match self.version {
            http::Version::HTTP_2 => b"h2",
            _ => b"http/1.1",
        };
        Self {
            tls: Some(trusting(pem, &[alpn])),
            ..self.clone()
        }
    }

    /// The whole answer to a GET.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, empty()).await.whole().await
    }

    /// The whole answer to a POST.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Reply {
        self.send(Method::POST, path, full(body))
            .await
            .whole()
            .await
    }

    /// Sends a request and returns with the head of the answer.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Body) -> Exchange {
        self.send_with(method, path, &[], body).await
    }

    /// The same with further headers.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Exchange {
        let mut request = self.request(method, path, body);
        for (name, value) in headers {
            request.headers_mut().append(
                http::HeaderName::try_from(*name).unwrap(),
                value.parse().unwrap(),
            );
        }
        let what = format!("answer to {} {}{path}", request.method(), self.host);
        answered(&what, self.try_send(request)).await.expect(&what)
    }

    /// Sends a request; the error is what the client saw.
    pub(crate) async fn try_send(&self, request: Request<Body>) -> Result<Exchange, BoxError> {
        let mut connection = self.connect().await?;
        let response = connection.send(request).await?;
        Ok(Exchange {
            response,
            _connection: connection,
        })
    }

    /// A request as this client's protocol wants it.
    pub(crate) fn request(&self, method: Method, path: &str, body: Body) -> Request<Body> {
        let request = Request::builder().method(method);
        let request = if self.version == http::Version::HTTP_2 {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            request.uri(format!("{scheme}://{}{path}", self.host))
        } else {
            request.uri(path).header(HOST, &self.host)
        };
        request.version(self.version).body(body).unwrap()
    }

    /// A connection on which nothing was said yet.
    async fn stream(&self) -> Result<Stream, BoxError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Tls(Box::new(secure(stream, &self.host, tls).await?)),
        })
    }

    pub(crate) async fn connect(&self) -> Result<Connection, BoxError> {
        let io = TokioIo::new(self.stream().await?);
        if self.version == http::Version::HTTP_2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .handshake(io)
                .await?;
            let task = Task::spawn(async { drop(connection.await) });
            Ok(Connection {
                sender: Sender::H2(sender),
                _task: task,
            })
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            let task = Task::spawn(async { drop(connection.with_upgrades().await) });
            Ok(Connection {
                sender: Sender::H1(sender),
                _task: task,
            })
        }
    }
}

/// A client's connection; closed when it is dropped.
pub(crate) struct Connection {
    sender: Sender,
    _task: Task,
}

enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Connection {
    pub(crate) fn is_h2(&self) -> bool {
        matches!(self.sender, Sender::H2(_))
    }

    /// Waits until it takes a request; false when it is closed.
    pub(crate) async fn is_usable(&mut self) -> bool {
        match &mut self.sender {
            Sender::H1(sender) => sender.ready().await.is_ok(),
            Sender::H2(sender) => sender.ready().await.is_ok(),
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::H2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

/// An answer whose body is still to come. Dropping it closes the connection: the client leaves.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    _connection: Connection,
}

impl Exchange {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Reads the answer to its end.
    pub(crate) async fn whole(self) -> Reply {
        answered("the end of an answer", self.try_whole())
            .await
            .expect("a whole answer")
    }

    /// Reads the answer to its end; the error is what the client saw.
    pub(crate) async fn try_whole(self) -> Result<Reply, BoxError> {
        let Self {
            response,
            _connection,
        } = self;
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        Ok(Reply {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        })
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: http::Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    /// A header's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of ASCII"))
    }

    /// Why the gateway itself answered; empty when a worker did.
    pub(crate) fn reason(&self) -> &str {
        self.header("x-penstock-reason")
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")
            .parse()
            .ok()
            .map(Duration::from_secs)
    }
}
