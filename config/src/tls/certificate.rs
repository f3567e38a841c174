//! One certificate with its chain and its key.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use super::{
    file::{self, about},
    provider,
};
use crate::ConfigError;

/// A certificate whose chain and key fit it. It may be out of date.
#[derive(Clone)]
pub struct Certificate {
    key: Arc<CertifiedKey>,
    file: PathBuf,
    names: Vec<String>,
    begins: SystemTime,
    ends: SystemTime,
    /// Where the configuration names it, for errors that come with time.
    place: ConfigError,
}

/// Which of the two files is to blame, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Faulty {
    Cert(String),
    Key(String),
}

impl Certificate {
    /// Reads the two files. `place` is where errors that come with time are to point to.
    pub(crate) fn load(cert: &Path, key: &Path, place: ConfigError) -> Result<Self, Faulty> {
        let chain = file::certificates(cert).map_err(Faulty::Cert)?;
        let key = file::key(key).map_err(Faulty::Key)?;
        let bad = |rule: String| Faulty::Cert(about(cert, &rule));
        let parsed: Vec<_> = chain
            .iter()
            .enumerate()
            .map(
                |(index, der)| match x509_parser::parse_x509_certificate(der) {
                    Ok((_, parsed)) => Ok(parsed),
                    Err(error) => Err(bad(format!(
                        "certificate {} in it is malformed: {error}",
                        index + 1
                    ))),
                },
            )
            .collect::<Result<_, _>>()?;
        check_key(&chain, &key).map_err(bad)?;
        check_chain(&parsed).map_err(bad)?;
        let names = names(&parsed[0]);
        let [begins, ends] = [
            parsed[0].validity().not_before,
            parsed[0].validity().not_after,
        ]
        .map(|at| time(at.timestamp()));
        drop(parsed);
        let key = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|error| bad(format!("cannot be used: {error}")))?;
        Ok(Self {
            key: Arc::new(key),
            file: cert.to_owned(),
            names,
            begins,
            ends,
            place,
        })
    }

    /// What rustls takes for a handshake.
    pub fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The file that the certificate was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The host names and addresses that it is for, in lower case; wildcards as `*.example.org`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// When it ends to be valid.
    pub fn ends(&self) -> SystemTime {
        self.ends
    }

    /// What is wrong with it at `now`, if it is out of date.
    pub fn outdated(&self, now: SystemTime) -> Option<ConfigError> {
        let rule = if now > self.ends {
            "has expired: it was valid until"
        } else if now < self.begins {
            "is not valid yet, but only from"
        } else {
            return None;
        };
        let at = if now > self.ends {
            self.ends
        } else {
            self.begins
        };
        let at = jiff::Timestamp::try_from(at).map_or_else(|_| "?".to_owned(), |at| at.to_string());
        Some(ConfigError {
            rule: about(&self.file, &format!("{rule} {at}")),
            ..self.place.clone()
        })
    }

    /// Whether clients accept it for this host, which may be a pattern such as `*.example.org`.
    pub(crate) fn covers(&self, host: &str) -> bool {
        // A wildcard is for exactly one more label, so any label does for a test.
        let host = host.replacen("*.", "any.", 1);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let leaf = ParsedCertificate::try_from(&self.key.cert[0]);
        match (leaf, ServerName::try_from(host)) {
            (Ok(leaf), Ok(name)) => verify_server_name(&leaf, &name).is_ok(),
            _ => false,
        }
    }
}

/// A key belongs to one certificate, so the chain tells. Where the configuration names it does not
/// count.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.key.cert == other.key.cert
    }
}

/// Without the key.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("file", &self.file)
            .field("names", &self.names)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// That the key is that of the first certificate.
fn check_key(
    chain: &[CertificateDer<'static>],
    key: &rustls::pki_types::PrivateKeyDer<'static>,
) -> Result<(), String> {
    let fits = |certificate: &CertificateDer<'static>| {
        CertifiedKey::from_der(vec![certificate.clone()], key.clone_key(), &provider())
    };
    match fits(&chain[0]) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let other = chain[1..].iter().position(|other| fits(other).is_ok());
            Err(match other {
                Some(index) => format!(
                    "must begin with the certificate of the key, which is number {} in it",
                    index + 2
                ),
                None => "is not the certificate of this key".to_owned(),
            })
        }
        Err(error) => Err(format!("cannot be used with this key: {error}")),
    }
}

/// That every certificate is followed by its issuer's, as far as clients need that.
fn check_chain(chain: &[X509Certificate<'_>]) -> Result<(), String> {
    for (index, pair) in chain.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(format!(
                "certificate {} in it must be that of \"{}\", which issued certificate {}",
                index + 2,
                pair[0].issuer(),
                index + 1
            ));
        }
    }
    match chain {
        [alone] if tells_its_issuer(alone) && !is_issued_by_root(alone) => Err(format!(
            "lacks the intermediate certificate of its issuer \"{}\", without which clients cannot \
             trust it; use the file with the whole chain (certbot calls it fullchain.pem)",
            alone.issuer()
        )),
        _ => Ok(()),
    }
}

/// Whether it says where the certificate of its issuer is found, as those of public authorities do,
/// whose roots sign intermediate certificates only.
fn tells_its_issuer(certificate: &X509Certificate<'_>) -> bool {
    use x509_parser::{
        extensions::ParsedExtension::AuthorityInfoAccess,
        oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS,
    };
    let is_self_issued = certificate.issuer().as_raw() == certificate.subject().as_raw();
    !is_self_issued
        && certificate.extensions().iter().any(|extension| {
            let AuthorityInfoAccess(access) = extension.parsed_extension() else {
                return false;
            };
            let mut methods = access.accessdescs.iter();
            methods.any(|description| {
                description.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS
            })
        })
}

fn is_issued_by_root(certificate: &X509Certificate<'_>) -> bool {
    // Without a store of roots nothing can be said for it.
    let roots = rustls_native_certs::load_native_certs().unwrap_or_default();
    roots.iter().any(|root| {
        x509_parser::parse_x509_certificate(root)
            .is_ok_and(|(_, root)| root.subject().as_raw() == certificate.issuer().as_raw())
    })
}

/// Clients look at the alternative names alone, and so does this.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative
        .iter()
        .flat_map(|names| &names.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    match seconds {
        0.. => SystemTime::UNIX_EPOCH + distance,
        _ => SystemTime::UNIX_EPOCH,
    }
}

#[cfg(test)]
mod tests;
