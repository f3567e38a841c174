//! `admin`: who may see and change a running Penstock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use super::{
    Check,
    access::{hashes, no_hash_twice},
};
use crate::{Admin, AdminToken, Listener, Service, ServiceName, key_path::KeyPath, raw};

/// Longest path of a Unix socket in bytes: `sun_path` of Linux with its final zero byte.
const SOCKET_PATH_MAX: usize = 107;

pub(super) fn admin(
    check: &mut Check<'_>,
    path: &KeyPath,
    admin: raw::Admin,
    listeners: &[Listener],
    services: &BTreeMap<ServiceName, Arc<Service>>,
) -> Admin {
    let address: SocketAddr = admin.address.0;
    if address.port() != 0 && listeners.iter().any(|listener| listener.address == address) {
        check.error(&path.key("address"), "is the address of a listener too");
    }
    let tokens_path = path.key("tokens");
    let is_local = address.ip().to_canonical().is_loopback();
    if !is_local && admin.tokens.is_empty() && !check.touches(&tokens_path) {
        let rule = "can be reached from other machines, and whoever reaches it may do everything: \
                    make a token for those who may (`penstock token NAME`), or use 127.0.0.1";
        check.error(&path.key("address"), rule);
    }
    check_hosts(check, &path.key("hosts"), &admin.hosts);
    let socket = admin.socket.map(|socket| check.absolute(path, &socket));
    if let Some(path_of) = &socket {
        check_socket(check, path, path_of);
    }
    let mut seen = HashMap::new();
    let tokens = admin
        .tokens
        .into_iter()
        .map(|(name, raw)| {
            let token = token(check, &tokens_path.key(&name), raw, services, &mut seen);
            (name, token)
        })
        .collect();
    let state = check.absolute(path, &admin.state);
    if socket.as_ref() == Some(&state) {
        check.error(&path.key("socket"), "is the file of `state` too");
    }
    Admin {
        address,
        socket,
        hosts: admin.hosts.into_iter().map(|host| host.0).collect(),
        state,
        tokens,
    }
}

fn check_socket(check: &mut Check<'_>, admin: &KeyPath, socket: &Path) {
    let path = admin.key("socket");
    let bytes = socket.as_os_str().as_encoded_bytes();
    if bytes.contains(&0) {
        check.error(&path, "must be the path of a file");
    } else if bytes.len() > SOCKET_PATH_MAX {
        let length = bytes.len();
        let rule = format!(
            "has {length} bytes with its folder; a socket's path has {SOCKET_PATH_MAX} at most"
        );
        check.error(&path, rule);
    } else if socket.components().any(|part| part.as_os_str() == "unix:") {
        check.error(&path, "must be a path, without unix: before it");
    }
}

fn check_hosts(check: &mut Check<'_>, path: &KeyPath, hosts: &[raw::text::HostName]) {
    for (index, host) in hosts.iter().enumerate() {
        let is_listed = hosts[..index].iter().any(|other| other.0 == host.0);
        if is_listed {
            check.error(&path.index(index), "is listed twice");
        }
        if host.0.contains('*') {
            let rule = "must be one host name, without a star";
            check.error(&path.index(index), rule);
        }
    }
}

fn token(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::AdminToken,
    services: &BTreeMap<ServiceName, Arc<Service>>,
    seen: &mut HashMap<[u8; 32], KeyPath>,
) -> AdminToken {
    let hashes = hashes(path.key("sha256"), raw.sha256);
    no_hash_twice(check, &hashes, seen);
    let list = path.key("services");
    let mut named = BTreeSet::new();
    for (index, service) in raw.services.iter().flatten().enumerate() {
        let path = list.index(index);
        if !services.contains_key(service) {
            check.error(&path, "must be a service of this configuration");
        } else if !named.insert(service.clone()) {
            check.error(&path, "is listed twice");
        }
    }
    AdminToken {
        sha256: hashes.into_iter().map(|(_, hash)| hash).collect(),
        role: raw.role,
        services: raw.services.map(|_| named),
    }
}
