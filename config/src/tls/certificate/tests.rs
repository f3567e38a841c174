use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
};

use super::*;

/// 1.3.6.1.5.5.7.1.1, with one location of the issuer's certificate.
fn tells_issuer() -> CustomExtension {
    let url = b"http://example.org/issuer.der";
    let mut location = vec![0x86, url.len() as u8];
    location.extend_from_slice(url);
    let method = [0x06, 8, 0x2b, 0x06, 1, 5, 5, 7, 0x30, 2];
    let mut description = vec![0x30, (method.len() + location.len()) as u8];
    description.extend_from_slice(&method);
    description.extend_from_slice(&location);
    let mut content = vec![0x30, description.len() as u8];
    content.extend_from_slice(&description);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content)
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Issuer");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    )
    .unwrap()
}

fn place() -> ConfigError {
    ConfigError {
        file: "penstock.toml".into(),
        line: Some(3),
        key: "listeners[0].tls.certificates[0].cert".to_owned(),
        value: None,
        rule: String::new(),
    }
}

/// Loads what the two files hold; an error without the names of the files.
fn load(cert: &[u8], key: &[u8]) -> Result<Certificate, Faulty> {
    let folder = tempfile::tempdir().unwrap();
    let [cert_file, key_file] = ["cert", "key"].map(|name| folder.path().join(name));
    fs::write(&cert_file, cert).unwrap();
    fs::write(&key_file, key).unwrap();
    let bare = |rule: String| rule.replace(&format!("{}/", folder.path().display()), "");
    Certificate::load(&cert_file, &key_file, place()).map_err(|faulty| match faulty {
        Faulty::Cert(rule) => Faulty::Cert(bare(rule)),
        Faulty::Key(rule) => Faulty::Key(bare(rule)),
    })
}

