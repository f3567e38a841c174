use std::path::Path;

use penstock_config::parse;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SignatureAlgorithm};

use super::*;

/// A listener with certificates for these names, and its folder.
fn listener(certificates: &[(&[&str], &'static SignatureAlgorithm)]) -> ListenerTls {
    let folder = tempfile::tempdir().unwrap();
    let mut tables = String::new();
    for (index, (names, algorithm)) in certificates.iter().enumerate() {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = CertificateParams::new(names).unwrap().self_signed(&key);
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(format!("{index}.{name}")), text).unwrap();
        };
        write("crt", cert.unwrap().pem());
        write("key", key.serialize_pem());
        tables += &format!("{{ cert = \"{index}.crt\", key = \"{index}.key\" }},");
    }
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{tables}] }}\n\
         [services.chat.deployments.stable]\nprocess = {{ command = [\"worker\"] }}\n"
    );
    let file = Path::new(folder.path()).join("penstock.toml");
    let config = parse(&text, &file).unwrap();
    config.listeners[0].tls.clone().unwrap()
}

const ALL: [SignatureScheme; 2] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
];

#[test]
fn the_host_that_a_client_asks_for_chooses_the_certificate() {
    let tls = listener(&[
        (&["first.example.org"], &PKCS_ECDSA_P256_SHA256),
        (&["*.example.org", "example.org"], &PKCS_ECDSA_P256_SHA256),
        (&["chat.example.org"], &PKCS_ECDSA_P256_SHA256),
    ]);
    let by_sni = BySni::new(&tls);
    let chosen = |name: Option<&str>| {
        let key = by_sni.choose(name, &ALL).unwrap();
        let is_chosen =
            |certificate: &penstock_config::Certificate| Arc::ptr_eq(certificate.key(), &key);
        tls.certificates.iter().position(is_chosen).unwrap()
    };
    assert_eq!(chosen(Some("chat.example.org")), 2);
    assert_eq!(chosen(Some("first.example.org")), 0);
    assert_eq!(chosen(Some("other.example.org")), 1);
    assert_eq!(chosen(Some("example.org")), 1);
    // A wildcard is for one label.
    assert_eq!(chosen(Some("a.b.example.org")), 0);
    assert_eq!(chosen(Some("localhost")), 0);
    assert_eq!(chosen(None), 0);
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_one_that_it_understands() {
    let names: &[&str] = &["example.org"];
    let tls = listener(&[(names, &PKCS_ED25519), (names, &PKCS_ECDSA_P256_SHA256)]);
    let by_sni = BySni::new(&tls);
    let chosen = by_sni.choose(Some("example.org"), &ALL[..1]).unwrap();
    assert!(Arc::ptr_eq(&chosen, tls.certificates[1].key()));
    let chosen = by_sni.choose(Some("example.org"), &ALL).unwrap();
    assert!(Arc::ptr_eq(&chosen, tls.certificates[0].key()));
}
