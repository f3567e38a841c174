//! The data plane.

mod grpc;
mod headers;
mod problem;
mod reason;
mod route;
mod trusted;