fn cert_fault(cert: &[u8], key: &[u8]) -> String {
    match load(cert, key) {
        Err(Faulty::Cert(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

fn key_fault(cert: &[u8], key: &[u8]) -> String {
    match load(cert, key) {
        Err(Faulty::Key(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_is_for_its_names_and_for_no_others() {
    let key = KeyPair::generate().unwrap();
    let cert = params(&["chat.example.org", "*.models.example.org", "192.0.2.7"]);
    let cert = cert.self_signed(&key).unwrap();
    let loaded = load(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(
        loaded.names(),
        ["chat.example.org", "*.models.example.org", "192.0.2.7"]
    );
    let covered = [
        "chat.example.org",
        "a.models.example.org",
        "*.models.example.org",
        "192.0.2.7",
    ];
    assert!(covered.iter().all(|host| loaded.covers(host)));
    let others = [
        "example.org",
        "models.example.org",
        "a.b.models.example.org",
        "*.example.org",
        "192.0.2.8",
        "[::1]",
    ];
    assert!(!others.iter().any(|host| loaded.covers(host)));
}

#[test]
fn what_is_no_certificate_or_no_key_says_what_it_is() {
    let key = KeyPair::generate().unwrap();
    let cert = params(&["a"]).self_signed(&key).unwrap();
    let (cert, der) = (cert.pem(), cert.der().to_vec());
    let key = key.serialize_pem();
    let (cert, key) = (cert.as_bytes(), key.as_bytes());
    let wrong: [(&[u8], &str); 6] = [
        (b"", "cert: is empty"),
        (b"\n \n", "cert: is empty"),
        (
            b"hello",
            "cert: is not PEM, which would begin with -----BEGIN …-----",
        ),
        (
            &der,
            "cert: is DER and must be PEM; convert it with: openssl x509 -inform der (for a key, openssl pkey -inform der)",
        ),
        (
            key,
            "cert: holds a private key and no certificate; are `cert` and `key` mixed up?",
        ),
        (
            &cert[..cert.len() / 2],
            "cert: is damaged: it ends in the middle of a part",
        ),
    ];
    for (text, rule) in wrong {
        assert_eq!(cert_fault(text, key), rule);
    }
    let encrypted =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(key_fault(cert, encrypted).starts_with("key: holds an encrypted key, "));
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMAA=\n-----END RSA PRIVATE KEY-----\n";
    assert!(key_fault(cert, old).starts_with("key: holds an encrypted key, "));
    assert_eq!(
        key_fault(cert, cert),
        "key: holds a certificate and no private key; are `cert` and `key` mixed up?"
    );
    assert_eq!(key_fault(cert, b""), "key: is empty");
    let missing = Certificate::load(Path::new("/no/such"), Path::new("/no/such"), place());
    assert_eq!(
        missing.unwrap_err(),
        Faulty::Cert("/no/such: no such file".to_owned())
    );
}

#[test]
fn a_key_must_be_that_of_the_first_certificate() {
    let issuer = authority();
    let key = KeyPair::generate().unwrap();
    let cert = params(&["a"]).signed_by(&key, &issuer).unwrap();
    let key = key.serialize_pem();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let chain = cert.pem() + &issuer.pem();
    assert!(load(chain.as_bytes(), key.as_bytes()).is_ok());
    assert_eq!(
        cert_fault(chain.as_bytes(), other.as_bytes()),
        "cert: is not the certificate of this key"
    );
    let turned = issuer.pem() + &cert.pem();
    assert_eq!(
        cert_fault(turned.as_bytes(), key.as_bytes()),
        "cert: must begin with the certificate of the key, which is number 2 in it"
    );
}

#[test]
fn a_chain_must_lead_from_each_certificate_to_its_issuer() {
    let issuer = authority();
    let key = KeyPair::generate().unwrap();
    let cert = params(&["a"]).signed_by(&key, &issuer).unwrap();
    let alien = params(&["b"]).self_signed(&key).unwrap();
    let chain = cert.pem() + &alien.pem();
    let rule = cert_fault(chain.as_bytes(), key.serialize_pem().as_bytes());
    assert!(
        rule.starts_with("cert: certificate 2 in it must be that of \"CN=Issuer"),
        "{rule}"
    );
}

#[test]
fn a_lone_certificate_of_a_public_authority_lacks_its_intermediate() {
    let issuer = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = params(&["a"]);
    // One of a company's own root is complete.
    let own = params.signed_by(&key, &issuer).unwrap();
    assert!(load(own.pem().as_bytes(), key.serialize_pem().as_bytes()).is_ok());
    params.custom_extensions.push(tells_issuer());
    let public = params.signed_by(&key, &issuer).unwrap();
    let rule = cert_fault(public.pem().as_bytes(), key.serialize_pem().as_bytes());
    assert!(
        rule.starts_with("cert: lacks the intermediate certificate of its issuer \"CN=Issuer"),
        "{rule}"
    );
    let chain = public.pem() + &issuer.pem();
    assert!(load(chain.as_bytes(), key.serialize_pem().as_bytes()).is_ok());
}

#[test]
fn time_is_what_makes_a_certificate_wrong_later() {
    let key = KeyPair::generate().unwrap();
    let mut params = params(&["a"]);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 3, 1);
    let cert = params.self_signed(&key).unwrap();
    let loaded = load(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let rule = |date: &str| {
        let now: jiff::Timestamp = date.parse().unwrap();
        let error = loaded.outdated(SystemTime::from(now))?.to_string();
        let (place, rule) = error.split_once("/cert: ").unwrap();
        assert!(place.starts_with("penstock.toml:3: listeners[0].tls.certificates[0].cert: "));
        Some(rule.to_owned())
    };
    assert_eq!(rule("2026-02-01T00:00:00Z"), None);
    assert_eq!(
        rule("2026-03-02T00:00:00Z").unwrap(),
        "has expired: it was valid until 2026-03-01T00:00:00Z"
    );
    assert_eq!(
        rule("2025-12-01T00:00:00Z").unwrap(),
        "is not valid yet, but only from 2026-01-01T00:00:00Z"
    );
}
