//! What leads a request to a service and on to a deployment.

pub(crate) mod hosts_and_paths;
mod known;
pub(crate) mod mirroring;
pub(crate) mod models;
pub(crate) mod split;
pub(crate) mod table;
