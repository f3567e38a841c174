//! Exactly what a configuration file may hold: the one list of its keys, with their types, ranges
//! and defaults.
//!
//! The JSON Schema for editors is made from these types, and a file is walked along the same schema
//! before it is read into them (see `structure`). Their comments are what an editor shows, so they
//! are written for the person who writes the file. Rules that need more than one key are in `check`.

mod access;
mod admin;
mod balance;
mod container;
mod deployment;
mod gpus;
mod health;
mod metrics_page;
mod mirror;
mod models;
mod queue;
mod request_key;
mod rollout;
mod scaling;
mod service;
mod settings;
mod split;
pub(crate) mod text;
mod tls;
mod update;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use access::{ApiKey, Clients, DeploymentHosts, KeyHashes, Limit};
pub(crate) use admin::{Admin, AdminToken};
pub(crate) use balance::{Balance, Hash, Overflow};
pub(crate) use container::{Container, Containers, Pull};
pub(crate) use deployment::{Deployment, Probe, Probes, Process, Static, StaticAddress, WorkerTls};
pub(crate) use gpus::{GpuChoice, GpuGroup, Gpus};
pub(crate) use health::{Ejection, Retries};
pub(crate) use metrics_page::MetricsPage;
pub(crate) use mirror::Mirror;
pub(crate) use models::{FrontDoor, Model};
pub(crate) use queue::Queue;
pub(crate) use request_key::{ClientKey, RequestKey};
pub(crate) use rollout::Rollout;
pub(crate) use scaling::{
    Adjustment, DownPace, Rule, Scaling, ScalingMode, Statistic, Step, UpPace, anticipate,
    headroom, window,
};
pub(crate) use service::Service;
pub(crate) use settings::{
    AccessLog, AccessLogChoice, Gateway, Listener, LogFormat, ProxyProtocol, WorkerLogs,
};
pub(crate) use split::{MatchRule, Split, Sticky, WhenCold};
pub(crate) use tls::{ListenerTls, RedirectHttps};
pub(crate) use update::{Update, UpdateWord, WorkerPart};

use crate::ServiceName;
use text::{DnsLabel, DnsName};

/// A Penstock configuration file.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// Further files whose [services.*] tables are added, as paths or patterns such as
    /// "services/*.toml". Taken from this file's folder.
    pub(crate) include: Vec<String>,
    /// Second part of every service's host name: {service}.{region}.{domain}.
    pub(crate) region: DnsLabel,
    /// Last part of every service's host name: {service}.{region}.{domain}.
    pub(crate) domain: DnsName,
    /// Addresses the gateway accepts requests on.
    pub(crate) listeners: Vec<Listener>,
    /// API, metrics, and what the control service keeps.
    pub(crate) admin: Admin,
    /// Settings of the gateway that belong to no service.
    pub(crate) gateway: Gateway,
    /// The GPUs that workers may be given.
    pub(crate) gpus: Gpus,
    /// The engine that runs `container` workers.
    pub(crate) containers: Containers,
    /// Where the output of workers goes.
    pub(crate) worker_logs: WorkerLogs,
    /// Where clients name a model, and the gateway finds the service that has it.
    pub(crate) front_door: FrontDoor,
    /// The services by name. The name is the first part of the host name.
    #[schemars(with = "BTreeMap<String, Service>", extend("propertyNames" = text::name_schema()))]
    pub(crate) services: BTreeMap<ServiceName, Service>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            region: DnsLabel("local".to_owned()),
            domain: DnsName("localhost".to_owned()),
            listeners: Vec::new(),
            admin: Admin::default(),
            gateway: Gateway::default(),
            gpus: Gpus::default(),
            containers: Containers::default(),
            worker_logs: WorkerLogs::default(),
            front_door: FrontDoor::default(),
            services: BTreeMap::new(),
        }
    }
}
