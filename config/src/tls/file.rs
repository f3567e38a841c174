//! Reading PEM files, with errors for people.

use std::{io, path::Path};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// More than any chain or key needs; a file that is longer was meant for something else.
const BYTES_MAX: u64 = 1 << 20;

/// What begins every part of a PEM file.
const BEGIN: &str = "-----BEGIN ";

/// The certificates of a file, in their order; never empty.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| damaged(path, &error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    let what = if text.contains("PRIVATE KEY-----") {
        "holds a private key and no certificate; are `cert` and `key` mixed up?"
    } else {
        "holds no certificate, which would begin with -----BEGIN CERTIFICATE-----"
    };
    Err(about(path, what))
}

/// The private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read(path)?;
    let encrypted =
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED");
    if encrypted {
        let decrypt = format!(
            "holds an encrypted key, and nobody is there to type its password; decrypt it with: \
             openssl pkey -in {} -out FILE",
            path.display()
        );
        return Err(about(path, &decrypt));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound if text.contains("BEGIN CERTIFICATE") => about(
            path,
            "holds a certificate and no private key; are `cert` and `key` mixed up?",
        ),
        pem::Error::NoItemsFound => about(
            path,
            "holds no private key, which would begin with -----BEGIN PRIVATE KEY-----",
        ),
        error => damaged(path, &error),
    })
}

/// `/etc/tls/tls.crt: RULE`
pub(super) fn about(path: &Path, rule: &str) -> String {
    format!("{}: {rule}", path.display())
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = read_bytes(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => about(path, "no such file"),
        _ => about(path, &format!("cannot be read: {error}")),
    })?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(about(path, "is empty"));
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains(BEGIN) => Ok(text),
        // A sequence with a length of two bytes: what every certificate and key in DER begins with.
        Err(error) if error.as_bytes().starts_with(&[0x30, 0x82]) => Err(about(
            path,
            "is DER and must be PEM; convert it with: openssl x509 -inform der (for a key, \
             openssl pkey -inform der)",
        )),
        Ok(_) | Err(_) => Err(about(
            path,
            "is not PEM, which would begin with -----BEGIN …-----",
        )),
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let length = std::fs::metadata(path)?.len();
    if length > BYTES_MAX {
        let text = "it is larger than 1 MiB, and holds no certificate or key then";
        return Err(io::Error::other(text));
    }
    std::fs::read(path)
}

fn damaged(path: &Path, error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "it ends in the middle of a part".to_owned(),
        pem::Error::Base64Decode(_) => "a part is not base64".to_owned(),
        other => other.to_string(),
    };
    about(path, &format!("is damaged: {what}"))
}
