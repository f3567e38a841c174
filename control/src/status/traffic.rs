//! How a service's traffic is shared, and who says so.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

/// The weights of one service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WeightsStatus {
    /// Its name.
    pub service: String,
    /// Weights that were set by hand and override the file; `None`: the file decides, or a rollout.
    pub by_hand: Option<ByHandStatus>,
    /// Its deployments by name.
    pub deployments: Vec<DeploymentWeight>,
    /// Whether there is a change that can be taken back.
    pub can_roll_back: bool,
    /// What was just changed, or would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<WeightsChange>,
}

/// A change of weights that was just asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightsChange {
    /// What was done, in words.
    pub done: String,
    /// The weights in force before.
    pub before: BTreeMap<String, u32>,
    /// Why it is done only for those who insist (`force`), if so.
    pub needs_force: Option<String>,
}

/// Who set weights by hand, and what of it is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHandStatus {
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// Who, as far as they said.
    pub by: Option<String>,
    /// Why, as far as they said.
    pub reason: Option<String>,
    /// Whether the file's weights have changed since, which has no effect yet.
    pub file_changed: bool,
}

/// The share of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentWeight {
    /// Its name.
    pub name: String,
    /// In force, in relation to its siblings.
    pub weight: u32,
    /// What the file says.
    pub file_weight: u32,
    /// Whether the split sends requests here at all.
    pub takes_traffic: bool,
    /// Its tier, within which it has its share.
    #[serde(default)]
    pub tier: u8,
    /// Whether it is paused: its share goes to those that are not.
    #[serde(default)]
    pub paused: bool,
    /// How far its rollout has come, if it has one.
    pub rollout: Option<RolloutStatus>,
}

/// A canary that watches itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutStatus {
    /// `running`, `paused`, `done` or `rolled_back`.
    pub state: Cow<'static, str>,
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// Share of the traffic that it has earned, in percent.
    pub share: u32,
    /// Shares that it goes through, in percent.
    pub steps: Vec<u32>,
    /// How many of them have been taken.
    pub taken: usize,
    /// Why it stays where it is, or why it was taken back.
    pub why: Option<String>,
    /// What the step was last judged by.
    pub seen: Option<String>,
}
