//! Sockets: bound here, accepted on by pingora-core.
//!
//! Every thread of the gateway has its own socket for an address (`SO_REUSEPORT`), so that the
//! kernel spreads connections and threads share no accept queue. pingora-core takes the sockets
//! from its descriptor table, which is why port 0 works and the bound address is known.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::{IntoRawFd, OwnedFd},
    sync::Arc,
};

use parking_lot::Mutex;
use pingora_core::{
    apps::ServerApp,
    listeners::ListenerConfig,
    protocols::l4::stream::L4BufferSettings,
    server::{Fds, ListenFds, ShutdownWatch},
    services::{Service as _, listening::Service},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::dead_peer;

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
pub(crate) async fn accept<A>(address: SocketAddr, socket: OwnedFd, app: A, shutdown: ShutdownWatch)
where
    A: ServerApp + Send + Sync + 'static,
{
    let key = address.to_string();
    let mut fds = Fds::new();
    fds.add(key.clone(), socket.into_raw_fd());
    let fds: ListenFds = Arc::new(Mutex::new(fds));
    let mut service = Service::new(key.clone(), app);
    // hyper has buffers of its own; a second layer would only cost memory and copies.
    service.add_listener(ListenerConfig::tcp(key).l4_buffer(L4BufferSettings::unbuffered()));
    service.start_service(Some(fds), shutdown, 1).await;
}
