//! Opening a connection to a worker.

use std::{
    io,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use penstock_config::{Protocol, WorkerTls, is_shortage};
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    watched::{Place, Places, Watched},
    wire::Wire,
};
use crate::{
    fleet::worker::WorkerState,
    socket::{dead_peer, small_writes::SmallWrites, tls::MaybeTls},
};

/// The bytes of a connection to a worker.
pub(crate) type WorkerStream = MaybeTls<TcpStream, TlsStream<TcpStream>>;

impl AsRawFd for WorkerStream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }
}

/// A connection to a worker.
pub(super) type Connected = TokioIo<SmallWrites<Watched<WorkerStream>>>;

/// Why no connection to a worker was opened.
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// In words.
    pub(crate) text: String,
    /// Whose fault it is.
    pub(crate) fault: Fault,
}

/// Whose fault it is that no connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The worker did not do its part.
    Worker,
    /// The worker takes nothing at the moment, and says so.
    Busy,
    /// This machine ran out of descriptors, ports or memory.
    Here,
}

impl ConnectError {
    /// The worker did not do its part.
    pub(super) fn of_worker(text: String) -> Self {
        Self {
            text,
            fault: Fault::Worker,
        }
    }

    /// The worker takes nothing at the moment.
    pub(super) fn of_busy_worker(text: String) -> Self {
        Self {
            text,
            fault: Fault::Busy,
        }
    }
}

/// Connects within `timeout`, TLS included. Errors are worded for people.
pub(super) async fn connect(
    worker: &WorkerState,
    wire: &Wire,
    timeout: Duration,
    places: &Arc<Places>,
) -> Result<(WorkerStream, Place), ConnectError> {
    let address = worker.address;
    let opened = async {
        let stream = match places.are_taken() {
            // As if there were no descriptor left: the rest are for others.
            true => Err(Errno::MFILE.into()),
            false => TcpStream::connect(address).await,
        };
        let stream = stream.and_then(prepared).map_err(|error| ConnectError {
            text: format!("no connection to {address}: {error}"),
            fault: match is_shortage(&error) {
                true => Fault::Here,
                false => Fault::Worker,
            },
        })?;
        match &wire.tls {
            None => Ok(WorkerStream::Plain(stream)),
            // Boxed, because the future is large and most workers are reached without.
            Some(tls) => Box::pin(secure(stream, worker, tls, wire.protocol))
                .await
                .map_err(ConnectError::of_worker),
        }
    };
    match tokio::time::timeout(timeout, opened).await {
        Ok(opened) => opened.map(|stream| (stream, places.take())),
        Err(_) => {
            let text = format!("no connection to {address} within {timeout:?}");
            Err(ConnectError::of_worker(text))
        }
    }
}

async fn secure(
    stream: TcpStream,
    worker: &WorkerState,
    tls: &WorkerTls,
    protocol: Protocol,
) -> Result<WorkerStream, String> {
    let address = worker.address;
    let name: ServerName<'static> = match &worker.host {
        Some(host) => tls.name_of(host)?,
        None => ServerName::IpAddress(address.ip().into()),
    };
    let connector = TlsConnector::from(tls.client(protocol).clone());
    let secured = connector.connect(name, stream).await;
    let secured = secured.map_err(|error| format!("no TLS connection to {address}: {error}"))?;
    let agreed = secured.get_ref().1.alpn_protocol();
    if protocol == Protocol::H2 && agreed != Some(b"h2") {
        return Err(format!("{address} does not offer HTTP/2 by ALPN"));
    }
    Ok(WorkerStream::Tls(Box::new(secured)))
}

/// Small writes (a token, a header) must leave at once.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    dead_peer::watch(SockRef::from(&stream))?;
    Ok(stream)
}
