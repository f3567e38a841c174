//! `admin`: who may see and change a running Penstock.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    KeyHashes,
    text::{self, HostName, SocketAddress},
};
use crate::{Role, ServiceName};

/// API, metrics, and what the control service keeps.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// IP address and port of the API, /metrics, /healthz and /readyz. Other machines can reach it only
    /// where there are `tokens`.
    pub(crate) address: SocketAddress,
    /// Unix socket with the same pages, mode 0660: whoever may write to the file is an operator and needs
    /// no token. Default: none.
    #[schemars(length(min = 1))]
    pub(crate) socket: Option<PathBuf>,
    /// Names by which the admin address is asked, besides IP addresses and localhost. Requests for
    /// any other host are refused: they may come from a web page whose name was made to lead here.
    pub(crate) hosts: Vec<HostName>,
    /// SQLite file with decisions, pauses and adopted workers.
    #[schemars(length(min = 1))]
    pub(crate) state: PathBuf,
    /// Tokens by a name of 1 to 30 of a-z, 0-9 and single hyphens. Where there are some, whoever asks the
    /// address needs one, as Authorization: Bearer TOKEN. Default: nobody needs one.
    #[schemars(extend("propertyNames" = text::name_schema()))]
    pub(crate) tokens: BTreeMap<String, AdminToken>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: SocketAddress(SocketAddr::from((Ipv4Addr::LOCALHOST, 9900))),
            socket: None,
            hosts: Vec::new(),
            state: PathBuf::from("penstock.db"),
            tokens: BTreeMap::new(),
        }
    }
}

/// Who has this token. `penstock token` makes one.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdminToken {
    /// SHA-256 of the token, 64 hexadecimal digits; or several, all valid, while one token replaces
    /// another.
    pub(crate) sha256: KeyHashes,
    /// "viewer" sees everything and changes nothing, "operator" may do everything.
    pub(crate) role: Role,
    /// The services that it is for: of others it neither sees nor changes anything. Default: all, and
    /// what belongs to no service.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", length(min = 1), extend("items" = text::name_schema()))]
    pub(crate) services: Option<Vec<ServiceName>>,
}
