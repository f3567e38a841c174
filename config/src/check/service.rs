//! `[services.NAME]`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    Check, access, balance, deployment, health, mirror, models, queue, rollout, split, tiers,
};
use crate::{FrontDoor, Gpus, Service, ServiceName, key_path::KeyPath, raw};

/// The end of every service's own host name.
pub(super) struct Domain<'d> {
    pub(super) region: &'d str,
    pub(super) name: &'d str,
}

impl Domain<'_> {
    /// Host name of a service or, with the deployment before it, of a deployment.
    pub(super) fn host(&self, label: &str) -> String {
        format!("{label}.{}.{}", self.region, self.name)
    }
}

/// What a service is checked with that is not its own.
pub(super) struct Around<'a> {
    pub(super) domain: &'a Domain<'a>,
    pub(super) gpus: &'a Gpus,
    pub(super) front_door: &'a Arc<FrontDoor>,
}

pub(super) fn service(
    check: &mut Check<'_>,
    path: &KeyPath,
    name: &ServiceName,
    raw: raw::Service,
    around: &Around<'_>,
) -> Service {
    let Around { domain, gpus, .. } = around;
    let protocol = raw.protocol;
    let deployments_path = path.key("deployments");
    let deployments: BTreeMap<_, _> = raw
        .deployments
        .into_iter()
        .map(|(deployment_name, raw)| {
            let context = deployment::Context {
                path: &deployments_path.key(deployment_name.as_str()),
                service: name,
                name: &deployment_name,
                host: domain.host(&format!("{deployment_name}--{name}")),
                protocol,
                gpus,
            };
            let deployment = deployment::deployment(check, &context, raw);
            (deployment_name, Arc::new(deployment))
        })
        .collect();
    let paths = paths(check, path, raw.paths);
    let balance = balance::balance(raw.balance);
    let split = split::split(raw.split);
    let matches = split::matches(check, path, raw.matches, &paths, &deployments);
    let passed = access::Passed {
        api_key: raw.pass_api_key,
        preflight: raw.pass_preflight,
    };
    let hosts_of_deployments = access::deployment_hosts(check, path, raw.deployment_hosts);
    let access = access::access(
        check,
        path,
        raw.api_keys,
        passed,
        hosts_of_deployments,
        raw.clients,
    );
    let models = models::models(check, path, raw.models);
    let service = Service {
        name: name.clone(),
        display_name: display_name(check, path, name, raw.display_name),
        is_default: raw.default,
        hosts: hosts(check, path, domain.host(name.as_str()), raw.hosts),
        token_usage: models::token_usage(check, path, raw.token_usage, &models),
        models,
        front_door: Arc::clone(around.front_door),
        balance,
        split,
        hash: balance::hash(check, path, raw.hash, balance, split),
        sticky: split::sticky(check, path, raw.sticky, split),
        paths,
        mirror: mirror::mirror(check, path, raw.mirror, &deployments, &matches),
        matches,
        ejection: health::ejection(check, &path.key("ejection"), &raw.ejection),
        retries: health::retries(check, &path.key("retries"), raw.retries),
        limits: access::limits(check, path, raw.limits, &access),
        overflow_after: tiers::overflow_after(check, path, raw.overflow_after, &deployments),
        queue: queue::queue(check, path, raw.queue, &access),
        access,
        timeouts: raw.timeouts,
        max_body_bytes: raw.max_body.map(|size| size.0),
        deployments,
    };
    check_together(check, path, &service);
    service
}

/// Rules about several keys of a service and its deployments.
fn check_together(check: &mut Check<'_>, path: &KeyPath, service: &Service) {
    let deployments = path.key("deployments");
    if service.deployments.is_empty() {
        let rule = format!("must have at least one deployment: [{deployments}.NAME]");
        if !check.touches(&deployments) {
            check.error_without_value(path, rule);
        }
    } else {
        rollout::check_together(check, path, service.split, &service.deployments);
        split::check_together(check, &deployments, &service.deployments);
        tiers::check_together(check, &deployments, service);
    }
    if service.max_body_bytes == Some(0) {
        check.error(
            &path.key("max_body"),
            "must be more than 0; leave it out for no limit",
        );
    }
    queue::check_classes(check, path, service);
    models::check_keys(check, path, service);
    models::check_stream(check, path, service);
    queue::check_waking(check, path, service);
}

fn display_name(
    check: &mut Check<'_>,
    path: &KeyPath,
    name: &ServiceName,
    display_name: Option<String>,
) -> String {
    let Some(display_name) = display_name else {
        return name.to_string();
    };
    let blank = display_name.trim().is_empty();
    if blank || display_name.chars().any(char::is_control) {
        let rule = "must have something to see in it and no control characters";
        check.error(&path.key("display_name"), rule);
    }
    display_name
}

fn hosts(
    check: &mut Check<'_>,
    path: &KeyPath,
    own: String,
    more: Vec<raw::text::HostName>,
) -> Vec<String> {
    let path = path.key("hosts");
    let mut hosts = vec![own];
    for (index, host) in more.into_iter().enumerate() {
        if host.0 == hosts[0] {
            check.error(
                &path.index(index),
                "is the service's own host name, which always leads here",
            );
        } else if hosts.contains(&host.0) {
            check.error(&path.index(index), "is listed twice");
        }
        hosts.push(host.0);
    }
    hosts
}

/// A prefix matches whole segments, so a slash at its end means nothing.
pub(super) fn without_slash(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

/// What a prefix of paths must be, besides a path.
pub(super) fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.contains('?') {
        return Err("must be a path without a query".to_owned());
    }
    if let Some(at) = prefix.find(['*', '{']) {
        let end = prefix[..at].rfind('/').unwrap_or_default().max(1);
        let plain = &prefix[..end];
        return Err(format!(
            "must be a prefix, not a pattern: \"{plain}\" stands for everything below it"
        ));
    }
    if prefix.split('/').any(|part| part == "." || part == "..") {
        return Err("must not have . or .. between its slashes".to_owned());
    }
    Ok(())
}

fn paths(
    check: &mut Check<'_>,
    path: &KeyPath,
    paths: Option<Vec<raw::text::UrlPath>>,
) -> Vec<String> {
    let Some(paths) = paths else {
        return vec!["/".to_owned()];
    };
    let path = path.key("paths");
    let mut seen = HashSet::new();
    for (index, prefix) in paths.iter().enumerate() {
        if let Err(rule) = check_prefix(&prefix.0) {
            check.error(&path.index(index), rule);
        } else if !seen.insert(without_slash(&prefix.0)) {
            check.error(&path.index(index), "is listed twice");
        }
    }
    paths.into_iter().map(|prefix| prefix.0).collect()
}
