//! What of a request tells apart those that a limit or a turn is for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{CookieName, HeaderName, QueryName};

/// What tells requests apart.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RequestKey {
    /// Something that is known about the client.
    Client(ClientKey),
    /// Something that is in the request.
    Part(KeyPart),
}

/// Something that is known about the client.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientKey {
    /// The name of its API key.
    ApiKey,
    /// Its IP address: behind a trusted proxy the one that the proxy names.
    ClientAddress,
}

/// Something that is in the request; exactly one of `header`, `cookie` and `query`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyPart {
    /// The value of this header.
    pub(crate) header: Option<HeaderName>,
    /// The value of this cookie.
    pub(crate) cookie: Option<CookieName>,
    /// The value of this query parameter.
    pub(crate) query: Option<QueryName>,
}
