//! `balance` and `hash` of a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{CookieName, HeaderName, QueryName};

/// How a worker is picked; always by weight.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Balance {
    /// In turn.
    RoundRobin,
    /// The fewest requests in flight.
    #[default]
    LeastConnections,
    /// At random.
    Random,
    /// The worker that the request's `hash` belongs to.
    Hash,
    /// Of two random workers the one that is expected to answer sooner.
    PeakEwma,
}

/// What requests are hashed by, with exactly one of `header`, `cookie`, `query` and
/// `client_address`, and what becomes of those whose worker is busy.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Hash {
    /// The value of this header.
    pub(crate) header: Option<HeaderName>,
    /// The value of this cookie.
    pub(crate) cookie: Option<CookieName>,
    /// The value of this query parameter.
    pub(crate) query: Option<QueryName>,
    /// The client's IP address: behind a trusted proxy the one that the proxy names.
    pub(crate) client_address: Option<bool>,
    /// When a request goes to another worker than its own. Only for `balance = "hash"`.
    pub(crate) overflow: Overflow,
    /// With overflow = "above-mean": how many times the mean load a worker may have.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) load_factor: f64,
}

impl Default for Hash {
    fn default() -> Self {
        Self {
            header: None,
            cookie: None,
            query: None,
            client_address: None,
            overflow: Overflow::AboveMean,
            // Usual with bounded loads (arXiv 1608.01350); less scatters the keys.
            load_factor: 1.25,
        }
    }
}

/// When a request goes to another worker than the one its hash belongs to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Overflow {
    /// When the worker has `load_factor` times the mean load.
    AboveMean,
    /// When the worker is at its `max_concurrency`.
    WhenFull,
    /// Never: it waits for its worker although others may be free.
    Never,
}
