//! What operators have stopped.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What is paused of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseStatus {
    /// Its name.
    pub service: String,
    /// What became of the request: `paused`, `replaced` (it was paused before), `resumed`, or
    /// `not_paused` when there was nothing to resume; absent when nothing was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Cow<'static, str>>,
    /// The pause that was replaced or taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<PausedStatus>,
    /// The pause of the whole service; it holds for all deployments.
    pub pause: Option<PausedStatus>,
    /// Its deployments by name.
    pub deployments: Vec<DeploymentPause>,
}

/// What is paused of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentPause {
    /// Its name.
    pub name: String,
    /// Whether it is paused, by itself or with its service.
    pub paused: bool,
    /// Its own pause.
    pub pause: Option<PausedStatus>,
}

/// One pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PausedStatus {
    /// Since when: milliseconds since 1970.
    pub since_ms: u64,
    /// When it ends by itself: milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Who asked for it, as far as they said.
    pub by: Option<String>,
    /// Why, as far as they said.
    pub reason: Option<String>,
}
