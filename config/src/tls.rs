//! Certificates and keys: read from their files, and known to be usable.
//!
//! All TLS of the program is rustls with one provider of cryptography, [`provider`].

mod certificate;
mod file;
mod worker;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};

pub use certificate::Certificate;
pub(crate) use certificate::Faulty;
pub use worker::{Trust, WorkerTls};

/// The cryptography of every TLS connection.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// Never empty. The first is for clients that name no host, or one that none is for.
    pub certificates: Vec<Certificate>,
    /// For how long browsers are told to use nothing but HTTPS; `None`: they are not told.
    pub hsts: Option<std::time::Duration>,
}

impl ListenerTls {
    /// Whether a client that asks for `host` gets a certificate that is valid for it.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.certificates
            .iter()
            .any(|certificate| certificate.covers(host))
    }
}
