//! Connections to workers that control makes itself, and one request on such a connection: for probes, for
//! scrapes, and to put workers to sleep.

use std::{io, net::SocketAddr, sync::Arc};

use http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use penstock_config::{Deployment, Protocol, Source, StaticAddress, WorkerTls, is_shortage};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

/// What is asked, and of whom.
#[derive(Debug, Clone)]
pub(crate) struct Get<'g> {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<&'g Secured>,
    pub(crate) method: Method,
    pub(crate) path: &'g str,
    /// `Host` among them replaces the address.
    pub(crate) headers: &'g [(String, String)],
    /// What is sent.
    pub(crate) body: Bytes,
    /// Who asks.
    pub(crate) agent: &'static str,
}

/// A worker's answer. Its connection ends with it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    _connection: JoinSet<()>,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// In words.
    pub(crate) text: String,
    /// What is to blame.
    pub(crate) cause: Cause,
}

/// What is to blame when there is no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The worker: it did not answer, or not well.
    Worker,
    /// This machine had not what it takes to ask. That says nothing about the worker.
    Local,
    /// Something came, but no HTTP.
    NotHttp,
    /// Somebody else holds the worker's port, or it listens on another one.
    Port,
}

impl Failure {
    /// An error of the system, met while doing `what`.
    pub(crate) fn of_system(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        Self {
            text,
            cause: cause_of(error),
        }
    }

    pub(crate) fn is_local(&self) -> bool {
        self.cause == Cause::Local
    }
}

/// What a worker did not do.
impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self {
            text,
            cause: Cause::Worker,
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self {
            cause: match error.is_parse() {
                true => Cause::NotHttp,
                false => Cause::Worker,
            },
            text: shown(error),
        }
    }
}

fn cause_of(error: &io::Error) -> Cause {
    match is_shortage(error) {
        true => Cause::Local,
        false => Cause::Worker,
    }
}

/// TLS to one worker.
#[derive(Debug, Clone)]
pub(crate) struct Secured {
    tls: Arc<WorkerTls>,
    /// The host by which the user named it.
    host: String,
}

impl Secured {
    /// TLS to the worker that has a deployment's only address; `None` where there is none.
    pub(crate) fn of(spec: &Deployment) -> Option<Self> {
        let tls = Arc::clone(spec.tls.as_ref()?);
        let Source::Static(addresses) = &spec.source else {
            return None;
        };
        let host = StaticAddress::host_of(&addresses.first()?.address).to_owned();
        Some(Self { tls, host })
    }
}

/// A connection, with or without TLS.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A fresh connection for this protocol.
pub(crate) async fn open(
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<&Secured>,
) -> Result<Box<dyn Connection>, Failure> {
    let stream = connect(address).await?;
    let Some(Secured { tls, host }) = tls else {
        return Ok(Box::new(stream));
    };
    let connector = TlsConnector::from(Arc::clone(tls.client(protocol)));
    let secured = connector.connect(tls.name_of(host)?, stream).await;
    let secured = secured.map_err(|error| format!("TLS with {address}: {error}"))?;
    if protocol == Protocol::H2 && secured.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(format!("{address} does not offer HTTP/2 by ALPN").into());
    }
    Ok(Box::new(secured))
}

/// A fresh TCP connection.
pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| Failure::of_system(&format!("connecting to {address}"), &error))
}

impl Get<'_> {
    /// Asks, without a limit of time; an error says why there is no answer.
    pub(crate) async fn send(self) -> Result<Answer, Failure> {
        let (address, protocol, tls) = (self.address, self.protocol, self.tls);
        let request = self.request()?;
        let io = TokioIo::new(open(address, protocol, tls).await?);
        let mut connection = JoinSet::new();
        let response = match protocol {
            Protocol::Http1 => {
                let (mut sender, driver) = http1::handshake(io).await?;
                connection.spawn(async { drop(driver.await) });
                sender.send_request(request).await
            }
            Protocol::H2 => {
                let executor = TokioExecutor::new();
                let (mut sender, driver) = http2::handshake(executor, io).await?;
                connection.spawn(async { drop(driver.await) });
                sender.send_request(request).await
            }
        };
        Ok(Answer {
            response: response?,
            _connection: connection,
        })
    }

    fn request(self) -> Result<Request<Full<Bytes>>, String> {
        let (path, headers) = (self.path, self.headers);
        let is_host = |name: &str| name.eq_ignore_ascii_case("host");
        let host = headers.iter().find(|(name, _)| is_host(name));
        let host = host.map_or_else(|| self.address.to_string(), |(_, host)| host.clone());
        let uri = match self.protocol {
            Protocol::Http1 => path.parse::<Uri>(),
            Protocol::H2 => {
                let scheme = self.tls.map_or("http", |_| "https");
                format!("{scheme}://{host}{path}").parse()
            }
        };
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri.map_err(|error| format!("path {path}: {error}"))?;
        let agent = HeaderValue::from_static(self.agent);
        request.headers_mut().insert(header::USER_AGENT, agent);
        if self.protocol == Protocol::Http1 {
            let host = HeaderValue::try_from(host).map_err(|error| format!("host: {error}"))?;
            request.headers_mut().insert(header::HOST, host);
        }
        for (name, value) in headers.iter().filter(|(name, _)| !is_host(name)) {
            let wrong = |error: &dyn std::fmt::Display| format!("header {name}: {error}");
            let key = HeaderName::try_from(name).map_err(|error| wrong(&error))?;
            let value = HeaderValue::try_from(value).map_err(|error| wrong(&error))?;
            request.headers_mut().insert(key, value);
        }
        Ok(request)
    }
}

/// An error with its causes: hyper's own text names only the stage.
pub(crate) fn shown(error: hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
