//! Revisions of what workers run, and how they are replaced.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The revisions of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionsStatus {
    /// Its name.
    pub service: String,
    /// What was just done, in words, each with its deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub done: Vec<String>,
    /// Its deployments by name, or the one that was asked about.
    pub deployments: Vec<DeploymentRevisions>,
}

/// The revisions of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRevisions {
    /// Its name.
    pub name: String,
    /// The number of the revision that workers are to run; absent where workers are given by address.
    pub in_force: Option<u64>,
    /// The number of the revision that the file asks for.
    pub of_file: Option<u64>,
    /// The revision that an operator switched to, where that overrides the file.
    pub switched: Option<OverrideStatus>,
    /// The number of workers that an operator set, where that overrides the rules.
    pub scaled: Option<OverrideStatus>,
    /// The update that is under way or has stopped.
    pub update: Option<UpdateStatus>,
    /// Those that are kept, newest first.
    pub revisions: Vec<RevisionStatus>,
}

/// One revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionStatus {
    /// Counts from 1 in each deployment.
    pub number: u64,
    /// When it came: milliseconds since 1970.
    pub at_ms: u64,
    /// How it came: `start` (read when Penstock started), `file` (the file changed), `signal` or `api`
    /// (Penstock was asked to read the file).
    pub via: Cow<'static, str>,
    /// By whom, as far as they said.
    pub by: Option<String>,
    /// Why, as far as they said.
    pub reason: Option<String>,
    /// What is not as in the revision before. Values of arguments and of the environment are never told.
    pub difference: Vec<String>,
    /// Whether workers are to run it now.
    pub in_force: bool,
    /// Workers that run it.
    pub workers: u32,
}

/// Something that an operator set, in place of what the file or the rules say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverrideStatus {
    /// What it was set to.
    pub value: u64,
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// By whom, as far as they said.
    pub by: Option<String>,
    /// Why, as far as they said.
    pub reason: Option<String>,
}

/// An update that is not finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStatus {
    /// `running` or `stopped`.
    pub state: Cow<'static, str>,
    /// The revision that served before, if it is known.
    pub from: Option<u64>,
    /// The revision that is to serve.
    pub to: Option<u64>,
    /// Whether it replaces workers by others that run the same.
    pub is_restart: bool,
    /// Since when it is so: milliseconds since 1970.
    pub since_ms: u64,
    /// New workers that are ready.
    pub ready: u32,
    /// Why it stopped, if it did.
    pub why: Option<String>,
    /// All of that in words, with what can be done.
    pub words: String,
}
