//! `container` of a deployment, and `[containers]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    GpuChoice,
    text::{ByteSize, HumanDuration},
};

/// Workers that Penstock starts and stops as containers of this machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Container {
    /// The image, as `docker run` takes it: "vllm/vllm-openai:v0.11.0". Required.
    #[schemars(length(min = 1))]
    pub(crate) image: Option<String>,
    /// Program and arguments in place of the image's entrypoint. Default: that of the image.
    #[schemars(length(min = 1))]
    pub(crate) entrypoint: Option<Vec<String>>,
    /// Arguments for the entrypoint; of an image without one, program and arguments. {port} stands for
    /// the port that the program must listen on, on all addresses of the container (0.0.0.0); the
    /// environment variable PORT has it too. Default: that of the image.
    #[schemars(length(min = 1))]
    pub(crate) command: Option<Vec<String>>,
    /// The port that the program listens on inside of the container, where it cannot be told: what
    /// {port} and PORT are then. Default: a free one for every worker.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Option<u16>,
    /// Added to the environment of the image. Values may hold {port}.
    pub(crate) env: BTreeMap<String, String>,
    /// Variables of Penstock's own environment that workers get too: names, of which one that ends
    /// with * stands for all that begin so. Default: none.
    pub(crate) inherit_env: Vec<String>,
    /// Working directory inside of the container. Default: that of the image.
    #[schemars(length(min = 1))]
    pub(crate) directory: Option<String>,
    /// GPUs for each worker, given as a device request: a number, or { count = 2, groups = ["h100", "a100"] }
    /// with groups of `gpus.groups`, the best first.
    pub(crate) gpus: GpuChoice,
    /// Whether a worker runs on the CPUs that are near its GPUs only: those of their NUMA nodes.
    pub(crate) numa: bool,
    /// Most cores that a worker may use, such as 1.5. Default: no limit.
    #[schemars(range(min = 0.01, max = 4096.0))]
    pub(crate) cpus: Option<f64>,
    /// Most memory of a worker; one that needs more is killed. At least 6MiB. Default: no limit.
    pub(crate) memory: Option<ByteSize>,
    /// Size of /dev/shm, through which the processes of many inference servers speak with each other.
    /// Default: that of the engine, mostly 64MiB.
    pub(crate) shm_size: Option<ByteSize>,
    /// What is mounted: "FOLDER:PATH" or "NAME:PATH" for a volume of the engine, each with ":ro" behind
    /// if nothing may be written. A folder begins with "/", or with "./" in this file's folder.
    pub(crate) volumes: Vec<String>,
    /// User, or user and group, that the program runs as: "1000:1000". Default: that of the image.
    #[schemars(length(min = 1))]
    pub(crate) user: Option<String>,
    /// "bridge": the worker's port is published on 127.0.0.1. "host": the network of this machine. Any
    /// other name: that network of the engine, where workers are reached at their own addresses.
    #[schemars(length(min = 1))]
    pub(crate) network: String,
    /// When the image is pulled before a start.
    pub(crate) pull: Pull,
    /// File with the credentials for the image's registry, as `docker login` writes them to
    /// ~/.docker/config.json; read for every pull. Taken from this file's folder. Default: none.
    #[schemars(length(min = 1))]
    pub(crate) registry_credentials: Option<PathBuf>,
    /// Whether the engine's small init process is put above the program: it ends by SIGTERM then even
    /// if it does not handle that signal, and nothing is left of its children.
    pub(crate) init: bool,
    /// How long a worker may take to end after SIGTERM (or the image's own stop signal), before SIGKILL.
    pub(crate) stop_grace: HumanDuration,
}

impl Default for Container {
    fn default() -> Self {
        Self {
            image: None,
            entrypoint: None,
            command: None,
            port: None,
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            directory: None,
            gpus: GpuChoice::default(),
            numa: false,
            cpus: None,
            memory: None,
            shm_size: None,
            volumes: Vec::new(),
            user: None,
            network: "bridge".to_owned(),
            pull: Pull::Missing,
            registry_credentials: None,
            init: false,
            stop_grace: HumanDuration(Duration::from_secs(30)),
        }
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pull {
    /// When the engine does not have it.
    Missing,
    /// Before every start, so that a tag that has moved is followed.
    Always,
    /// Never: a start fails when the engine does not have it.
    Never,
}

/// The engine that runs `container` workers.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Containers {
    /// Socket of the engine, Docker or Podman: "unix:///run/podman/podman.sock" or a path. Default:
    /// DOCKER_HOST or CONTAINER_HOST of Penstock's environment, else the first of the usual sockets that
    /// is there.
    #[schemars(length(min = 1))]
    pub(crate) socket: Option<String>,
}
