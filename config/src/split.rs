//! How the deployment of a request is chosen.

use std::time::Duration;

use crate::{DeploymentName, KeySource};

/// How the deployment of a request is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// By the deployments' weights, exact over any window (smooth weighted round robin).
    Weights,
    /// By the number of ready workers.
    Workers,
    /// In turn; a deployment of weight 0 is left out.
    RoundRobin,
    /// The fewest requests for its weight.
    LeastConnections,
    /// At random, by weight.
    Random,
    /// By the request's [`Hash`](crate::Hash), in proportion to the weights.
    Hash,
}

impl std::fmt::Display for Split {
    /// As the file has it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Workers => "workers",
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
            Self::Hash => "hash",
        })
    }
}

/// Makes a split by weights stable per key: a key stays with its deployment as long as that
/// deployment's share does not shrink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// A header or a cookie.
    pub by: KeySource,
    /// For a cookie: how long the browser keeps the one that a client without it is given. `None`:
    /// until the browser is closed.
    pub max_age: Option<Duration>,
}

/// Sends requests of a certain kind to one deployment, whatever the split. A request matches when
/// everything that is given fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchRule {
    /// Where they go.
    pub to: DeploymentName,
    /// Header names in lower case, and the value each must have; `None`: any value.
    pub headers: Vec<(String, Option<String>)>,
    /// Cookies, and the value each must have; `None`: any value.
    pub cookies: Vec<(String, Option<String>)>,
    /// A path prefix of whole segments.
    pub path: Option<String>,
    /// Methods, of which one must fit; empty: all.
    pub methods: Vec<String>,
}

/// What becomes of the share of a deployment that has no ready worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenCold {
    /// Its requests wait and wake it.
    Hold,
    /// Its requests go to the siblings.
    Spill,
}
