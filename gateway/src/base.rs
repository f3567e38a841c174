//! What everything stands on: reasons, refusals and the answers made of them, header fields, time,
//! lines of a log.

pub(crate) mod alarm;
pub(crate) mod clock;
pub(crate) mod date;
pub(crate) mod dialect;
pub(crate) mod grpc;
pub(crate) mod headers;
pub(crate) mod lines;
pub(crate) mod luck;
pub(crate) mod networks;
pub(crate) mod pace;
pub(crate) mod problem;
pub(crate) mod reason;
pub(crate) mod refusal;
pub(crate) mod reserve;
pub(crate) mod shards;
pub(crate) mod swept;
pub(crate) mod tally;
pub(crate) mod timer;
pub(crate) mod wait_notice;
