//! `[services.NAME.deployments.NAME]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Container, GpuChoice, MetricsPage, Preemptible, Rollout, Scaling, Sleep, Update, WhenCold,
    text::{DnsName, HumanDuration, PositiveDuration, UrlPath, WorkerAddress},
};
use crate::Protocol;

/// A deployment: one variant of a service (stable, canary, blue), with exactly one of `process`,
/// `container` and `static`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deployment {
    /// Share of the service's traffic in relation to the other deployments; 0 takes none.
    #[schemars(range(max = 1_000_000))]
    pub(crate) weight: u32,
    /// Whether the split sends requests here. Its own host name leads here in any case, and so do
    /// `match` rules.
    pub(crate) takes_traffic: bool,
    /// What becomes of its share while no worker is ready.
    pub(crate) when_cold: WhenCold,
    /// Requests go to the deployments of the lowest tier. One of a higher tier gets only those that would
    /// wait there for longer than the service's `overflow_after`.
    #[schemars(range(max = 9))]
    pub(crate) tier: u8,
    /// Raises its share step by step, in place of `weight`. Default: none.
    pub(crate) rollout: Option<Rollout>,
    /// Which deployments keep their GPUs when there are too few. A worker gives its own up for a deployment
    /// with less only while it is idle, and among idle ones those with the least give way first. Default: 0.
    #[schemars(range(min = -1000, max = 1000))]
    pub(crate) priority: Option<i32>,
    /// What one worker costs in an hour, in the currency of the GPU groups. Default: what its GPUs cost.
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub(crate) price_per_hour: Option<f64>,
    /// Most requests in flight on one worker. Default: no limit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_concurrency: Option<u32>,
    /// Whether a fresh worker is filled gently: 1, 2, 4, … requests at once.
    pub(crate) ramp: bool,
    /// Protocol spoken to the workers. Default: that of the service.
    pub(crate) protocol: Option<Protocol>,
    /// Workers that run elsewhere, at fixed addresses.
    #[serde(rename = "static")]
    pub(crate) fixed: Option<Static>,
    /// Workers that Penstock starts and stops as processes on this machine.
    pub(crate) process: Option<Process>,
    /// Workers that Penstock starts and stops as containers of this machine.
    pub(crate) container: Option<Container>,
    /// How workers are probed.
    pub(crate) probes: Probes,
    /// The workers' own Prometheus pages, read only when a rule of `scaling` has a metric of them.
    pub(crate) metrics: MetricsPage,
    /// Longest time from the start of a worker until it is ready.
    pub(crate) start_timeout: PositiveDuration,
    /// Longest time a worker may take to finish its requests before it is stopped.
    pub(crate) drain_timeout: HumanDuration,
    /// The same where nothing forces the worker to stop: fewer workers are needed, it is replaced by a
    /// newer revision, or its deployment was removed. What runs longer is cut then. At least
    /// `drain_timeout` counts.
    pub(crate) voluntary_drain_timeout: HumanDuration,
    /// How workers are replaced when what they run changes. Not for `static` deployments. Default:
    /// { max_surge = "25%", max_unavailable = "0%" }.
    pub(crate) update: Option<Update>,
    /// How idle workers give the memory of their GPUs up without ending, for engines that can. Not for `static`
    /// deployments. Default: they end.
    pub(crate) sleep: Option<Sleep>,
    /// How workers may be taken away on short notice. Not for `static` deployments. Default: by command or API
    /// alone.
    pub(crate) preemptible: Option<Preemptible>,
    /// How many workers there should be. Not for `static` deployments.
    pub(crate) scaling: Option<Scaling>,
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            weight: 1,
            takes_traffic: true,
            when_cold: WhenCold::Hold,
            tier: 0,
            rollout: None,
            priority: None,
            price_per_hour: None,
            max_concurrency: None,
            ramp: true,
            protocol: None,
            fixed: None,
            process: None,
            container: None,
            probes: Probes::default(),
            metrics: MetricsPage::default(),
            start_timeout: PositiveDuration(Duration::from_secs(600)),
            drain_timeout: HumanDuration(Duration::from_secs(30)),
            voluntary_drain_timeout: HumanDuration(Duration::from_secs(3600)),
            update: None,
            sleep: None,
            preemptible: None,
            scaling: None,
        }
    }
}

/// Workers that run elsewhere, at fixed addresses.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Static {
    /// The workers, each "host:port", "https://host:port" or { address = "host:port", weight = 1 }.
    #[schemars(length(min = 1))]
    pub(crate) addresses: Vec<StaticAddress>,
    /// TLS to workers at https:// addresses. Default: their certificates are verified by the authorities
    /// that the system trusts.
    #[serde(default)]
    pub(crate) tls: Option<WorkerTls>,
}

/// TLS to workers.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WorkerTls {
    /// PEM file with the authorities that may have issued the workers' certificates, in place of
    /// those that the system trusts. Taken from this file's folder.
    #[schemars(length(min = 1))]
    pub(crate) ca: Option<PathBuf>,
    /// Name that the workers' certificates must be for, also sent as SNI. Default: the host of the address.
    pub(crate) server_name: Option<DnsName>,
    /// Certificate for workers that ask for one, in a PEM file; with `key`.
    #[schemars(length(min = 1))]
    pub(crate) cert: Option<PathBuf>,
    /// Its key, not encrypted, in a PEM file.
    #[schemars(length(min = 1))]
    pub(crate) key: Option<PathBuf>,
    /// Whether workers' certificates are verified. Without that anybody in between can read and change
    /// everything. Default: true.
    pub(crate) verify: Option<bool>,
}

