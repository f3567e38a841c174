//! What the user wrote, checked; and the two types in which gateway and control meet.
//!
//! A configuration file becomes, once, a [`Config`]: a value that cannot be wrong. Gateway and
//! control take it from there. While the program runs they exchange only the types of [`fleet`]:
//! snapshots go down to the gateway, load reports come up from it.

mod check;
mod deployment;
mod document;
mod error;
pub mod fleet;
mod key_path;
mod load;
mod name;
mod raw;
mod scaling;
mod schema;
mod service;
mod settings;
mod shape;
mod structure;
mod suggest;
pub mod units;

pub use deployment::{
    Deployment, Probe, ProbeKind, Probes, ProcessCommand, ProcessSpec, Source, StaticAddress,
};
pub use error::{ConfigError, ConfigErrors};
pub use load::{load, parse, watched_folders};
pub use name::{DeploymentName, NameError, ServiceName};
pub use scaling::{ConcurrencyRule, DownPace, Rule, Scaling, UpPace};
pub use schema::schema;
pub use service::{Balance, Protocol, Queue, Service, Split, Timeouts};
pub use settings::{
    AccessLog, Admin, Config, GatewaySettings, Gpus, Listener, LogFormat, RequestLimits, WorkerLogs,
};
