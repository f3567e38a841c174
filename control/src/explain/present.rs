//! What `penstock explain` shows.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    next::Next,
    record::{ClampRecord, Inputs, Step, WishRecord, wishes},
};
use crate::{
    remembered::JournalEntry,
    scale::{Decision, Outlook},
    status::{AdviceStatus, CostStatus},
};

/// One deployment: its decision now, and the changes that led there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The service.
    pub service: String,
    /// The deployment.
    pub deployment: String,
    /// How it is decided now.
    pub present: Present,
    /// The last changes, and what happened after each, newest first.
    pub journal: Vec<JournalEntry>,
}

/// The decision in force, which is made anew every second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Present {
    /// When this was asked for: milliseconds since 1970.
    pub at_ms: u64,
    /// Workers there should be.
    pub desired: u32,
    /// Bounds of `desired`.
    pub min: u32,
    /// Bounds of `desired`.
    pub max: u32,
    /// `cold`, `starting`, `warm` or `paused`; where something is wrong `degraded`, `waiting` or `failed`.
    pub phase: Cow<'static, str>,
    /// Everything that is wrong, the worst first.
    #[serde(default)]
    pub troubles: Vec<String>,
    /// Label of the reason.
    pub reason: Cow<'static, str>,
    /// The reason in words.
    pub reason_text: String,
    /// What operators set in place of what the file says, and what can be done about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
    /// The update that is under way. One that has stopped is among the troubles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// What the rules would do, where `scaling.mode` is `"advise"`; then wishes, clamps and what
    /// comes next are about this advice.
    #[serde(default)]
    pub advice: Option<AdviceStatus>,
    /// What its workers cost, where their price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostStatus>,
    /// What it is made from.
    pub inputs: Inputs,
    /// What each rule asks for, in the order of the rules.
    pub wishes: Vec<WishRecord>,
    /// What keeps the count from being the largest wish, in the order it is applied.
    pub clamps: Vec<ClampRecord>,
    /// What is being done and waited for.
    pub plan: Vec<Step>,
    /// What would change the count next.
    pub next: Vec<Next>,
}

/// How the rules decided, in the form of a [`Present`].
pub(crate) struct Rules {
    pub(crate) wishes: Vec<WishRecord>,
    pub(crate) clamps: Vec<ClampRecord>,
    pub(crate) next: Vec<Next>,
}

impl Rules {
    pub(crate) fn new(decision: &Decision, outlook: &[Outlook]) -> Self {
        Self {
            wishes: wishes(decision),
            clamps: decision.clamps.iter().map(ClampRecord::new).collect(),
            next: outlook.iter().map(Next::new).collect(),
        }
    }
}
