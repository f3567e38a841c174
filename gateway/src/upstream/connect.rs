//! Opening a TCP connection to a worker.

use std::{io, net::SocketAddr, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::small_writes::SmallWrites;

/// Connects within `timeout`. Errors are worded for people.
pub(super) async fn connect(
    address: SocketAddr,
    timeout: Duration,
) -> Result<TokioIo<SmallWrites<TcpStream>>, String> {
    let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(stream) => stream.and_then(without_delay),
        Err(_) => return Err(format!("no connection to {address} within {timeout:?}")),
    };
    stream
        .map(|stream| TokioIo::new(SmallWrites(stream)))
        .map_err(|error| format!("no connection to {address}: {error}"))
}

/// Small writes (a token, a header) must leave at once.
fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
