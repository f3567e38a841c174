//! Where requests go: resolved once, connected to as often as needed.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use http::Uri;
use penstock_config::{Protocol, Trust, WorkerTls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// Longest time for a connection, its TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A host and its addresses.
pub(super) struct Endpoint {
    addresses: Vec<SocketAddr>,
    protocol: Protocol,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Endpoint {
    /// Resolves the host of `uri`.
    ///
    /// # Errors
    ///
    /// The scheme is neither `http` nor `https`, the name is not known, or the certificates of
    /// authorities cannot be read.
    pub(super) async fn of(uri: &Uri, protocol: Protocol, trust: &Trust) -> anyhow::Result<Self> {
        let host = uri.host().context("the URL has no host")?;
        let (is_tls, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => bail!("the URL must begin with http:// or https://"),
        };
        let port = uri.port_u16().unwrap_or(port);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let addresses: Vec<_> = found
            .with_context(|| format!("cannot find the address of {host}"))?
            .collect();
        if addresses.is_empty() {
            bail!("{host} has no address");
        }
        let tls = if is_tls {
            let tls = WorkerTls::new(trust, None, None).map_err(anyhow::Error::msg)?;
            let name = tls.name_of(host).map_err(anyhow::Error::msg)?;
            Some((tls.client(protocol).clone().into(), name))
        } else {
            None
        };
        Ok(Self {
            addresses,
            protocol,
            tls,
        })
    }

    /// What is spoken there.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// No address takes one within ten seconds, or it does not speak what it should.
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        timeout(CONNECT, self.connect_in_time())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn connect_in_time(&self) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect(&*self.addresses).await?;
        tcp.set_nodelay(true)?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let tls = connector.connect(name.clone(), tcp).await?;
        let agreed = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.protocol == Protocol::H2 && !agreed {
            return Err(io::Error::other("it does not offer HTTP/2"));
        }
        Ok(Box::new(tls))
    }
}
