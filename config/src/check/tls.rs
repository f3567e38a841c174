//! `tls` and `redirect_https` of listeners, and `static.tls` of deployments.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use rustls::pki_types::ServerName;

use super::Check;
use crate::{
    Certificate, FrontDoor, Listener, ListenerTls, Service, ServiceName, WorkerTls,
    key_path::KeyPath,
    raw,
    tls::{Faulty, Trust},
};

/// Where HTTPS is when nobody says otherwise.
const HTTPS_PORT: u16 = 443;

pub(super) fn listener(
    check: &mut Check<'_>,
    listener: &KeyPath,
    raw: &raw::Listener,
) -> Option<ListenerTls> {
    let tls = raw.tls.as_ref()?;
    let path = listener.key("tls").key("certificates");
    let certificates = tls
        .certificates
        .iter()
        .enumerate()
        .filter_map(|(index, files)| {
            certificate(check, &path.index(index), [&files.cert, &files.key])
        })
        .collect();
    Some(ListenerTls {
        certificates,
        hsts: tls.hsts.as_ref().map(|hsts| hsts.0),
    })
}

/// Reads a certificate and its key; `None`, with the error reported, when they cannot be used.
fn certificate(
    check: &mut Check<'_>,
    path: &KeyPath,
    [cert, key]: [&Path; 2],
) -> Option<Certificate> {
    let [cert_path, key_path] = ["cert", "key"].map(|key| path.key(key));
    let cert = check.absolute(&cert_path, cert);
    let key = check.absolute(&key_path, key);
    let place = check.fault(&cert_path);
    match Certificate::load(&cert, &key, place) {
        Ok(certificate) => return Some(certificate),
        Err(Faulty::Cert(rule)) => check.error(&cert_path, rule),
        Err(Faulty::Key(rule)) => check.error(&key_path, rule),
    }
    None
}

/// TLS to the workers at the addresses of `fixed`, the table at `path`.
pub(super) fn worker(
    check: &mut Check<'_>,
    path: &KeyPath,
    fixed: &raw::Static,
) -> Option<WorkerTls> {
    let https = |address: &raw::StaticAddress| match address {
        raw::StaticAddress::Plain(address) => address.0.https,
        raw::StaticAddress::Weighted(weighted) => weighted.address.0.https,
    };
    let tls_path = path.key("tls");
    if !fixed.addresses.iter().any(https) {
        if fixed.tls.is_some() && !check.touches(&path.key("addresses")) {
            let rule = "is for addresses that begin with https://, and there are none";
            check.error_without_value(&tls_path, rule);
        }
        return None;
    }
    let plain = fixed.addresses.iter().position(|address| !https(address));
    if let Some(index) = plain {
        let rule = "must begin with https:// as other addresses of the deployment do";
        check.error(&path.key("addresses").index(index), rule);
    }
    let none = raw::WorkerTls::default();
    let raw = fixed.tls.as_ref().unwrap_or(&none);
    let trust = trust(check, &tls_path, raw)?;
    let certificate = match (&raw.cert, &raw.key) {
        (Some(cert), Some(key)) => Some(certificate(check, &tls_path, [cert, key])?),
        (None, None) => None,
        (cert, _) => {
            let (there, missing) = if cert.is_some() {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            check.error(&tls_path.key(there), format!("needs `{missing}` beside it"));
            return None;
        }
    };
    let server_name = raw.server_name.as_ref();
    // It is a host name already.
    let server_name = server_name.and_then(|name| ServerName::try_from(name.0.clone()).ok());
    match WorkerTls::new(&trust, server_name, certificate.as_ref()) {
        Ok(tls) => Some(tls),
        Err(rule) => {
            let place = match trust {
                Trust::Own(_) => tls_path.key("ca"),
                Trust::System | Trust::Anybody => path.key("addresses"),
            };
            check.error_without_value(&place, rule);
            None
        }
    }
}

fn trust(check: &mut Check<'_>, path: &KeyPath, raw: &raw::WorkerTls) -> Option<Trust> {
    let ca_path = path.key("ca");
    match (&raw.ca, raw.verify) {
        (None, Some(false)) => Some(Trust::Anybody),
        (None, _) => Some(Trust::System),
        (Some(ca), verify) => {
            if verify == Some(false) {
                let rule = "is of no use with verify = false";
                check.error(&ca_path, rule);
            }
            let file = check.absolute(&ca_path, ca);
            match Trust::of_file(&file) {
                Ok(trust) => Some(trust),
                Err(rule) => {
                    check.error(&ca_path, rule);
                    None
                }
            }
        }
    }
}

pub(super) fn redirect(
    check: &mut Check<'_>,
    listener: &KeyPath,
    raw: &raw::Listener,
) -> Option<u16> {
    let port = match raw.redirect_https {
        raw::RedirectHttps::Choice(false) => return None,
        raw::RedirectHttps::Choice(true) => HTTPS_PORT,
        raw::RedirectHttps::Port(port) => port,
    };
    if raw.tls.is_some() {
        let rule = "is for a listener without `tls`: this one serves HTTPS already";
        check.error(&listener.key("redirect_https"), rule);
    }
    Some(port)
}

/// Reports hosts that clients can ask for by HTTPS only, and for which there is no certificate.
pub(super) fn check_hosts(
    check: &mut Check<'_>,
    root: &KeyPath,
    services: &BTreeMap<ServiceName, Arc<Service>>,
    front_door: &FrontDoor,
    listeners: &[Listener],
) {
    let by_tls: Vec<_> = listeners
        .iter()
        .filter_map(|listener| listener.tls.as_ref())
        .collect();
    let serves_http =
        |listener: &Listener| listener.tls.is_none() && listener.redirect_https.is_none();
    let unread = by_tls.iter().any(|tls| tls.certificates.is_empty());
    // A listener or a certificate that is wrong may be the one for it.
    let unread = unread || check.touches(&KeyPath::default().key("listeners"));
    if by_tls.is_empty() || unread || listeners.iter().any(serves_http) {
        return;
    }
    // The first is the one that Penstock makes itself, and that nobody need use.
    let of_services = services.values().map(|service| {
        let path = root.key("services").key(service.name.as_str());
        (path, &service.hosts[1..])
    });
    let of_front_door = match front_door.takes_others {
        true => &[][..],
        false => &front_door.hosts,
    };
    let of_front_door = (root.key("front_door"), of_front_door);
    for (path, hosts) in of_services.chain([of_front_door]) {
        let path = path.key("hosts");
        for (index, host) in hosts.iter().enumerate() {
            if !by_tls.iter().any(|tls| tls.covers(host)) {
                let names = by_tls.iter().flat_map(|tls| &tls.certificates);
                let names: Vec<_> = names.flat_map(Certificate::names).cloned().collect();
                let rule = format!(
                    "is served by HTTPS only, and no certificate of a listener is for it; they are for {}",
                    names.join(", ")
                );
                check.error(&path.index(index), rule);
            }
        }
    }
}
