//! `[services.NAME.deployments.NAME]`.

use std::{collections::HashSet, path::PathBuf};

use super::{Check, metrics_page, probes, rollout, scaling, service, split};
use crate::{
    Deployment, DeploymentName, Gpus, ProcessCommand, ProcessSpec, Protocol, Scaling, Source,
    StaticAddress, key_path::KeyPath, raw,
};

/// What a deployment inherits.
pub(super) struct Context<'c> {
    pub(super) path: &'c KeyPath,
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
    let (source, scaling) = source(check, context, &mut raw);
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
        rollout,
        max_concurrency: raw.max_concurrency,
        ramp: raw.ramp,
        protocol: raw.protocol.map_or(context.protocol, service::protocol),
        probes: probes::probes(check, &path.key("probes"), raw.probes),
        metrics: metrics_page::metrics_page(
            check,
            &path.key("metrics"),
            raw.metrics,
            source.is_fixed(),
        ),
        source,
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
) -> (Source, Scaling) {
    let path = context.path;
    check.exactly_one(
        path,
        &[
            ("process", raw.process.is_some()),
            ("static", raw.fixed.is_some()),
        ],
    );
    let scaling_path = path.key("scaling");
    match (raw.process.take(), raw.fixed.take()) {
        (None, Some(fixed)) => {
            if raw.scaling.is_some() {
                let rule =
                    "a static deployment has the workers it is given; `scaling` is for `process`";
                check.error(&scaling_path, rule);
            }
            let addresses = addresses(check, path, fixed);
            let scaling = scaling::fixed(addresses.len());
            (Source::Static(addresses), scaling)
        }
        // Without either there is an error already; a process with nothing in it stands in.
        (process, _) => {
            let process = process.unwrap_or_default();
            let scaling = raw.scaling.take().unwrap_or_default();
            (
                Source::Process(process_spec(check, context, process)),
                scaling::scaling(check, &scaling_path, scaling, raw.max_concurrency),
            )
        }
    }
}

fn addresses(check: &mut Check<'_>, path: &KeyPath, fixed: raw::Static) -> Vec<StaticAddress> {
    let path = path.key("static").key("addresses");
    let mut seen = HashSet::new();
    let mut addresses = Vec::with_capacity(fixed.addresses.len());
    for (index, address) in fixed.addresses.into_iter().enumerate() {
        let (address, weight) = match address {
            raw::StaticAddress::Plain(address) => (address.0, 1),
            raw::StaticAddress::Weighted(weighted) => (weighted.address.0, weighted.weight),
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

fn process_spec(
    check: &mut Check<'_>,
    context: &Context<'_>,
    process: raw::Process,
) -> ProcessSpec {
    let path = &context.path.key("process");
    if check.has(path) {
        let given = [
            ("command", process.command.is_some()),
            ("shell", process.shell.is_some()),
        ];
        check.exactly_one(path, &given);
    }
    check_env(check, path, &process);
    if let Gpus::Devices(devices) = context.gpus
        && process.gpus as usize > devices.len()
    {
        let rule = format!("must be at most the {} of gpus.devices", devices.len());
        check.error(&path.key("gpus"), rule);
    }
    ProcessSpec {
        command: command(check, path, process.command, process.shell),
        directory: directory(check, path, process.directory),
        env: process.env,
        gpus: process.gpus,
        stop_grace: process.stop_grace.0,
    }
}

fn command(
    check: &mut Check<'_>,
    path: &KeyPath,
    command: Option<Vec<String>>,
    shell: Option<String>,
) -> ProcessCommand {
    match (command, shell) {
        (None, Some(shell)) => {
            if shell.contains('\0') {
                check.error(&path.key("shell"), "must not hold the character NUL");
            }
            ProcessCommand::Shell(shell)
        }
        (command, _) => {
            let path = path.key("command");
            let command = command.unwrap_or_default();
            check_command(check, &path, &command);
            ProcessCommand::Exec(check.program(&path, command))
        }
    }
}

/// Rules for a program with arguments; that it is not empty is in the schema.
pub(super) fn check_command(check: &mut Check<'_>, path: &KeyPath, command: &[String]) {
    if command
        .first()
        .is_some_and(|program| program.trim().is_empty())
    {
        check.error(&path.index(0), "must name a program");
    }
    for (index, argument) in command.iter().enumerate() {
        if argument.contains('\0') {
            check.error(&path.index(index), "must not hold the character NUL");
        }
    }
}

fn check_env(check: &mut Check<'_>, path: &KeyPath, process: &raw::Process) {
    for (name, value) in &process.env {
        let path = path.key("env").key(name);
        let rule = match name.as_str() {
            "PORT" => "is set by Penstock to the worker's port; write {port} where you need it",
            "CUDA_VISIBLE_DEVICES" if process.gpus > 0 => {
                "is set by Penstock to the worker's GPUs; leave it out, or set `gpus` to 0"
            }
            name if name.is_empty() || name.contains(['=', '\0']) => {
                "the name must not be empty and must not hold = or NUL"
            }
            _ if value.contains('\0') => "must not hold the character NUL",
            _ => continue,
        };
        check.error_without_value(&path, rule);
    }
}

fn directory(check: &Check<'_>, path: &KeyPath, directory: PathBuf) -> PathBuf {
    check.absolute(path, &directory)
}
