//! `[front_door]`, and `models` of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::HostName;

/// Where clients name a model, and the gateway finds the service that has it.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FrontDoor {
    /// Hosts of the front door. Default: api.{region}.{domain}, and where the default service has models
    /// every host that no service names.
    #[schemars(length(min = 1))]
    pub(crate) hosts: Option<Vec<HostName>>,
}

/// A model that a service has.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Model {
    /// One that the workers know by this name.
    Plain(String),
    /// One with settings.
    Table(ModelTable),
}

/// A model with settings.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelTable {
    /// The name that clients use; 1 to 200 characters.
    pub(crate) name: String,
    /// The name that the workers know. Default: the same.
    #[serde(default)]
    pub(crate) upstream: Option<String>,
    /// Parameters of requests that do not reach the workers.
    #[serde(default)]
    pub(crate) strip: Vec<String>,
    /// Parameters that every request has, whatever its client says.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Value>,
}
