//! What tells one revision of a deployment's workers from the next.

use std::sync::Arc;

use penstock_config::{Deployment, ProcessCommand, Source};
use serde_json::json;

use crate::secret::SecretKey;

/// What the workers of a deployment run, as a digest, because commands and environments hold secrets:
/// equal digests need no replacement. For static deployments every worker has a revision of its own,
/// its address; see [`wanted_addresses`].
///
/// Only what shapes the process is in it. Limits, probes, time-outs and scaling apply to workers
/// that run already.
pub(super) fn revision(deployment: &Deployment, key: &SecretKey) -> Arc<str> {
    let Source::Process(spec) = &deployment.source else {
        return "static".into();
    };
    let command = match &spec.command {
        ProcessCommand::Exec(command) => json!(command),
        ProcessCommand::Shell(line) => json!({ "shell": line }),
    };
    let runs = json!({
        "command": command,
        "directory": spec.directory,
        "env": spec.env,
        "inherit_env": spec.inherit_env,
        "gpus": spec.gpus,
    });
    key.digest(&runs.to_string()).into()
}

/// The addresses of a static deployment, each once; `None` for others.
pub(super) fn wanted_addresses(deployment: &Deployment) -> Option<Vec<&str>> {
    let Source::Static(addresses) = &deployment.source else {
        return None;
    };
    let mut wanted: Vec<&str> = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !wanted.contains(&address.address.as_str()) {
            wanted.push(&address.address);
        }
    }
    Some(wanted)
}

/// Whether a worker with `revision` runs what the deployment asks for.
pub(super) fn is_current(deployment: &Deployment, own: &str, revision: &str) -> bool {
    match wanted_addresses(deployment) {
        Some(wanted) => wanted.contains(&revision),
        None => own == revision,
    }
}
