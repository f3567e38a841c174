//! `split`, `sticky` and `match` of a service, `when_cold` of a deployment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{self, CookieName, HeaderName, Method, PositiveDuration, UrlPath};
use crate::DeploymentName;

/// How the deployment of a request is chosen.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Split {
    /// By the deployments' weights, exact over any window.
    #[default]
    Weights,
    /// By the number of ready workers.
    Workers,
    /// In turn.
    RoundRobin,
    /// The fewest requests for its weight.
    LeastConnections,
    /// At random, by weight.
    Random,
    /// The deployment that the request's `hash` belongs to, by weight.
    Hash,
}

/// Keeps every client at its deployment, as long as that deployment's share does not shrink. Has
/// exactly one of `cookie` and `header`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sticky {
    /// Clients are told apart by this cookie; one without it is given one.
    pub(crate) cookie: Option<CookieName>,
    /// With `cookie`: how long browsers keep it. Default: until the browser is closed.
    pub(crate) max_age: Option<PositiveDuration>,
    /// Clients are told apart by this header.
    pub(crate) header: Option<HeaderName>,
}

/// Sends requests of a certain kind to one deployment, whatever the split. A request matches when
/// everything that is given fits; at least one condition must be given.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchRule {
    /// The deployment they go to.
    #[schemars(schema_with = "text::schema_of_names")]
    pub(crate) to: DeploymentName,
    /// Headers and the value that each must have; "*" for any.
    #[serde(default)]
    #[schemars(extend("propertyNames" = text::header_name_schema()))]
    pub(crate) headers: BTreeMap<String, String>,
    /// Cookies and the value that each must have; "*" for any.
    #[serde(default)]
    #[schemars(extend("propertyNames" = text::cookie_name_schema()))]
    pub(crate) cookies: BTreeMap<String, String>,
    /// A path prefix; it matches whole segments.
    pub(crate) path: Option<UrlPath>,
    /// Methods, of which one must fit.
    #[schemars(length(min = 1))]
    pub(crate) methods: Option<Vec<Method>>,
}

/// What becomes of the share of a deployment that has no ready worker.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WhenCold {
    /// Its requests wait and wake it.
    #[default]
    Hold,
    /// Its requests go to the siblings.
    Spill,
}
