//! `tls` of a listener.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::PositiveDuration;

/// TLS 1.2 and 1.3 towards clients.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerTls {
    /// One for every group of names. The client's SNI chooses; the first is for clients that send none,
    /// or a name that no certificate is for.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Vec<CertificateFiles>,
    /// For how long browsers are told to use nothing but HTTPS (Strict-Transport-Security), such as
    /// "365d". Default: they are not told.
    #[serde(default)]
    pub(crate) hsts: Option<PositiveDuration>,
}

/// A certificate and its key, in PEM files that are read again when they change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateFiles {
    /// The certificate, followed by those of its issuers. Taken from this file's folder.
    #[schemars(length(min = 1))]
    pub(crate) cert: PathBuf,
    /// The private key, not encrypted. Taken from this file's folder.
    #[schemars(length(min = 1))]
    pub(crate) key: PathBuf,
}

/// Whether and where to requests are redirected.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RedirectHttps {
    /// To port 443, or not at all.
    Choice(bool),
    /// To this port.
    Port(#[schemars(range(min = 1))] u16),
}

impl Default for RedirectHttps {
    fn default() -> Self {
        Self::Choice(false)
    }
}
