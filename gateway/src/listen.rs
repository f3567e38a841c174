//! Where connections come in: the addresses that are listened on, and the threads that serve them.

mod begin;
pub(crate) mod listener;
pub(crate) mod server;
mod serving;
