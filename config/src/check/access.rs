//! `api_keys`, `clients` and `limits` of a service.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use super::{Check, request_key::request_key};
use crate::{
    Access, ApiKey, DeploymentHosts, KeySource, Limit, LimitKind, OPERATOR_PATHS,
    OPERATOR_PATHS_BELOW, key_path::KeyPath, nearest, raw, units,
};

/// A limit over more than a day is a quota, for which a counter in memory is too forgetful.
const PERIOD_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the worker gets to see although API keys are the gateway's business.
pub(super) struct Passed {
    pub(super) api_key: bool,
    pub(super) preflight: bool,
}

/// Who may ask for a deployment by its own host.
pub(super) fn deployment_hosts(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: raw::DeploymentHosts,
) -> DeploymentHosts {
    match raw {
        raw::DeploymentHosts::Open(true) => DeploymentHosts::Open,
        raw::DeploymentHosts::Open(false) => DeploymentHosts::Closed,
        raw::DeploymentHosts::Key(key) => {
            let path = service.key("deployment_hosts").key("sha256");
            let hashes = hashes(path, key.sha256);
            no_hash_twice(check, &hashes, &mut HashMap::new());
            DeploymentHosts::Key(hashes.into_iter().map(|(_, hash)| hash).collect())
        }
    }
}

pub(super) fn access(
    check: &mut Check<'_>,
    service: &KeyPath,
    api_keys: BTreeMap<String, raw::ApiKey>,
    passed: Passed,
    deployment_hosts: DeploymentHosts,
    clients: raw::Clients,
) -> Access {
    let keys_path = service.key("api_keys");
    for (name, is_set) in [
        ("pass_api_key", passed.api_key),
        ("pass_preflight", passed.preflight),
    ] {
        if is_set && api_keys.is_empty() && !check.touches(&keys_path) {
            let rule = format!("is about API keys, and there are none: [{keys_path}.NAME]");
            check.error(&service.key(name), rule);
        }
    }
    let mut seen = HashMap::new();
    let api_keys = api_keys
        .into_iter()
        .map(|(name, raw)| {
            let key = api_key(check, &keys_path, &name, raw, &mut seen);
            (name, key)
        })
        .collect();
    let path = service.key("clients");
    let allow = networks(check, &path.key("allow"), clients.allow.unwrap_or_default());
    let deny = networks(check, &path.key("deny"), clients.deny);
    for (index, network) in allow.iter().enumerate() {
        if let Some((address, prefix)) = deny.iter().find(|deny| contains(**deny, *network)) {
            let rule = format!("is refused as a whole: `deny` has \"{address}/{prefix}\"");
            check.error(&path.key("allow").index(index), rule);
        }
    }
    Access {
        api_keys,
        pass_api_key: passed.api_key,
        pass_preflight: passed.preflight,
        deployment_hosts,
        allow,
        deny,
    }
}

/// The hashes of a key, each with its place.
pub(super) fn hashes(path: KeyPath, raw: raw::KeyHashes) -> Vec<(KeyPath, [u8; 32])> {
    match raw {
        raw::KeyHashes::One(hash) => vec![(path, hash.0)],
        raw::KeyHashes::Several(hashes) => hashes
            .into_iter()
            .enumerate()
            .map(|(index, hash)| (path.index(index), hash.0))
            .collect(),
    }
}

pub(super) fn no_hash_twice(
    check: &mut Check<'_>,
    hashes: &[(KeyPath, [u8; 32])],
    seen: &mut HashMap<[u8; 32], KeyPath>,
) {
    for (path, hash) in hashes {
        match seen.get(hash) {
            Some(first) => {
                let (first, place) = (check.in_file(first), check.place(first));
                let rule = format!("is that of {first} too ({place})");
                check.error_without_value(path, rule);
            }
            None => drop(seen.insert(*hash, path.clone())),
        }
    }
}

fn api_key(
    check: &mut Check<'_>,
    keys_path: &KeyPath,
    name: &str,
    raw: raw::ApiKey,
    seen: &mut HashMap<[u8; 32], KeyPath>,
) -> ApiKey {
    let path = keys_path.key(name);
    let hashes = hashes(path.key("sha256"), raw.sha256);
    no_hash_twice(check, &hashes, seen);
    let limits_path = path.key("limits");
    let mut limits = Vec::with_capacity(raw.limits.len());
    for (index, raw) in raw.limits.into_iter().enumerate() {
        let path = limits_path.index(index);
        if let Some(raw::RequestKey::Client(raw::ClientKey::ApiKey)) = raw.per {
            let rule = "is for this key alone already; leave it out";
            check.error(&path.key("per"), rule);
        }
        let per = |check: &mut Check<'_>, path: &KeyPath, key| {
            // Whether there are API keys is not the question here.
            request_key(check, path, key, keys_path, None)
        };
        limits.push(limit(check, &path, raw, per));
    }
    no_limit_twice(check, &limits_path, &limits);
    ApiKey {
        sha256: hashes.into_iter().map(|(_, hash)| hash).collect(),
        class: raw.class,
        models: raw.models,
        limits,
    }
}

