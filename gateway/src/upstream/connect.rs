//! Opening a TCP connection to a worker.

use std::{io, net::SocketAddr, time::Duration};

use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{dead_peer, small_writes::SmallWrites};

/// Connects within `timeout`. Errors are worded for people.
pub(super) async fn connect(
    address: SocketAddr,
    timeout: Duration,
) -> Result<TokioIo<SmallWrites<TcpStream>>, String> {
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(stream) => stream.and_then(prepared),
        Err(_) => return Err(format!("no connection to {address} within {timeout:?}")),
    };
    stream
        .map(|stream| TokioIo::new(SmallWrites(stream)))
        .map_err(|error| format!("no connection to {address}: {error}"))
}

/// Small writes (a token, a header) must leave at once.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    dead_peer::watch(SockRef::from(&stream))?;
    Ok(stream)
}
