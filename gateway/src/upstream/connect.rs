//! Opening a TCP connection to a worker.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::watched::{Places, Watched};
use crate::{dead_peer, small_writes::SmallWrites};

/// A connection to a worker.
pub(super) type Connected = TokioIo<SmallWrites<Watched<TcpStream>>>;

/// Connects within `timeout`. Errors are worded for people.
pub(super) async fn connect(
    address: SocketAddr,
    timeout: Duration,
    places: &Arc<Places>,
) -> Result<Connected, String> {
    let opened = async {
        match places.are_taken() {
            // As if there were no descriptor left: the rest are for others.
            true => Err(Errno::MFILE.into()),
            false => TcpStream::connect(address).await,
        }
    };
    let stream = match tokio::time::timeout(timeout, opened).await {
        Ok(stream) => stream.and_then(prepared),
        Err(_) => return Err(format!("no connection to {address} within {timeout:?}")),
    };
    stream
        .map(|stream| TokioIo::new(SmallWrites(Watched::new(stream, places))))
        .map_err(|error| format!("no connection to {address}: {error}"))
}

/// Small writes (a token, a header) must leave at once.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    dead_peer::watch(SockRef::from(&stream))?;
    Ok(stream)
}
