//! `[services.NAME.deployments.NAME]`.

use std::{collections::HashSet, sync::Arc};

use super::{
    Check, container, metrics_page, probes, process, rollout, scaling, split, tls, update,
};
use crate::{
    Deployment, DeploymentName, Gpus, Protocol, Scaling, ServiceName, Source, StaticAddress,
    WorkerTls, key_path::KeyPath, raw,
};

/// What a deployment inherits.
pub(super) struct Context<'c> {
    pub(super) path: &'c KeyPath,
    pub(super) service: &'c ServiceName,
    pub(super) name: &'c DeploymentName,
    pub(super) host: String,
    /// That of the service.
    pub(super) protocol: Protocol,
    pub(super) gpus: &'c Gpus,
}

pub(super) fn deployment(
    check: &mut Check<'_>,
    context: &Context<'_>,
    mut raw: raw::Deployment,
) -> Deployment {
    let path = context.path;
    let (source, scaling, tls) = source(check, context, &mut raw);
    let protocol = raw.protocol.unwrap_or(context.protocol);
    let rollout = raw
        .rollout
        .map(|raw_rollout| rollout::rollout(check, path, raw_rollout, raw.takes_traffic));
    Deployment {
        name: context.name.clone(),
        host: context.host.clone(),
        // The rollout decides; until it does, the deployment has no share.
        weight: if rollout.is_some() { 0 } else { raw.weight },
        takes_traffic: raw.takes_traffic,
        when_cold: split::when_cold(raw.when_cold),
        tier: raw.tier,
        rollout,
        priority: raw.priority.unwrap_or_default(),
        price_per_hour: raw.price_per_hour,
        max_concurrency: raw.max_concurrency,
        ramp: raw.ramp,
        protocol,
        probes: probes::probes(check, &path.key("probes"), raw.probes, &source, protocol),
        metrics: metrics_page::metrics_page(
            check,
            &path.key("metrics"),
            raw.metrics,
            source.is_fixed(),
        ),
        update: update::update(check, path, raw.update, source.is_fixed()),
        source,
        tls,
        start_timeout: raw.start_timeout.0,
        drain_timeout: raw.drain_timeout.0,
        voluntary_drain_timeout: raw.voluntary_drain_timeout.0.max(raw.drain_timeout.0),
        scaling,
    }
}

/// Where the workers come from, and how many there are to be.
fn source(
    check: &mut Check<'_>,
    context: &Context<'_>,
    raw: &mut raw::Deployment,
) -> (Source, Scaling, Option<Arc<WorkerTls>>) {
    let path = context.path;
    check.exactly_one(
        path,
        &[
            ("process", raw.process.is_some()),
            ("container", raw.container.is_some()),
            ("static", raw.fixed.is_some()),
        ],
    );
    let scaling_path = path.key("scaling");
    match (raw.process.take(), raw.container.take(), raw.fixed.take()) {
        (None, None, Some(fixed)) => {
            if raw.priority.is_some() {
                let rule = "must be left out: a static deployment takes no GPU from anybody";
                check.error(&path.key("priority"), rule);
            }
            if raw.scaling.is_some() {
                let rule = "a static deployment has the workers it is given; `scaling` is for `process` and `container`";
                check.error(&scaling_path, rule);
            }
            let tls = tls::worker(check, &path.key("static"), &fixed);
            let addresses = addresses(check, path, fixed);
            let scaling = scaling::fixed(addresses.len());
            (Source::Static(addresses), scaling, tls.map(Arc::new))
        }
        // Without any there is an error already; a process with nothing in it stands in.
        (process, container, _) => {
            let source = match (process, container) {
                (None, Some(container)) => {
                    Source::Container(container::container_spec(check, context, container))
                }
                (process, _) => {
                    let process = process.unwrap_or_default();
                    Source::Process(process::process_spec(check, context, process))
                }
            };
            let scaling = raw.scaling.take().unwrap_or_default();
            let scaling = scaling::scaling(check, &scaling_path, scaling, raw.max_concurrency);
            (source, scaling, None)
        }
    }
}

fn addresses(check: &mut Check<'_>, path: &KeyPath, fixed: raw::Static) -> Vec<StaticAddress> {
    let path = path.key("static").key("addresses");
    let mut seen = HashSet::new();
    let mut addresses = Vec::with_capacity(fixed.addresses.len());
    for (index, address) in fixed.addresses.into_iter().enumerate() {
        let (address, weight) = match address {
            raw::StaticAddress::Plain(address) => (address.0.authority, 1),
            raw::StaticAddress::Weighted(weighted) => {
                (weighted.address.0.authority, weighted.weight)
            }
        };
        if !seen.insert(address.clone()) {
            check.error(
                &path.index(index),
                format!("address \"{address}\" is listed twice"),
            );
        }
        addresses.push(StaticAddress { address, weight });
    }
    addresses
}
