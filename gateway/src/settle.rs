//! The account of a request, and what its thread keeps and shares with the others.
//!
//! An account is settled when it is dropped, on whatever way out.

pub(crate) mod access_log;
pub(crate) mod exchange;
pub(crate) mod original;
pub(crate) mod thread;
pub(crate) mod upload;
