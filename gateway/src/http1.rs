//! HTTP/1.1 as bytes: heads are parsed where they lie, bodies pass as they came, framing is checked. No
//! policy, and no I/O but in what says so.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod buffer;
pub(crate) mod chunked;
pub(crate) mod field;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod fuzzing;
pub(crate) mod lines;
mod plain;
pub(crate) mod request;
pub(crate) mod trailers;
pub(crate) mod values;
pub(crate) mod write;
