//! Connections as bytes: what is read from and written to a socket, TLS, and how many there may be.

pub(crate) mod client_gone;
pub(crate) mod connection;
pub(crate) mod crowd;
pub(crate) mod dead_peer;
pub(crate) mod io;
pub(crate) mod linger;
pub(crate) mod proxy_header;
pub(crate) mod read_through;
pub(crate) mod rejection;
pub(crate) mod small_writes;
pub(crate) mod terms;
pub(crate) mod tls;
