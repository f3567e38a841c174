//! What is kept of a container so that a later run of control finds it again: in the state of control, and
//! in a label of the container, for a crash may come between making it and writing it down.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A container that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    /// Where it is reached.
    pub(super) reach: Reach,
    /// The port of this machine that is kept for it.
    pub(super) port: u16,
    /// Its GPUs.
    pub(super) gpus: Vec<String>,
    /// From the stop signal to SIGKILL.
    pub(super) stop_grace: Duration,
}

/// Where a container is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reach {
    /// At this port of 127.0.0.1.
    Loopback(u16),
    /// At this port of its own address in the network with this name.
    Network(String, u16),
}

impl Saved {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers have a JSON form")
    }

    /// `None` when the text is not one of ours.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
