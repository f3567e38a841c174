//! `[services.NAME]`.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiKey, Balance, Clients, Deployment, DeploymentHosts, Ejection, Hash, Limit, MatchRule,
    Mirror, Queue, Retries, Split, Sticky,
    text::{self, ByteSize, HostName, HumanDuration, PositiveDuration, UrlPath},
};
use crate::DeploymentName;

/// A service: the named thing with a URL that clients call.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Service {
    /// Shown to people; 1 to 128 characters of any script. Default: the service's name.
    #[schemars(length(min = 1, max = 128))]
    pub(crate) display_name: Option<String>,
    /// Whether requests come here whose host no service names, such as those to the gateway's address.
    /// At most one service.
    pub(crate) default: bool,
    /// Further host names that lead here. {service}.{region}.{domain} always does. "*.example.org" stands
    /// for every name below example.org that no service names in full.
    pub(crate) hosts: Vec<HostName>,
    /// Path prefixes this service answers to; the longest that fits wins. They match whole
    /// segments: "/v1" fits /v1 and /v1/models, but not /v10. Default: all paths.
    #[schemars(length(min = 1))]
    pub(crate) paths: Option<Vec<UrlPath>>,
    /// How a worker is picked.
    pub(crate) balance: Balance,
    /// How the deployment of a request is chosen.
    pub(crate) split: Split,
    /// What requests are hashed by. Required for `balance = "hash"` and `split = "hash"`.
    pub(crate) hash: Option<Hash>,
    /// Keeps every client at its deployment. Only for `split = "weights"`. Default: every request is
    /// split for itself.
    pub(crate) sticky: Option<Sticky>,
    /// Requests that go to a certain deployment, whatever the split; the first rule that fits counts.
    #[serde(rename = "match")]
    pub(crate) matches: Vec<MatchRule>,
    /// Copies of requests go to a deployment whose answers are thrown away. Default: none.
    pub(crate) mirror: Option<Mirror>,
    /// When a worker that fails requests is taken out of picking, and for how long.
    pub(crate) ejection: Ejection,
    /// When a request that failed is sent again, to another worker where there is one.
    pub(crate) retries: Retries,
    /// API keys by a name of 1 to 30 of a-z, 0-9 and single hyphens. A request needs one of them, as
    /// Authorization: Bearer KEY or X-Api-Key: KEY. Default: nobody needs one.
    #[schemars(extend("propertyNames" = text::name_schema()))]
    pub(crate) api_keys: BTreeMap<String, ApiKey>,
    /// Whether the header with the API key is passed on to the worker.
    pub(crate) pass_api_key: bool,
    /// Whether a browser's question before a request from another site (a CORS preflight), which never
    /// has an API key, is passed on to the worker without one. It can wake a service from zero.
    pub(crate) pass_preflight: bool,
    /// Whether {deployment}--{service}.{region}.{domain} leads to the deployment: true for whoever may use
    /// the service, false for nobody, or for those who have a key of its own: { sha256 = "…" }.
    pub(crate) deployment_hosts: DeploymentHosts,
    /// Who is let in, by the client's IP address.
    pub(crate) clients: Clients,
    /// How much may be used; all of them hold. Default: no limit.
    pub(crate) limits: Vec<Limit>,
    /// Protocol spoken to the workers. gRPC services need "h2".
    pub(crate) protocol: Protocol,
    /// Bounds and order of the queue in which requests wait for a worker, for all deployments
    /// together.
    pub(crate) queue: Queue,
    /// The clocks of a request. All of them stop once an upgrade was accepted.
    pub(crate) timeouts: Timeouts,
    /// Longest request body. Default: no limit.
    pub(crate) max_body: Option<ByteSize>,
    /// The deployments by name: variants of the service with their own workers.
    #[schemars(with = "BTreeMap<String, Deployment>", extend("propertyNames" = text::name_schema()))]
    pub(crate) deployments: BTreeMap<DeploymentName, Deployment>,
}

/// Protocol spoken to the workers.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    #[default]
    Http1,
    H2,
}

/// The clocks of a request.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// To open a connection to a worker.
    pub(crate) connect: PositiveDuration,
    /// From the moment a worker has the request's head until the head of its response.
    pub(crate) first_byte: PositiveDuration,
    /// Longest silence between two pieces of a body, in either direction.
    pub(crate) idle: PositiveDuration,
    /// From the request's head to the end of the response. Default: no limit.
    pub(crate) total: Option<PositiveDuration>,
    /// How long an unused connection to a worker is kept. Must be shorter than the worker keeps it
    /// (uvicorn: 5 s). "0s" keeps none.
    pub(crate) keepalive: HumanDuration,
    /// Bytes per second that a client must send or take while it is the one that is waited for. 0 for no
    /// such limit.
    #[schemars(range(max = 1_000_000))]
    pub(crate) min_rate: u32,
    /// How far behind `min_rate` a client may be before its request is ended.
    pub(crate) min_rate_window: PositiveDuration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: PositiveDuration(Duration::from_secs(5)),
            first_byte: PositiveDuration(Duration::from_secs(300)),
            idle: PositiveDuration(Duration::from_secs(300)),
            total: None,
            keepalive: HumanDuration(Duration::from_secs(4)),
            // The rate is that of IIS and Kestrel. They give a client 5 s, Apache 20 s, nginx (which
            // only knows silence) 60 s: a mobile client that changes networks is not gone.
            min_rate: 240,
            min_rate_window: PositiveDuration(Duration::from_secs(30)),
        }
    }
}
