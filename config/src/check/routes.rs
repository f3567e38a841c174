//! That no two services claim the same requests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Check, service::without_slash};
use crate::{Service, ServiceName, key_path::KeyPath};

/// Reports every host that leads to two places. Several services may share one of their `hosts` as
/// long as their path prefixes differ; the names that Penstock makes itself belong to one service
/// whole.
pub(super) fn check(
    check: &mut Check<'_>,
    path: &KeyPath,
    services: &BTreeMap<ServiceName, Arc<Service>>,
) {
    one_default(check, path, services);
    let mut made = HashMap::new();
    for service in services.values() {
        made.insert(service.hosts[0].as_str(), service);
        for deployment in service.deployments.values() {
            made.insert(deployment.host.as_str(), service);
        }
    }
    let mut claims: HashMap<(&str, &str), (&ServiceName, KeyPath)> = HashMap::new();
    for service in services.values() {
        let hosts_path = path.key(service.name.as_str()).key("hosts");
        for (index, host) in service.hosts[1..].iter().enumerate() {
            let path = hosts_path.index(index);
            if let Some(owner) = made.get(host.as_str()) {
                check.error(&path, format!("always leads to service \"{}\"", owner.name));
                continue;
            }
            for prefix in &service.paths {
                let claim = claims
                    .entry((host, without_slash(prefix)))
                    .or_insert_with(|| (&service.name, path.clone()));
                if *claim.0 != service.name {
                    let rule = format!(
                        "with path \"{prefix}\" leads to service \"{}\" already ({})",
                        claim.0,
                        check.place(&claim.1)
                    );
                    check.error(&path, rule);
                }
            }
        }
    }
}

/// Requests that nobody names a host for can go to one service only.
fn one_default(
    check: &mut Check<'_>,
    path: &KeyPath,
    services: &BTreeMap<ServiceName, Arc<Service>>,
) {
    let mut defaults = services.values().filter(|service| service.is_default);
    let Some(first) = defaults.next() else { return };
    let key = |service: &Service| path.key(service.name.as_str()).key("default");
    for service in defaults {
        let rule = format!(
            "only one service can be the default, and \"{}\" is ({})",
            first.name,
            check.place(&key(first))
        );
        check.error(&key(service), rule);
    }
}
