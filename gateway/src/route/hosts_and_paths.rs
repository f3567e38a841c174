//! The index of hosts and paths: from those of a request to the service, flat in the number of services.
//!
//! Hosts are compared without case, port and one trailing dot. A host that is named in full comes
//! before one of a wildcard, a longer wildcard before a shorter one, and the default service takes the
//! hosts that are left. `*.example.org` stands for one label or more, and not for `example.org` (as in
//! nginx, Envoy and Kubernetes' Gateway API). The host is chosen first: a path that nobody has there
//! leads nowhere, whatever a wildcard or the default would make of it.
//!
//! Of the services that share a host
//! the one with the longest matching path prefix wins. A prefix matches whole segments, and a
//! slash at its end means nothing: `/v1` and `/v1/` both match `/v1`, `/v1/` and `/v1/models`, but
//! not `/v10` (the rule of Kubernetes' Ingress and Gateway API). Paths are compared as they came,
//! so that the worker sees what was matched; see [`prefix::climbs`] for the exception.

mod prefix;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use penstock_config::{DeploymentHosts, Service};

use crate::{request::door, route::models::Models};

/// Longest host name that is looked up: the limit of DNS (RFC 1035) with its dots.
const HOST_LEN_MAX: usize = 255;

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// The number that the service was given to [`RouteTable::build`] with.
    pub(crate) service: usize,
    /// The deployment that the host names, as its position in the order of names. `None`: the
    /// split decides.
    pub(crate) deployment: Option<usize>,
}

/// All routes of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    hosts: HashMap<Box<[u8]>, PathRules, RandomState>,
    /// By the part after the star: `.example.org`.
    wildcards: HashMap<Box<[u8]>, PathRules, RandomState>,
    /// Length of the longest of these: how much of a host a look is worth while, whatever length of it
    /// the client sends.
    wildcard_len_max: usize,
    /// That of the default service.
    others: Option<PathRules>,
    /// What the front door leads to.
    pub(crate) models: Models,
}

impl RouteTable {
    /// Builds the table. Where two services claim the same host and path, the first one has it;
    /// a checked configuration holds no such pair.
    pub(crate) fn build<'a>(services: impl Iterator<Item = (usize, &'a Service)>) -> Self {
        let mut table = Self::default();
        for (index, service) in services {
            let split = Target {
                service: index,
                deployment: None,
            };
            for host in &service.hosts {
                table.add(host, &service.paths, split);
            }
            if service.access.deployment_hosts == DeploymentHosts::Closed {
                continue;
            }
            for (position, deployment) in service.deployments.values().enumerate() {
                let straight = Target {
                    service: index,
                    deployment: Some(position),
                };
                table.add(&deployment.host, &service.paths, straight);
            }
            if service.is_default {
                let rules = table.others.get_or_insert_default();
                service.paths.iter().for_each(|path| rules.add(path, split));
            }
            table.add_models(index, service);
        }
        table
    }

    /// Adds the models of a service, and the front door that they are at.
    fn add_models(&mut self, index: usize, service: &Service) {
        if service.models.is_empty() {
            return;
        }
        self.models.add(index, service);
        for host in &service.front_door.hosts {
            self.rules_for(host).is_front_door = true;
        }
        if service.is_default && service.front_door.takes_others {
            self.others.get_or_insert_default().is_front_door = true;
        }
    }

    /// The target for a `Host` or `:authority` value and the path of a request.
    #[cfg(test)]
    pub(crate) fn find(&self, host: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Option<Target> {
        self.rules(host)?.find(path.as_ref())
    }

    /// What there is at a host.
    pub(crate) fn rules(&self, host: impl AsRef<[u8]>) -> Option<&PathRules> {
        let name = without_port(host.as_ref());
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut buffer = [0; HOST_LEN_MAX];
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let rules = self.hosts.get(&*lower);
        let rules = rules.or_else(|| self.wildcard(lower));
        rules.or(self.others.as_ref())
    }

    /// The rules of the longest wildcard that a host falls under.
    fn wildcard(&self, host: &[u8]) -> Option<&PathRules> {
        if self.wildcards.is_empty() {
            return None;
        }
        // The star stands for something.
        let first = host.len().saturating_sub(self.wildcard_len_max).max(1);
        let mut dots = (first..host.len()).filter(|&at| host[at] == b'.');
        dots.find_map(|at| self.wildcards.get(&host[at..]))
    }

    fn add(&mut self, host: &str, paths: &[String], target: Target) {
        let rules = self.rules_for(host);
        for path in paths {
            rules.add(path, target);
        }
    }

    fn rules_for(&mut self, host: &str) -> &mut PathRules {
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(end) => {
                self.wildcard_len_max = self.wildcard_len_max.max(end.len());
                self.wildcards.entry(end.as_bytes().into()).or_default()
            }
            None => self.hosts.entry(host.into_bytes().into()).or_default(),
        }
    }
}

/// Whether a path is the prefix or below it, by the same rules as in routing.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    let rest = path.strip_prefix(prefix);
    prefix.is_empty()
        || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && !prefix::climbs(path.as_bytes())
}

/// `example.org:80` → `example.org`, `[::1]:80` → `[::1]`.
fn without_port(host: &[u8]) -> &[u8] {
    let first = |wanted: u8| host.iter().position(|byte| *byte == wanted);
    let end = match host.starts_with(b"[") {
        true => first(b']').map(|end| end + 1),
        false => first(b':'),
    };
    end.map_or(host, |end| &host[..end])
}

/// Whether a path is one that the front door answers to.
fn is_at_door(path: &[u8]) -> bool {
    let path = str::from_utf8(path).unwrap_or_default();
    door::asks(path).0 != door::Asks::Nothing
}

/// The path prefixes of one host.
#[derive(Debug, Default)]
pub(crate) struct PathRules {
    /// Whether the models of requests name their services here.
    is_front_door: bool,
    /// That of the prefix `/`, which is all that most hosts have.
    whole: Option<Target>,
    /// The others, each without a slash at its end.
    prefixes: HashMap<Box<[u8]>, Target, RandomState>,
    /// Segments of the longest prefix: how far into a path a look is worth while, whatever length
    /// of path the client sends.
    depth_max: usize,
}

impl PathRules {
    fn add(&mut self, path: &str, target: Target) {
        let prefix = path.trim_end_matches('/');
        if prefix.is_empty() {
            self.whole.get_or_insert(target);
            return;
        }
        let depth = prefix.bytes().filter(|byte| *byte == b'/').count();
        self.depth_max = self.depth_max.max(depth);
        self.prefixes
            .entry(prefix.as_bytes().into())
            .or_insert(target);
    }

    /// Whether it is the front door that a path leads to: any where nothing else is, else those of its APIs.
    pub(crate) fn is_front_door(&self, path: &[u8]) -> bool {
        self.is_front_door && (self.is_empty() || is_at_door(path))
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.prefixes.is_empty()
    }

    /// The target for a path.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Target> {
        if self.depth_max > 0 && !prefix::climbs(path) {
            let mut candidate = prefix::first_segments(path, self.depth_max);
            while !candidate.is_empty() {
                if let Some(target) = self.prefixes.get(candidate) {
                    return Some(*target);
                }
                candidate = prefix::parent(candidate);
            }
        }
        self.whole
    }
}

#[cfg(test)]
mod tests;
