//! Sockets: bound and accepted on.
//!
//! Every thread of the gateway has its own socket for an address (`SO_REUSEPORT`), so that the
//! kernel spreads connections and threads share no accept queue. Accepting is done here and not by
//! pingora-core, which would spin when the whole machine is out of descriptors.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use pingora_core::server::ShutdownWatch;
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::begin::App;
use crate::socket::dead_peer;

/// When this machine lacks what it takes to accept a connection, it is tried again after so long. The
/// connections wait in the kernel meanwhile.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Connections the kernel holds for us until they are accepted; it lowers this to `somaxconn`.
const BACKLOG: i32 = 65_535;

/// The sockets of one address, one per thread.
pub(crate) struct Bound {
    /// The address, with the port that was taken if the user asked for port 0.
    pub(crate) address: SocketAddr,
    /// The sockets.
    pub(crate) sockets: Vec<OwnedFd>,
}

/// Binds `count` sockets to `address`.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Bound> {
    // `SO_REUSEPORT` would let two gateways share a port without either noticing, and requests
    // would go to one or the other. A socket without it fails when somebody is there already.
    drop(TcpListener::bind(address)?);
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        dead_peer::watch(SockRef::from(&socket))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        if address.port() == 0 {
            address = socket
                .local_addr()?
                .as_socket()
                .ok_or_else(|| io::Error::other("a TCP socket without an IP address"))?;
        }
        sockets.push(OwnedFd::from(socket));
    }
    Ok(Bound { address, sockets })
}

/// Accepts connections on `socket` and hands each to `app` until `shutdown` says true.
pub(crate) async fn accept(socket: OwnedFd, app: Arc<App>, mut shutdown: ShutdownWatch) {
    let listener = match tokio::net::TcpListener::from_std(TcpListener::from(socket)) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "no connections can be accepted");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that whoever could say it is gone.
            _ = shutdown.wait_for(|&down| down) => return,
        };
        match accepted {
            Ok((stream, peer)) => app.begin(stream, peer, &shutdown),
            // It was over before it began.
            Err(error) if is_over(&error) => {}
            Err(error) => {
                app.cannot_accept(&error);
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Whether only one connection is at an end, and not what it takes to accept any. Linux tells by `accept`
/// what had happened to a connection before it was accepted.
fn is_over(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    let of_one = matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
    );
    of_one || error.raw_os_error() == Some(Errno::PROTO.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> bool {
        is_over(&io::Error::from_raw_os_error(errno.raw_os_error()))
    }

    #[test]
    fn a_full_table_of_files_is_waited_for_be_it_the_process_or_the_machine_that_has_it() {
        // The last: a sandbox that allows no `accept` at all. Without a wait that would be asked for ever.
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::PERM,
        ] {
            assert!(!of(errno), "{errno:?}");
        }
    }

    #[test]
    fn what_happened_to_one_connection_makes_no_other_wait() {
        for errno in [
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::PROTO,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::NETDOWN,
            Errno::INTR,
        ] {
            assert!(of(errno), "{errno:?}");
        }
    }
}