pub(super) fn limits(
    check: &mut Check<'_>,
    service: &KeyPath,
    raw: Vec<raw::Limit>,
    access: &Access,
) -> Vec<Limit> {
    let path = service.key("limits");
    let keys_path = service.key("api_keys");
    let per = |check: &mut Check<'_>, path: &KeyPath, key| {
        request_key(check, path, key, &keys_path, Some(access))
    };
    let limits: Vec<_> = raw
        .into_iter()
        .enumerate()
        .map(|(index, raw)| limit(check, &path.index(index), raw, per))
        .collect();
    no_limit_twice(check, &path, &limits);
    limits
}

fn limit(
    check: &mut Check<'_>,
    path: &KeyPath,
    raw: raw::Limit,
    per: impl Fn(&mut Check<'_>, &KeyPath, raw::RequestKey) -> KeySource,
) -> Limit {
    let given = [
        ("requests", raw.requests.is_some()),
        ("concurrent", raw.concurrent.is_some()),
    ];
    check.exactly_one(path, &given);
    let kind = match (raw.requests, raw.concurrent) {
        (None, Some(concurrent)) => {
            for key in ["period", "burst"] {
                let path = path.key(key);
                if check.has(&path) {
                    check.error(&path, "is only for `requests`");
                }
            }
            LimitKind::Concurrent(concurrent)
        }
        // Without either there is an error already.
        (requests, _) => {
            let requests = requests.unwrap_or(1);
            let burst = raw.burst.unwrap_or(requests);
            check_rate(check, path, requests, raw.period.0, burst);
            LimitKind::Rate {
                requests,
                period: raw.period.0,
                burst,
            }
        }
    };
    Limit {
        kind,
        per: raw.per.map(|key| per(check, &path.key("per"), key)),
    }
}

fn check_rate(check: &mut Check<'_>, path: &KeyPath, requests: u32, period: Duration, burst: u32) {
    if period > PERIOD_MAX {
        let rule = format!("must be at most {}", units::format_duration(PERIOD_MAX));
        check.error(&path.key("period"), rule);
    } else if (period / requests).saturating_mul(burst) > units::DURATION_MAX {
        let rule = format!(
            "must be smaller: at this rate it would take more than {} until so many may come at once",
            units::format_duration(units::DURATION_MAX)
        );
        check.error(&path.key("burst"), rule);
    }
}

fn no_limit_twice(check: &mut Check<'_>, path: &KeyPath, limits: &[Limit]) {
    // Of a limit that is wrong there may be more than is left.
    let places = 0..limits.len();
    let sure: Vec<_> = places
        .filter(|place| !check.touches(&path.index(*place)))
        .collect();
    for (nth, place) in sure.iter().enumerate() {
        if sure[..nth]
            .iter()
            .any(|other| limits[*other] == limits[*place])
        {
            check.error_without_value(&path.index(*place), "is listed twice");
        }
    }
}

fn networks(
    check: &mut Check<'_>,
    path: &KeyPath,
    networks: Vec<raw::text::Network>,
) -> Vec<(IpAddr, u8)> {
    let mut seen = HashSet::new();
    let networks: Vec<_> = networks.into_iter().map(|network| network.0).collect();
    for (index, network) in networks.iter().enumerate() {
        if !seen.insert(*network) {
            check.error(&path.index(index), "is listed twice");
        }
    }
    networks
}

/// Whether all of a network is in another one.
fn contains((address, prefix): (IpAddr, u8), (inner, inner_prefix): (IpAddr, u8)) -> bool {
    address.is_ipv4() == inner.is_ipv4()
        && inner_prefix >= prefix
        && raw::text::first_address(inner, prefix) == address
}

/// Paths for operators that clients may reach. One that is none is a mistake: all others can be reached anyway.
pub(super) fn operator_paths(
    check: &mut Check<'_>,
    service: &KeyPath,
    paths: Vec<String>,
) -> Vec<String> {
    let key = service.key("operator_paths");
    let all = || OPERATOR_PATHS.iter().chain(&OPERATOR_PATHS_BELOW);
    for (index, path) in paths.iter().enumerate() {
        if path == "*" || all().any(|known| known == path) {
            continue;
        }
        let near = match nearest(path, all().copied()).first() {
            Some(near) => format!("; \"{near}\" is one"),
            None => String::new(),
        };
        let rule = format!("is no path for operators, so nobody is kept from it{near}");
        check.error(&key.index(index), rule);
    }
    paths
}
