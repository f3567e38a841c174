//! What control and a supervisor tell each other: one JSON value each way, a line at a time.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::driver::{numa::Near, process::identity::Identity};

/// What a supervisor is to do; the whole of its standard input. The worker's environment is its
/// own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// File of the program, absolute.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Its working directory.
    pub(crate) directory: PathBuf,
    /// From SIGTERM to SIGKILL.
    pub(crate) stop_grace: Duration,
    /// The soft limit of open files; `None` to leave it.
    pub(crate) open_files: Option<u64>,
    /// The CPUs that it is to run on, or why they are not known. `None`: any.
    #[serde(default)]
    pub(crate) cpus: Option<Result<Near, String>>,
    /// Where the output goes.
    pub(crate) log: LogOrder,
}

/// Where a worker's output goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LogOrder {
    /// The file.
    pub(crate) path: PathBuf,
    /// Size in bytes at which it is rotated.
    pub(crate) max_bytes: u64,
    /// Rotated files kept.
    pub(crate) keep: u32,
}

/// What a supervisor reports; a line of its standard output each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The worker runs.
    Started(Identity),
    /// The worker could not be run, for the reason given. The supervisor ends.
    Failed(String),
    /// The worker ended in the way given. What it left behind is being ended.
    Exited(String),
}
