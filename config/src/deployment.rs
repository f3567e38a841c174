//! A deployment: one variant of a service, with its own workers, weight and scaling.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    ContainerSpec, DeploymentName, GpuChoice, Preemptible, Protocol, Rollout, Scaling, Sleep,
    Update, WhenCold, WorkerTls,
};

/// One checked deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// Its name within the service.
    pub name: DeploymentName,
    /// Host name that leads straight here, without a split: `{deployment}--{service}.{region}.{domain}`.
    pub host: String,
    /// Share of the service's traffic in relation to its siblings; 0 takes none. With a `rollout`
    /// always 0: that is the share until it begins.
    pub weight: u32,
    /// Whether the split sends requests here at all; its own host always leads here.
    pub takes_traffic: bool,
    /// What becomes of its share while no worker is ready.
    pub when_cold: WhenCold,
    /// Its tier: requests go to the lowest one that can serve them soon.
    pub tier: u8,
    /// How its share is raised step by step; `None`: it has its weight.
    pub rollout: Option<Rollout>,
    /// Which deployments keep their GPUs when there are too few: those with more.
    pub priority: i32,
    /// What one worker costs in an hour; `None`: what its GPUs cost.
    pub price_per_hour: Option<f64>,
    /// Most requests in flight on one worker; `None` for no limit.
    pub max_concurrency: Option<u32>,
    /// Whether a fresh worker is filled gently: 1, 2, 4, … at once.
    pub ramp: bool,
    /// Protocol spoken to the workers.
    pub protocol: Protocol,
    /// TLS to the workers, probes included; `None`: none.
    pub tls: Option<Arc<WorkerTls>>,
    /// Where the workers come from.
    pub source: Source,
    /// How workers are probed.
    pub probes: Probes,
    /// Where workers tell the metrics that rules of `scaling` ask them for.
    pub metrics: MetricsPage,
    /// Longest time from the start of a worker until it is ready.
    pub start_timeout: Duration,
    /// Longest time a worker may take to finish what it has before it is stopped, where something
    /// forces it to stop.
    pub drain_timeout: Duration,
    /// The same where nothing does; at least `drain_timeout`.
    pub voluntary_drain_timeout: Duration,
    /// How workers are replaced when what they run changes.
    pub update: Update,
    /// How workers give the memory of their GPUs up without ending; `None`: they do not.
    pub sleep: Option<Arc<Sleep>>,
    /// How workers may be taken away.
    pub preemptible: Preemptible,
    /// How many workers there should be. A static deployment does not scale: `min` and `max` are
    /// the number of its addresses, and the rest has its defaults.
    pub scaling: Scaling,
}

/// Where the workers of a deployment come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Processes that control starts and stops on this machine.
    Process(ProcessSpec),
    /// Containers that control starts and stops on this machine.
    Container(ContainerSpec),
    /// Addresses given by the user; nothing is started or stopped.
    Static(Vec<StaticAddress>),
}

impl Source {
    /// The GPUs that each worker is given; `None`: none.
    pub fn gpus(&self) -> Option<&GpuChoice> {
        let gpus = match self {
            Self::Process(spec) => &spec.gpus,
            Self::Container(spec) => &spec.gpus,
            Self::Static(_) => return None,
        };
        (!gpus.is_none()).then_some(gpus)
    }

    /// Whether the workers are given and not started.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Static(_))
    }
}

/// One address of a static deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAddress {
    /// `host:port`, whatever the scheme; the host may be an IPv4 or a bracketed IPv6 address, or a name to look up.
    pub address: String,
    /// Share of the deployment's traffic in relation to the other addresses; at least 1.
    pub weight: u32,
}

impl StaticAddress {
    /// The host of an address, without its port.
    pub fn host_of(address: &str) -> &str {
        address.rsplit_once(':').map_or(address, |(host, _)| host)
    }
}

/// How to run a worker as a child process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// What to run. `{port}` in it stands for the worker's port.
    pub command: ProcessCommand,
    /// Working directory, absolute.
    pub directory: PathBuf,
    /// Added to the environment; values may hold `{port}`. `PORT` is always set.
    pub env: BTreeMap<String, String>,
    /// Which variables of Penstock's own environment it gets: names, of which one that ends with `*`
    /// stands for all that begin so.
    pub inherit_env: Vec<String>,
    /// Its GPUs; given through `CUDA_VISIBLE_DEVICES`.
    pub gpus: GpuChoice,
    /// Whether it runs on the CPUs near its GPUs only.
    #[serde(default)]
    pub numa: bool,
    /// From SIGTERM to SIGKILL.
    pub stop_grace: Duration,
    /// Whether a process that the worker did not start may listen on its port.
    pub allow_foreign_listener: bool,
}

/// The command of a worker process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessCommand {
    /// Program and arguments; never empty.
    Exec(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

/// The three kinds of probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// Passed once before the other two begin; `None`: readiness alone decides.
    pub startup: Option<Probe>,
    /// Whether the worker may get requests. When the user gave none, [`ProbeKind::Loaded`] for processes
    /// and containers that speak HTTP/1.1, and TCP for others; `None`: it is ready as soon as it is there.
    pub ready: Option<Probe>,
    /// Whether the worker must be replaced; `None`: only its exit tells.
    pub live: Option<Probe>,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// From the worker's start to the first probe.
    pub initial_delay: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// From one probe to the next in steady state; while a worker starts probes come every 100 ms.
    pub period: Duration,
    /// Failures in a row after which the probe counts as failed.
    pub failures: u32,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeKind {
    /// `GET path`; 200 to 399 passes.
    Http {
        /// Path with query, beginning with `/`.
        path: String,
        /// Extra request headers.
        headers: Vec<(String, String)>,
    },
    /// A TCP connection that opens passes.
    Tcp,
    /// As `Tcp`; but until it has passed once, a worker that answers `GET /` with 503, or closes the
    /// connection without an answer, is still loading. The default of processes and containers that
    /// speak HTTP/1.1.
    Loaded,
    /// A command with exit status 0 passes; `{port}` and `PORT` as for the worker.
    Exec(Vec<String>),
    /// `grpc.health.v1.Health/Check` of this service name answering SERVING passes.
    Grpc(String),
}

/// The Prometheus page of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsPage {
    /// Path with query, beginning with `/`.
    pub path: String,
    /// From one reading to the next; 1 s to 5 min.
    pub interval: Duration,
    /// Longest time of one reading; at most `interval`.
    pub timeout: Duration,
}
