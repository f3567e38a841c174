//! Workers as containers.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::GpuChoice;

/// How to run a worker as a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The image, as `docker run` takes it; never empty.
    pub image: String,
    /// In place of the image's entrypoint. `{port}` in it stands for the port inside.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the image's command. `{port}` in it stands for the port inside.
    pub command: Option<Vec<String>>,
    /// The port inside of the container; `None`: one of its own for every worker.
    pub port: Option<u16>,
    /// Added to the environment of the image; values may hold `{port}`. `PORT` is always set.
    pub env: BTreeMap<String, String>,
    /// Which variables of Penstock's own environment it gets: names, of which one that ends with `*`
    /// stands for all that begin so.
    pub inherit_env: Vec<String>,
    /// Working directory inside; `None`: that of the image.
    pub directory: Option<String>,
    /// Its GPUs.
    pub gpus: GpuChoice,
    /// Whether it runs on the CPUs near its GPUs only.
    #[serde(default)]
    pub numa: bool,
    /// Most CPU in billionths of a core.
    pub nano_cpus: Option<i64>,
    /// Most memory in bytes.
    pub memory: Option<u64>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// What is mounted.
    pub volumes: Vec<Volume>,
    /// User, or user and group; `None`: that of the image.
    pub user: Option<String>,
    /// Where it is reached.
    pub network: ContainerNetwork,
    /// When the image is pulled.
    pub pull: Pull,
    /// File with credentials for the registry, absolute.
    pub registry_credentials: Option<PathBuf>,
    /// Whether the engine's init process runs above the program.
    pub init: bool,
    /// From the stop signal to SIGKILL.
    pub stop_grace: Duration,
}

/// A folder or volume that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it comes from.
    pub source: VolumeSource,
    /// Absolute path inside.
    pub target: String,
    /// Whether nothing may be written.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A file or folder of this machine, absolute.
    Path(PathBuf),
    /// A volume of the engine, which makes it if it is not there.
    Named(String),
}

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerNetwork {
    /// The engine's own; the port is published on loopback.
    Bridge,
    /// That of this machine.
    Host,
    /// A network of the engine with this name; workers are reached at their addresses in it.
    Named(String),
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pull {
    /// When the engine does not have it.
    Missing,
    /// Before every start.
    Always,
    /// Never.
    Never,
}

/// The engine that runs containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Containers {
    /// Its socket, absolute; `None`: looked for at the usual places.
    pub socket: Option<PathBuf>,
}
