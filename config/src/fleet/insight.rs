//! What a gateway tells of one service when somebody asks why it is slow. Nothing is decided by it.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{LatencyHistogram, WorkerId};
use crate::DeploymentName;

/// How the requests of one service did of late, and which are open.
#[derive(Debug, Clone, Default)]
pub struct ServiceInsight {
    /// Its deployments.
    pub deployments: Vec<DeploymentInsight>,
    /// The oldest of its open requests, oldest first.
    pub oldest: Vec<OpenRequest>,
    /// How many are open in all.
    pub open: usize,
}

/// How the requests of one deployment did of late.
#[derive(Debug, Clone)]
pub struct DeploymentInsight {
    /// Which one.
    pub deployment: DeploymentName,
    /// From the request's head on, waits included.
    pub recent: Recent,
    /// Its workers, each from when it got a request on.
    pub workers: Vec<(WorkerId, Recent)>,
}

/// Counts of the last half to whole minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    /// How much time they are of.
    pub over: Duration,
    /// Requests that ended.
    pub ended: u64,
    /// Requests that got an error or were cut off.
    pub failed: u64,
    /// Requests whose client left before the end.
    pub left: u64,
    /// Times to the first byte of the answer's body.
    pub first_byte: LatencyHistogram,
    /// Times to the end, of those that the gateway did not refuse.
    pub whole: LatencyHistogram,
}

/// A request that is open.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// Its id, cut where it is long.
    pub id: String,
    /// Its method.
    pub method: String,
    /// Its path without the query, cut where it is long.
    pub path: String,
    /// Who asks.
    pub client: IpAddr,
    /// The deployment that is to answer.
    pub deployment: DeploymentName,
    /// The slot of the worker that it has, or had last.
    pub worker: Option<u32>,
    /// How long it has been open.
    pub age: Duration,
    /// What it waits for.
    pub stage: Stage,
    /// How long it has.
    pub in_stage: Duration,
}

/// What an open request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A worker.
    Queue,
    /// A connection to the worker.
    Connect,
    /// The first byte of the answer's body.
    FirstByte,
    /// The rest of the answer.
    Stream,
    /// The end of an upgraded connection.
    Tunnel,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::FirstByte => "first byte",
            Self::Stream => "stream",
            Self::Tunnel => "tunnel",
        })
    }
}
