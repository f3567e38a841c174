//! Noticing a peer that vanished without a word, or that takes nothing any more.
//!
//! While an answer is being written, no clock of the request runs: a client may be slow. But one
//! whose machine is gone, or that stopped reading, would hold its place on a worker for ever, and a
//! tunnel has no clocks at all. So the kernel watches the connection.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};

/// Bytes that the peer neither acknowledges nor has room for may wait so long (`TCP_USER_TIMEOUT`).
const STUCK_MAX: Duration = Duration::from_secs(120);

/// An idle connection is tried after this time, and then this often.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// Has the kernel end the connection when its peer is dead. Connections that a listening socket
/// accepts are watched as it is.
pub(crate) fn watch(socket: SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(STUCK_MAX))
}
