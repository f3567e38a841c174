//! A service: the named thing with a URL that clients call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Access, Balance, Deployment, DeploymentName, Ejection, FrontDoor, Hash, KeySource, Limit,
    MatchRule, Mirror, Model, Retries, ServiceName, Split, Sticky,
    raw::text::{HumanDuration, PositiveDuration, above_zero, above_zero_if_any, human},
};

/// One checked service. Equality means that nothing a user can set differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its name, also the first label of its URL.
    pub name: ServiceName,
    /// Shown to people; 1 to 128 characters of any script. The name when the user gave none.
    pub display_name: String,
    /// Whether requests come here whose host no service names.
    pub is_default: bool,
    /// Every host name that leads here, lower case, without port: `{service}.{region}.{domain}` first, then the
    /// service's own `hosts`, of which some may be wildcards: `*.example.org`.
    pub hosts: Vec<String>,
    /// Path prefixes this service answers to, each beginning with `/` and without `.` and `..`
    /// segments. `["/"]` when unrestricted. They match whole segments: `/v1` and `/v1/` mean the same.
    pub paths: Vec<String>,
    /// Its models, by which the front door finds it.
    pub models: Vec<Model>,
    /// The front door that its models are at.
    pub front_door: Arc<FrontDoor>,
    /// How a worker is picked.
    pub balance: Balance,
    /// How a deployment is chosen.
    pub split: Split,
    /// What requests are hashed by; always there when `balance` or `split` hashes.
    pub hash: Option<Hash>,
    /// Binds clients to a deployment; only with a split by weights.
    pub sticky: Option<Sticky>,
    /// Requests that go to a certain deployment; the first rule that fits counts.
    pub matches: Vec<MatchRule>,
    /// Copies of requests for another deployment.
    pub mirror: Option<Mirror>,
    /// When failing workers are taken out of picking.
    pub ejection: Ejection,
    /// When a failed request is sent again.
    pub retries: Retries,
    /// Who may use it.
    pub access: Access,
    /// How much may be used; all of them hold.
    pub limits: Vec<Limit>,
    /// How long a request may wait in one tier before it may go to the next one; `None`: all deployments
    /// are of one tier.
    pub overflow_after: Option<Duration>,
    /// Bounds and order of the queue, for all deployments of the service together.
    pub queue: Queue,
    /// The clocks of a request.
    pub timeouts: Timeouts,
    /// What is done to know the tokens of its requests.
    pub token_usage: TokenUsage,
    /// Longest request body in bytes; `None` for no limit.
    pub max_body_bytes: Option<u64>,
    /// The deployments by name; never empty.
    pub deployments: BTreeMap<DeploymentName, Arc<Deployment>>,
}

/// What is done to know the tokens of requests for models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenUsage {
    /// Answers are read as they pass, and workers are asked for the usage of streams at the front door.
    Ask,
    /// Answers are read as they pass.
    Read,
    /// Nothing.
    Off,
}

/// Protocol spoken to the workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 with prior knowledge; what gRPC services need.
    H2,
}

/// Bounds and order of a service's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Most requests waiting at once.
    pub max_requests: usize,
    /// Longest wait for a worker.
    pub max_wait: Duration,
    /// Whether a request is refused at once that cannot get a worker before its wait would be over.
    pub shed_early: bool,
    /// Whether clients that had to wait are told about it.
    pub headers: bool,
    /// After how long of waiting the answer to a streaming request at the front door begins.
    pub begin_stream_after: Option<Duration>,
    /// Classes of requests: one of a class counts as if it had come so much later. Requests of no
    /// class are not delayed.
    pub classes: BTreeMap<String, Duration>,
    /// The header that names a request's class, in lower case.
    pub class_header: Option<String>,
    /// Requests with different keys get their turns alternately, however many one of them sends.
    /// Requests without the key count as one. `None`: first come, first served.
    pub fair_by: Option<KeySource>,
}

/// The clocks of a request. All of them stop once an upgrade was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// To open a connection to a worker.
    #[serde(with = "above_zero")]
    #[schemars(with = "PositiveDuration")]
    pub connect: Duration,
    /// From the moment a worker has the request's head until the head of its response.
    #[serde(with = "above_zero")]
    #[schemars(with = "PositiveDuration")]
    pub first_byte: Duration,
    /// Longest silence between two pieces of a body, in either direction.
    #[serde(with = "above_zero")]
    #[schemars(with = "PositiveDuration")]
    pub idle: Duration,
    /// From the request's head to the end of the response. Default: no limit.
    #[serde(with = "above_zero_if_any")]
    #[schemars(with = "Option<PositiveDuration>")]
    pub total: Option<Duration>,
    /// How long an unused connection to a worker is kept. Must be shorter than the worker keeps it
    /// (uvicorn: 5 s), so that a request never meets a connection that is just closing. "0s" keeps none.
    #[serde(with = "human")]
    #[schemars(with = "HumanDuration")]
    pub keepalive: Duration,
    /// Bytes per second that a client must send or take while it is the one that is waited for. 0 for no
    /// such limit.
    #[schemars(range(max = 1_000_000))]
    pub min_rate: u32,
    /// How far behind `min_rate` a client may be before its request is ended.
    #[serde(with = "above_zero")]
    #[schemars(with = "PositiveDuration")]
    pub min_rate_window: Duration,
}

impl Timeouts {
    /// How fast clients must be.
    pub fn min_rate(&self) -> MinRate {
        MinRate {
            bytes_per_second: self.min_rate,
            window: self.min_rate_window,
        }
    }
}

/// How fast a client must send its request, and take its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    /// Bytes per second while the client is the one that is waited for; 0 for no such limit.
    pub bytes_per_second: u32,
    /// How far behind that it may be.
    pub window: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            total: None,
            keepalive: Duration::from_secs(4),
            // The rate is that of IIS and Kestrel. They give a client 5 s, Apache 20 s, nginx (which
            // only knows silence) 60 s: a mobile client that changes networks is not gone.
            min_rate: 240,
            min_rate_window: Duration::from_secs(30),
        }
    }
}
