//! What control writes down, as plain values. [`store`](crate::store) has them in its file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{explain::Record, secret::SecretKey};

/// What an earlier run left.
#[derive(Debug, Default, Clone)]
pub struct Remembered {
    /// Workers that ran.
    pub workers: Vec<WorkerRow>,
    /// Changes of desired counts, oldest first.
    pub desired: Vec<DesiredRow>,
    /// What was done to the traffic of services.
    pub traffic: Vec<ServiceRow>,
    /// What is paused of services.
    pub pauses: Vec<ServiceRow>,
    /// Revisions of services' workers, and what was asked of them.
    pub revisions: Vec<ServiceRow>,
    /// How long starts took, oldest first.
    pub starts: Vec<StartRow>,
    /// Counts of deployments whose scaling only advises.
    pub advice: Vec<AdviceRow>,
    /// The load of the last weeks, where it is to be foreseen.
    pub demand: Vec<DemandRow>,
    /// Under which commands and environments are written down.
    pub key: SecretKey,
}

/// A worker that may be running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRow {
    /// Its identity.
    pub id: String,
    /// Its service.
    pub service: String,
    /// Its deployment.
    pub deployment: String,
    /// Its number within the deployment.
    pub slot: u32,
    /// What it runs, as text.
    pub revision: String,
    /// What its driver needs to find it again; empty as long as it was about to be started.
    pub saved: String,
    /// Whether it sleeps, as `SleepNote` writes it; empty: it never did.
    pub sleep: String,
}

/// Whether a worker sleeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SleepNote {
    /// How far it is.
    pub state: SleepState,
    /// What it answered before it slept for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// How far a worker is that sleeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleepState {
    /// It does not.
    #[default]
    Awake,
    /// It was asked to.
    FallingAsleep,
    /// It does.
    Asleep,
    /// It was woken.
    Waking,
}

impl SleepNote {
    /// As it stands in the row of a worker; what cannot be read is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => Some(Self::default()),
            text => serde_json::from_str(text).ok(),
        }
    }

    /// For the row of a worker.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A desired count that came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredRow {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The service.
    pub service: String,
    /// The deployment.
    pub deployment: String,
    /// The count.
    pub desired: u32,
}

/// What operators did to a service: to its traffic, or to stop it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRow {
    /// The service.
    pub service: String,
    /// As JSON; `None`: nothing to remember any more.
    pub state: Option<String>,
}

/// A worker that became ready, or woke up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartRow {
    /// When it did, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its service.
    pub service: String,
    /// Its deployment.
    pub deployment: String,
    /// What it ran.
    pub revision: String,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Whether it had slept.
    pub woke: bool,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdviceRow {
    /// Its service.
    pub service: String,
    /// Its name.
    pub deployment: String,
    /// The count that stays.
    pub kept: u32,
    /// The count that was advised last.
    pub advised: u32,
}

/// The load of a deployment on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemandRow {
    /// Its service.
    pub service: String,
    /// Its name.
    pub deployment: String,
    /// Days since 1970.
    pub day: u64,
    /// What [`PastDay`](crate::scale::PastDay) makes of it.
    pub means: Vec<u8>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The service.
    pub service: String,
    /// The deployment; empty when it is about the service as a whole.
    pub deployment: String,
    /// What kind of thing it was: the label of a decision's reason, or of what happened to a worker.
    pub kind: String,
    /// In words.
    pub text: String,
    /// For decisions: the desired count until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// For decisions: the desired count from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// For decisions: the inputs, what each rule asked for, what limited it, and the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<Record>>,
    /// The same as lines of text, for decisions that an older Penstock wrote down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
}

/// Why the state file cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFailure {
    /// What the system or SQLite says.
    pub reason: Arc<str>,
    /// Services and workers whose newest state is not in it.
    pub unwritten: usize,
}

/// What a [`ServiceRow`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The traffic of the service.
    Traffic,
    /// What is paused of it.
    Pauses,
    /// The revisions of its workers, and what was asked of them.
    Revisions,
}
