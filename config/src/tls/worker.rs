//! TLS towards the workers of a deployment.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
};

use super::{Certificate, file, provider};
use crate::Protocol;

/// Whom a worker's certificate must be from, and how we show who we are.
#[derive(Clone)]
pub struct WorkerTls {
    http1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    id: u64,
}

/// What a worker's certificate must be issued by.
pub enum Trust {
    /// One of the authorities that the system trusts.
    System,
    /// One of these.
    Own(Vec<CertificateDer<'static>>),
    /// Nobody: it is not looked at.
    Anybody,
}

impl Trust {
    /// The authorities of a PEM file.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate; the text names it.
    pub fn of_file(path: &Path) -> Result<Self, String> {
        file::certificates(path).map(Self::Own)
    }
}

impl WorkerTls {
    /// Verifies workers by `trust`, for `server_name` or else the host of their address. Shows
    /// `certificate` to those that ask for one.
    ///
    /// # Errors
    /// The system has no authorities, or a certificate cannot be used.
    pub fn new(
        trust: &Trust,
        server_name: Option<ServerName<'static>>,
        certificate: Option<&Certificate>,
    ) -> Result<Self, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match trust {
            Trust::System => builder.with_root_certificates(system()?),
            Trust::Own(roots) => builder.with_root_certificates(store(roots)?),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified)),
        };
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let own = SingleCertAndKey::from(Arc::clone(certificate.key()));
                let own: Arc<dyn ResolvesClientCert> = Arc::new(own);
                builder.with_client_cert_resolver(own)
            }
        };
        let mut offering = |protocol: &[u8]| {
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config.clone())
        };
        Ok(Self {
            http1: offering(b"http/1.1"),
            h2: offering(b"h2"),
            id: id(trust, server_name.as_ref(), certificate),
            server_name,
        })
    }

    /// What to connect with to a worker that speaks this protocol.
    pub fn client(&self, protocol: Protocol) -> &Arc<ClientConfig> {
        match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::H2 => &self.h2,
        }
    }

    /// The name that the certificate of a worker at this host must be for.
    ///
    /// # Errors
    /// The host can have no certificate.
    pub fn name_of(&self, host: &str) -> Result<ServerName<'static>, String> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(bare.to_owned())
            .map_err(|_| format!("{host} is no name that a certificate could be for"))
    }

    /// Equal for equal settings; never 0.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl PartialEq for WorkerTls {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for WorkerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerTls")
            .field("server_name", &self.server_name)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn id(
    trust: &Trust,
    server_name: Option<&ServerName<'static>>,
    certificate: Option<&Certificate>,
) -> u64 {
    let mut hasher = DefaultHasher::new();
    match trust {
        Trust::System => 0.hash(&mut hasher),
        Trust::Own(roots) => roots.iter().for_each(|root| root.hash(&mut hasher)),
        Trust::Anybody => 1.hash(&mut hasher),
    }
    server_name.hash(&mut hasher);
    certificate
        .map(|certificate| &certificate.key().cert)
        .hash(&mut hasher);
    hasher.finish().max(1)
}

/// The authorities that the system trusts: Debian's `ca-certificates`, or `SSL_CERT_FILE`.
fn system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs()
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?;
    let mut store = RootCertStore::empty();
    // Some systems carry a few that are malformed.
    store.add_parsable_certificates(found);
    if store.is_empty() {
        return Err(
            "the system has no certificates of authorities to verify workers by; install \
             ca-certificates, or name a file with `ca`"
                .to_owned(),
        );
    }
    Ok(store)
}

fn store(roots: &[CertificateDer<'static>]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        let added = store.add(root.clone());
        added.map_err(|error| format!("a certificate in it cannot be used: {error}"))?;
    }
    Ok(store)
}

/// Takes every certificate. What the worker signs must be signed by it all the same.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
