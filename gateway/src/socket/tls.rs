//! TLS towards clients: what is offered, and with which certificate.

mod failures;
mod handshake;
mod maybe;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use penstock_config::{ListenerTls, provider};
use rustls::{
    ServerConfig, SignatureScheme,
    crypto::ring::Ticketer,
    server::{ClientHello, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
};

pub(crate) use self::{
    failures::{Handshakes, Outcome},
    handshake::{Failed, TlsClient, Upfront, handshake},
    maybe::MaybeTls,
};

/// First byte of every TLS connection: a record that holds a handshake (RFC 8446 §5.1).
pub(crate) const HELLO: u8 = 22;

/// HTTP/2 first: what a client offers both of it is to speak.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What connections of a listener are secured with.
pub(crate) fn server_config(tls: &ListenerTls) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(provider());
    let mut config = builder
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni::new(tls)));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    if let Some(tickets) = tickets() {
        config.ticketer = tickets;
    }
    Arc::new(config)
}

/// Encrypts the sessions that clients resume. The same for all listeners and after every reload, so
/// that none of them makes clients begin anew; the keys change by themselves.
fn tickets() -> Option<Arc<dyn ProducesTickets>> {
    static TICKETS: OnceLock<Option<Arc<dyn ProducesTickets>>> = OnceLock::new();
    // Without randomness nothing works; then without tickets too.
    TICKETS.get_or_init(|| Ticketer::new().ok()).clone()
}

/// Chooses the certificate by the host that the client asks for.
struct BySni {
    /// By name; wildcards without their `*`.
    exact: HashMap<String, Keys>,
    wildcards: HashMap<String, Keys>,
    default: Keys,
}

/// Certificates for the same name, in the order of the file: one for each kind of key, perhaps.
type Keys = Vec<Arc<CertifiedKey>>;

impl BySni {
    fn new(tls: &ListenerTls) -> Self {
        let mut exact = HashMap::<_, Keys>::new();
        let mut wildcards = HashMap::<_, Keys>::new();
        for certificate in &tls.certificates {
            for name in certificate.names() {
                let keys = match name.strip_prefix('*') {
                    Some(rest) => wildcards.entry(rest.to_owned()),
                    None => exact.entry(name.clone()),
                };
                keys.or_default().push(Arc::clone(certificate.key()));
            }
        }
        let default = tls.certificates.iter().take(1);
        Self {
            exact,
            wildcards,
            default: default.map(|first| Arc::clone(first.key())).collect(),
        }
    }

    fn find(&self, name: Option<&str>) -> &Keys {
        // rustls gives it in lower case and without the dot at its end.
        let by_name = name.and_then(|name| {
            let wildcard = || self.wildcards.get(&name[name.find('.')?..]);
            self.exact.get(name).or_else(wildcard)
        });
        by_name.unwrap_or(&self.default)
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let keys = self.find(name);
        let usable = keys
            .iter()
            .find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or_else(|| keys.first()).cloned()
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.choose(name.as_deref(), hello.signature_schemes())
    }
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BySni")
    }
}

#[cfg(test)]
mod tests;
