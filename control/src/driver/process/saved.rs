//! What is kept of a worker so that a later run of control finds it again.

use std::{fs, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// A running worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Which run of the machine: process numbers and start times begin again with the next.
    pub(crate) boot: String,
    /// The process above the worker.
    pub(crate) supervisor: Identity,
    /// The worker itself.
    pub(crate) worker: Identity,
    /// Its port.
    pub(crate) port: u16,
    /// Its GPUs.
    pub(crate) gpus: Vec<String>,
    /// From SIGTERM to SIGKILL, as its supervisor knows it.
    pub(crate) stop_grace: Duration,
    /// Its log file.
    pub(crate) log: PathBuf,
}

impl Saved {
    /// For the state of control.
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers have a JSON form")
    }

    /// `None` when the text is not one of ours, or from before the machine started.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let saved: Self = serde_json::from_str(text).ok()?;
        (saved.boot == boot()).then_some(saved)
    }
}

/// Identity of this run of the machine.
pub(crate) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}
