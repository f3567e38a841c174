//! Who may use a service, and how much.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::KeySource;

/// Who may use a service.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Access {
    /// API keys by the name they are known under. Empty: nobody needs one.
    pub api_keys: BTreeMap<String, ApiKey>,
    /// Whether the header with the key is passed on to the worker.
    pub pass_api_key: bool,
    /// Whether a CORS preflight, which browsers send without a key, is let in without one.
    pub pass_preflight: bool,
    /// Who may ask for a deployment by its own host.
    pub deployment_hosts: DeploymentHosts,
    /// Networks (address and prefix length) of clients that are let in. Empty: all.
    pub allow: Vec<(IpAddr, u8)>,
    /// Networks of clients that are refused, even if they are allowed as well.
    pub deny: Vec<(IpAddr, u8)>,
}

/// Who may ask for a deployment by its own host, `{deployment}--{service}.{region}.{domain}`.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum DeploymentHosts {
    /// Whoever may use the service.
    #[default]
    Open,
    /// Nobody: the hosts lead nowhere.
    Closed,
    /// Whoever has a key of this SHA-256, in place of the service's API keys. Never empty.
    Key(Vec<[u8; 32]>),
}

impl std::fmt::Debug for DeploymentHosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Closed => "Closed",
            Self::Key(_) => "Key",
        })
    }
}

/// A client's API key, as far as the file tells it.
#[derive(Clone, PartialEq)]
pub struct ApiKey {
    /// SHA-256 of each key that is valid now: several while one replaces another. Never empty.
    pub sha256: Vec<[u8; 32]>,
    /// Class of its requests in the queue, which no header can change.
    pub class: Option<String>,
    /// The models that it is for, at the front door alone. `None`: whatever the service has.
    pub models: Option<Vec<String>>,
    /// Limits for this key alone, besides those of the service.
    pub limits: Vec<Limit>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("hashes", &self.sha256.len())
            .field("class", &self.class)
            .field("models", &self.models)
            .field("limits", &self.limits)
            .finish()
    }
}

/// A limit; the request that would break it is answered with 429.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What is limited.
    pub kind: LimitKind,
    /// Each different key has the limit for itself; `None`: all requests together. Requests without
    /// the key share one.
    pub per: Option<KeySource>,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// Requests in time.
    Rate {
        /// Requests per `period`; at least 1.
        requests: u32,
        /// Above zero.
        period: Duration,
        /// Requests that may come at once after a quiet time; at least 1.
        burst: u32,
    },
    /// Requests in flight or queued at once; at least 1.
    Concurrent(u32),
}