/// One worker of a static deployment.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum StaticAddress {
    /// An address with weight 1.
    Plain(WorkerAddress),
    /// An address with a weight.
    Weighted(WeightedAddress),
}

/// An address with a weight.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedAddress {
    /// Host and port. The host is an IPv4 address, an IPv6 address in brackets, or a name; with https://
    /// in front the worker is reached by TLS.
    pub(crate) address: WorkerAddress,
    /// Share of the deployment's traffic in relation to the other addresses.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) weight: u32,
}

fn one() -> u32 {
    1
}

/// Workers that Penstock starts and stops, with exactly one of `command` and `shell`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    /// Program and arguments. {port} stands for the worker's port, which is also in the environment
    /// variable PORT. A program with a / in it is taken from the file's folder, one without from PATH.
    #[schemars(length(min = 1))]
    pub(crate) command: Option<Vec<String>>,
    /// A line for /bin/sh -c, in place of `command`. {port} stands for the worker's port.
    #[schemars(length(min = 1))]
    pub(crate) shell: Option<String>,
    /// Working directory, taken from the file's folder.
    #[schemars(length(min = 1))]
    pub(crate) directory: PathBuf,
    /// Added to the environment. Values may hold {port}. Secrets belong here and not into `command`,
    /// which every user of the machine can see.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables of Penstock's own environment that workers get too: names, of which one that ends
    /// with * stands for all that begin so. ["*"] passes all on.
    pub(crate) inherit_env: Vec<String>,
    /// GPUs for each worker, given through CUDA_VISIBLE_DEVICES: a number, or { count = 2, groups = ["h100",
    /// "a100"] } with groups of `gpus.groups`, the best first.
    pub(crate) gpus: GpuChoice,
    /// Whether a worker runs on the CPUs that are near its GPUs only: those of their NUMA nodes.
    pub(crate) numa: bool,
    /// How long every process of a worker may take to end after SIGTERM, before SIGKILL.
    pub(crate) stop_grace: HumanDuration,
    /// Whether a process that the worker did not start may listen on the worker's port, as is the
    /// case with `docker run`.
    pub(crate) allow_foreign_listener: bool,
}

impl Default for Process {
    fn default() -> Self {
        Self {
            command: None,
            shell: None,
            directory: PathBuf::from("."),
            env: BTreeMap::new(),
            inherit_env: INHERITED.split_whitespace().map(str::to_owned).collect(),
            gpus: GpuChoice::default(),
            numa: false,
            stop_grace: HumanDuration(Duration::from_secs(30)),
            allow_foreign_listener: false,
        }
    }
}

/// What a program needs of its surroundings, and what inference servers are set up by. Everything
/// else, credentials of Penstock's own surroundings among it, must be asked for.
const INHERITED: &str = "
    PATH HOME USER LOGNAME SHELL TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
    LANG LANGUAGE LC_* TZ
    LD_LIBRARY_PATH PYTHON* VIRTUAL_ENV CONDA_*
    CUDA_* NVIDIA_* NCCL_* ROCR_* ROCM_* HIP_* HSA_*
    HF_* TRANSFORMERS_* TORCH* PYTORCH_* TRITON_* VLLM_* SGLANG_* OMP_* MKL_*
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
";

/// How workers are probed.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probes {
    /// Must pass once before the other two begin. Default: none, `ready` alone decides.
    pub(crate) startup: Option<Probe>,
    /// Whether a worker may get requests. Default for processes and containers with protocol "http1": that their port
    /// opens and `GET /` is not answered with 503 (any other answer, and none, is fine); otherwise
    /// { tcp = true }. With { tcp = false } a worker counts as ready as soon as it is there.
    pub(crate) ready: Option<Probe>,
    /// Whether a worker must be replaced. Default: none, a worker is replaced when it ends.
    pub(crate) live: Option<Probe>,
}

/// A probe, with exactly one of `http`, `tcp`, `exec` and `grpc`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probe {
    /// GET of this path passes with a status of 200 to 399.
    pub(crate) http: Option<UrlPath>,
    /// Passes when a TCP connection opens. `false`, in `ready` alone, asks nothing.
    pub(crate) tcp: Option<bool>,
    /// Program and arguments; passes with exit status 0. {port} as in `command`.
    #[schemars(length(min = 1))]
    pub(crate) exec: Option<Vec<String>>,
    /// gRPC health check of this service name ("" for the whole server); passes with SERVING.
    pub(crate) grpc: Option<String>,
    /// Further request headers of an `http` probe.
    pub(crate) headers: BTreeMap<String, String>,
    /// From the worker's start to the first probe. Default: "0s" for startup and ready, "1s" for
    /// live.
    pub(crate) initial_delay: Option<HumanDuration>,
    /// Longest wait for an answer.
    pub(crate) timeout: PositiveDuration,
    /// From one probe to the next. While a worker starts, probes come every 100 ms.
    pub(crate) period: PositiveDuration,
    /// Failures in a row that count as failed.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) failures: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            http: None,
            tcp: None,
            exec: None,
            grpc: None,
            headers: BTreeMap::new(),
            initial_delay: None,
            timeout: PositiveDuration(Duration::from_secs(1)),
            period: PositiveDuration(Duration::from_secs(10)),
            failures: 3,
        }
    }
}
