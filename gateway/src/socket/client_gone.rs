//! Noticing that an HTTP/1 client left although its request body has not been read.
//!
//! hyper reads the socket only when somebody wants the body, and nobody does while the request is
//! queued. So the socket itself is watched: epoll reports the peer's FIN (`EPOLLRDHUP`) whatever
//! lies unread before it.

use std::{
    io,
    os::fd::{OwnedFd, RawFd},
    sync::OnceLock,
    time::Duration,
};

use pingora_core::protocols::SocketDigest;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::{io::Interest, net::TcpStream};

/// How often the socket's state is read where it cannot be watched.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// `TCP_ESTABLISHED` of Linux' `tcp_states.h`: every other state means that one side has closed.
const ESTABLISHED: u8 = 1;

/// `TCP_CLOSE` there: nothing is left of the connection.
const CLOSED: u8 = 7;

/// Returns when the client has closed its side of the connection `fd`, which must stay open
/// for as long as this runs.
pub(crate) async fn client_gone(fd: RawFd) {
    match duplicate(fd).and_then(|fd| TcpStream::from_std(fd.into())) {
        Ok(socket) => closed(&socket).await,
        Err(_) => looked_closed(fd).await,
    }
}

/// Returns when the peer's machine has said that nobody has the connection `fd` open there any more, which
/// it does when something is sent to it. `fd` must stay open for as long as this runs.
pub(crate) async fn client_reset(fd: RawFd) {
    match duplicate(fd).and_then(|fd| TcpStream::from_std(fd.into())) {
        // An error of the runtime itself tells as little as silence.
        Ok(socket) => drop(socket.ready(Interest::ERROR).await),
        Err(_) => {
            while state(fd) != Some(CLOSED) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

/// Whether neither side has closed the connection `fd`, which must be open, as far as the kernel knows.
pub(crate) fn is_established(fd: RawFd) -> bool {
    state(fd) == Some(ESTABLISHED)
}

fn state(fd: RawFd) -> Option<u8> {
    let info = SocketDigest::from_raw_fd(fd).tcp_info()?;
    Some(info.tcpi_state)
}

/// Bytes that the other side of the connection `fd`, which must be open, has acknowledged.
pub(crate) fn acknowledged(fd: RawFd) -> Option<u64> {
    let info = SocketDigest::from_raw_fd(fd).tcp_info()?;
    Some(info.tcpi_bytes_acked)
}

async fn closed(socket: &TcpStream) {
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // Nothing is read here: this only asks to be told of the next event.
                let _ = socket.try_io(Interest::READABLE, || -> io::Result<()> {
                    Err(io::ErrorKind::WouldBlock.into())
                });
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// A descriptor of our own for the same socket: `dup` by number is not to be had safely, but one
/// process may ask the kernel for any descriptor of its own. Sandboxes may forbid it.
fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    static SELF: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let this = SELF
        .get_or_init(|| pidfd_open(getpid(), PidfdFlags::empty()).ok())
        .as_ref()
        .ok_or(io::ErrorKind::Unsupported)?;
    Ok(pidfd_getfd(this, fd, PidfdGetfdFlags::empty())?)
}

async fn looked_closed(fd: RawFd) {
    while is_established(fd) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
