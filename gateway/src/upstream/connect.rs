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

/// Why no connection to a worker was opened.
#[derive(Debug)]
pub(crate) struct ConnectError {
    /// In words.
    pub(crate) text: String,
    /// Whether this machine had not what it takes. That is no fault of the worker.
    pub(crate) is_local: bool,
}

impl ConnectError {
    /// The worker did not do its part.
    pub(super) fn of_worker(text: String) -> Self {
        Self {
            text,
            is_local: false,
        }
    }
}

/// Connects within `timeout`. Errors are worded for people.
pub(super) async fn connect(
    address: SocketAddr,
    timeout: Duration,
    places: &Arc<Places>,
) -> Result<Connected, ConnectError> {
    let opened = async {
        match places.are_taken() {
            // As if there were no descriptor left: the rest are for others.
            true => Err(Errno::MFILE.into()),
            false => TcpStream::connect(address).await,
        }
    };
    let stream = match tokio::time::timeout(timeout, opened).await {
        Ok(stream) => stream.and_then(prepared),
        Err(_) => {
            let text = format!("no connection to {address} within {timeout:?}");
            return Err(ConnectError::of_worker(text));
        }
    };
    stream
        .map(|stream| TokioIo::new(SmallWrites(Watched::new(stream, places))))
        .map_err(|error| ConnectError {
            text: format!("no connection to {address}: {error}"),
            is_local: is_local(&error),
        })
}

/// Whether an error says that something is used up on this machine: descriptors, ports or memory.
fn is_local(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::ADDRNOTAVAIL | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Small writes (a token, a header) must leave at once.
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    dead_peer::watch(SockRef::from(&stream))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_here_is_no_fault_of_the_workers() {
        let is_local = |errno: Errno| is_local(&errno.into());
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::ADDRNOTAVAIL,
            Errno::NOBUFS,
            Errno::NOMEM,
        ] {
            assert!(is_local(errno), "{errno}");
        }
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::HOSTUNREACH,
        ] {
            assert!(!is_local(errno), "{errno}");
        }
    }
}
