//! The front door: hosts at which clients name a model, and the models of services.

use std::collections::BTreeMap;

/// Where clients name a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontDoor {
    /// Its hosts, lower case, without port; some may be wildcards. Never empty.
    pub hosts: Vec<String>,
    /// Whether it has the hosts of the default service too, where that has models.
    pub takes_others: bool,
}

/// A model that a service has.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The name that clients use. No other service has one of this name.
    pub name: String,
    /// The name that the workers know.
    pub upstream: String,
    /// Parameters of requests that do not reach the workers; none of them is in `set`.
    pub strip: Vec<String>,
    /// Parameters that every request has, whatever its client says.
    pub set: BTreeMap<String, serde_json::Value>,
}

impl Model {
    /// Whether a request for it reaches the workers as it came.
    pub fn is_plain(&self) -> bool {
        self.name == self.upstream && self.strip.is_empty() && self.set.is_empty()
    }
}
