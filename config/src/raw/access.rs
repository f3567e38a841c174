//! `api_keys`, `clients` and `limits` of a service.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    RequestKey,
    text::{KeyHash, Network, PositiveDuration},
};

/// A client's API key. `penstock key` makes one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// SHA-256 of the key, 64 hexadecimal digits; or several, all valid, while one key replaces
    /// another.
    pub(crate) sha256: KeyHashes,
    /// Class of its requests in the queue, one of `queue.classes`; no header can change it.
    #[serde(default)]
    pub(crate) class: Option<String>,
    /// Models of the service that it is for; it is of use at the front door alone then. Default: all, and
    /// the service's own hosts too.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) models: Option<Vec<String>>,
    /// Limits for this key alone, besides those of the service.
    #[serde(default)]
    pub(crate) limits: Vec<Limit>,
}

/// One hash or several.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum KeyHashes {
    /// One.
    One(KeyHash),
    /// Several.
    Several(#[schemars(length(min = 1))] Vec<KeyHash>),
}

/// Whether the deployments' own hosts lead anywhere, or the key that they need.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum DeploymentHosts {
    /// For whoever may use the service, or for nobody.
    Open(bool),
    /// For whoever has this key.
    Key(HostKey),
}

/// A key of its own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostKey {
    /// SHA-256 of the key (`penstock key` makes one), or several.
    pub(crate) sha256: KeyHashes,
}

impl Default for DeploymentHosts {
    fn default() -> Self {
        Self::Open(true)
    }
}

/// Who is let in, by the client's IP address: behind a trusted proxy the one that the proxy names.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Clients {
    /// Networks of clients that are let in, such as "10.0.0.0/8". Default: all.
    #[schemars(length(min = 1))]
    pub(crate) allow: Option<Vec<Network>>,
    /// Networks of clients that are refused, even if they are allowed as well.
    pub(crate) deny: Vec<Network>,
}

/// A limit, with exactly one of `requests` and `concurrent`. The request that would break it is
/// answered with 429.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limit {
    /// Requests in each `period`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) requests: Option<u32>,
    /// For `requests`: the time they are for. At most 1d.
    pub(crate) period: PositiveDuration,
    /// For `requests`: how many may come at once after a quiet time. Default: `requests`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) burst: Option<u32>,
    /// Requests in flight or queued at once.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) concurrent: Option<u32>,
    /// Each different value has the limit for itself; requests without one share it. "api-key",
    /// "client-address", or a table with `header`, `cookie` or `query`. Default: all requests
    /// together.
    pub(crate) per: Option<RequestKey>,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            requests: None,
            period: PositiveDuration(Duration::from_secs(1)),
            burst: None,
            concurrent: None,
            per: None,
        }
    }
}
