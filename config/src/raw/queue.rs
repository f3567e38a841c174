//! `queue` of a service.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    RequestKey,
    text::{self, HeaderName, HumanDuration, PositiveDuration},
};

/// Bounds and order of the queue in which requests wait for a worker.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queue {
    /// Most requests waiting at once.
    #[schemars(range(max = 1_000_000))]
    pub(crate) max_requests: u32,
    /// Longest wait for a worker.
    pub(crate) max_wait: PositiveDuration,
    /// Refuses a request at once that cannot get a worker before its wait would be over anyway.
    pub(crate) shed_early: bool,
    /// Tells clients that had to wait about it: position, predicted wait, and the wait itself.
    pub(crate) headers: bool,
    /// At the front door a streaming request that has waited so long gets its 200 and keep-alives until its
    /// worker answers. Default: it waits for its answer's head.
    pub(crate) begin_stream_after: Option<PositiveDuration>,
    /// Classes of requests by name: one of a class counts as if it had come so much later. Requests
    /// of no class are not delayed.
    #[schemars(extend("propertyNames" = text::name_schema()))]
    pub(crate) classes: BTreeMap<String, HumanDuration>,
    /// The header that names a request's class. Default: only API keys have a class.
    pub(crate) class_header: Option<HeaderName>,
    /// Requests with different values get their turns alternately, however many one of them sends;
    /// those without a value count as one. "api-key", "client-address", or a table with `header`,
    /// `cookie` or `query`. Default: first come, first served.
    pub(crate) fair_by: Option<RequestKey>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            max_requests: 10_000,
            max_wait: PositiveDuration(Duration::from_secs(300)),
            shed_early: true,
            headers: true,
            begin_stream_after: None,
            classes: BTreeMap::new(),
            class_header: None,
            fair_by: None,
        }
    }
}
