//! What the user wrote, checked; and the two types in which gateway and control meet.
//!
//! A configuration file becomes, once, a [`Config`]: a value that cannot be wrong. Gateway and
//! control take it from there. While the program runs they exchange only the types of [`fleet`]:
//! snapshots go down to the gateway, load reports come up from it.
//!
//! # From file to [`Config`]
//!
//! [`load`](load()) reports everything that is wrong at once, so it takes four steps:
//!
//! 1. `document` reads TOML and keeps the place of every value; `load::include` does so for further
//!    files. `load::fill_in` fills in what strings take from the environment and from files.
//! 2. `structure` walks a file along its `shape` and reports unknown keys (with what was meant, from
//!    `suggest`), wrong types, ranges and formats. The shape comes from the JSON [`schema()`], and
//!    that from the types of `raw`: they are the one list of keys, defaults and ranges.
//! 3. What is right of the file is read into the types of `raw`.
//! 4. `check` makes a [`Config`] of them: defaults that depend on other keys, and rules about
//!    several keys.
//!
//! A new key is a field in `raw` and in the checked type, a line in `check`, and a line in
//! `examples/full.toml`, which a test misses.

mod access;
mod admin;
mod balance;
mod check;
mod container;
mod deployment;
mod document;
mod error;
pub mod fleet;
mod gpus;
mod health;
mod key_path;
mod load;
mod mirror;
mod models;
mod name;
mod raw;
mod request_key;
mod rollout;
mod scaling;
mod schema;
mod service;
mod settings;
mod shape;
mod shortage;
mod split;
mod structure;
mod suggest;
mod tls;
pub mod units;
mod update;

pub use access::{Access, ApiKey, DeploymentHosts, Limit, LimitKind};
pub use admin::{Admin, AdminToken, Role};
pub use balance::{Balance, Hash, Overflow};
pub use container::{ContainerNetwork, ContainerSpec, Containers, Pull, Volume, VolumeSource};
pub use deployment::{
    Deployment, MetricsPage, Probe, ProbeKind, Probes, ProcessCommand, ProcessSpec, Source,
    StaticAddress,
};
pub use error::{ConfigError, ConfigErrors};
pub use gpus::{GpuChoice, GpuGroup, GpuSource, Gpus};
pub use health::{Ejection, Retries};
pub use load::{load, parse, warnings, watched_files, watched_folders};
pub use mirror::Mirror;
pub use models::{FrontDoor, Model};
pub use name::{DeploymentName, GpuGroupName, NameError, ServiceName};
pub use request_key::KeySource;
pub use rollout::Rollout;
pub use scaling::{
    Activity, Adjustment, BacklogRule, ClockTime, ConcurrencyRule, DownPace, ForecastRule, Metric,
    QueueWaitRule, Rule, Scaling, ScalingMode, ScheduleRule, Statistic, Step, StepRule,
    TargetTrackingRule, UpPace, WorkerMetric,
};
pub use schema::schema;
pub use service::{MinRate, Protocol, Queue, Service, Timeouts, TokenUsage};
pub use settings::{
    AccessLog, AccessLogTo, Config, GatewaySettings, Listener, LogFormat, RequestLimits, WorkerLogs,
};
pub use shortage::is_shortage;
pub use split::{MatchRule, Split, Sticky, WhenCold};
pub use suggest::nearest;
pub use tls::{Certificate, ListenerTls, Trust, WorkerTls, provider};
pub use update::{Part, Update};
