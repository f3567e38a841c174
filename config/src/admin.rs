//! The admin address, and who may use it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ServiceName;

/// The admin address and what control keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where the API, `/metrics`, `/healthz` and `/readyz` are served. Loopback where there are no tokens.
    pub address: SocketAddr,
    /// A Unix socket with the same pages, whose users need no token; absolute.
    pub socket: Option<PathBuf>,
    /// Host names it is asked by, besides IP addresses and `localhost`; lower case.
    pub hosts: Vec<String>,
    /// The SQLite file with journal, pauses, desired history and adopted workers; absolute.
    pub state: PathBuf,
    /// The tokens by name. Empty: whoever reaches the address may do everything.
    pub tokens: BTreeMap<String, AdminToken>,
}

impl Admin {
    /// Whether a running Penstock can go over to `new`: all but the tokens needs a restart.
    pub fn can_become(&self, new: &Self) -> bool {
        let tokens = BTreeMap::new();
        let without = |admin: &Self| Self {
            tokens: tokens.clone(),
            ..admin.clone()
        };
        without(self) == without(new)
    }
}

/// Who has this token.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// SHA-256 of each token that is valid now: several while one replaces another. Never empty.
    pub sha256: Vec<[u8; 32]>,
    /// What it allows.
    pub role: Role,
    /// The services that it is for; `None`: all, and what belongs to no service.
    pub services: Option<BTreeSet<ServiceName>>,
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminToken")
            .field("hashes", &self.sha256.len())
            .field("role", &self.role)
            .field("services", &self.services)
            .finish()
    }
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// To see.
    Viewer,
    /// To see and to change.
    Operator,
}

impl Role {
    /// As the file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
