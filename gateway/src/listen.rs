//! Where connections come in: the addresses that are listened on, and the threads that serve them.

pub(crate) mod listener;
pub(crate) mod server;
