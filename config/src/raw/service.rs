//! `[services.NAME]`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ApiKey, Balance, Clients, Deployment, DeploymentHosts, Ejection, Hash, Limit, MatchRule,
    Mirror, Model, Queue, Retries, Split, Sticky,
    text::{self, ByteSize, HostName, HumanDuration, UrlPath},
};
use crate::{DeploymentName, Protocol, Timeouts, TokenUsage};

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
    /// Models by the names under which clients ask for them at the front door. No other service has one
    /// of the same name.
    pub(crate) models: Vec<Model>,
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
    /// How long a request may wait in one tier of deployments before it may go to the next one. Only with
    /// deployments of several tiers. Default: "2s".
    pub(crate) overflow_after: Option<HumanDuration>,
    /// Bounds and order of the queue in which requests wait for a worker, for all deployments
    /// together.
    pub(crate) queue: Queue,
    /// The clocks of a request. All of them stop once an upgrade was accepted.
    pub(crate) timeouts: Timeouts,
    /// What is done to know the tokens of requests for models: "read" reads answers of the OpenAI and Anthropic
    /// APIs as they pass, "ask" also asks the workers for the usage of streams at the front door, where the
    /// client does not, and takes it out of the answer again; "off" does nothing. Default: "ask" for a service
    /// with models, "off" for others.
    pub(crate) token_usage: Option<TokenUsage>,
    /// Longest request body. Default: no limit.
    pub(crate) max_body: Option<ByteSize>,
    /// The deployments by name: variants of the service with their own workers.
    #[schemars(with = "BTreeMap<String, Deployment>", extend("propertyNames" = text::name_schema()))]
    pub(crate) deployments: BTreeMap<DeploymentName, Deployment>,
}
