//! What tells one revision of a deployment's workers from the next.

use std::sync::Arc;

use penstock_config::{
    ContainerNetwork, ContainerSpec, Deployment, GpuChoice, GpuGroupName, ProcessCommand, Source,
    VolumeSource,
};
use serde_json::{Value, json};

use crate::secret::SecretKey;

/// What the workers of a deployment run, as a digest, because commands and environments hold secrets:
/// equal digests need no replacement. For static deployments every worker has a revision of its own,
/// its address; see [`wanted_addresses`].
///
/// Only what shapes the process is in it. Limits, probes, time-outs and scaling apply to workers
/// that run already.
pub(super) fn revision(deployment: &Deployment, key: &SecretKey) -> Arc<str> {
    let spec = match &deployment.source {
        Source::Process(spec) => spec,
        Source::Container(spec) => return key.digest(&of_container(spec).to_string()).into(),
        Source::Static(_) => return "static".into(),
    };
    let command = match &spec.command {
        ProcessCommand::Exec(command) => json!(command),
        ProcessCommand::Shell(line) => json!({ "shell": line }),
    };
    let mut runs = json!({
        "command": command,
        "directory": spec.directory,
        "env": spec.env,
        "inherit_env": spec.inherit_env,
        "gpus": of_gpus(&spec.gpus),
    });
    note_numa(&mut runs, spec.numa);
    key.digest(&runs.to_string()).into()
}

/// Only where it is set, so that nothing is replaced because there is such a setting now.
fn note_numa(runs: &mut Value, numa: bool) {
    if numa {
        runs["numa"] = json!(true);
    }
}

/// A number, as it was before there were groups: nothing is replaced because of them.
fn of_gpus(gpus: &GpuChoice) -> Value {
    if gpus.groups.is_empty() {
        return json!(gpus.count);
    }
    let groups: Vec<&str> = gpus.groups.iter().map(GpuGroupName::as_str).collect();
    json!({ "count": gpus.count, "groups": groups })
}

/// How a container is pulled and ended shapes nothing that runs already.
fn of_container(spec: &ContainerSpec) -> Value {
    let volumes = spec.volumes.iter().map(|volume| {
        let (kind, source) = match &volume.source {
            VolumeSource::Path(path) => ("path", path.to_string_lossy().into_owned()),
            VolumeSource::Named(name) => ("name", name.clone()),
        };
        json!([kind, source, volume.target, volume.read_only])
    });
    let volumes: Vec<Value> = volumes.collect();
    let network = match &spec.network {
        ContainerNetwork::Bridge => json!("bridge"),
        ContainerNetwork::Host => json!("host"),
        ContainerNetwork::Named(name) => json!({ "name": name }),
    };
    let mut runs = json!({
        "image": spec.image,
        "entrypoint": spec.entrypoint,
        "command": spec.command,
        "port": spec.port,
        "env": spec.env,
        "inherit_env": spec.inherit_env,
        "directory": spec.directory,
        "gpus": of_gpus(&spec.gpus),
        "nano_cpus": spec.nano_cpus,
        "memory": spec.memory,
        "shm_size": spec.shm_size,
        "volumes": volumes,
        "user": spec.user,
        "network": network,
        "init": spec.init,
    });
    note_numa(&mut runs, spec.numa);
    runs
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The revision of a deployment with this table `container`.
    fn of(container: &str) -> Arc<str> {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.chat.deployments.stable.container]\n{container}"
        );
        let config = penstock_config::parse(&text, Path::new("/etc/test.toml")).unwrap();
        let deployment = &config.services["chat"].deployments["stable"];
        revision(deployment, &SecretKey::default())
    }

    #[test]
    fn a_container_is_replaced_when_anything_in_it_changes_and_only_then() {
        let before = of("image = \"x\"");
        for same in [
            "pull = \"always\"",
            "stop_grace = \"1s\"",
            "registry_credentials = \"/c\"",
        ] {
            assert_eq!(of(&format!("image = \"x\"\n{same}")), before, "{same}");
        }
        let mut all = vec![before, of("image = \"y\"")];
        for other in [
            "entrypoint = [\"a\"]",
            "command = [\"a\"]",
            "port = 80",
            "env = { A = \"1\" }",
            "env = { A = \"2\" }",
            "inherit_env = [\"A\"]",
            "directory = \"/a\"",
            "gpus = 1",
            "cpus = 1",
            "memory = \"1GiB\"",
            "shm_size = \"1GiB\"",
            "volumes = [\"/a:/b\"]",
            "volumes = [\"/a:/b:ro\"]",
            "volumes = [\"aa:/b\"]",
            "user = \"1\"",
            "network = \"host\"",
            "network = \"other\"",
            "init = true",
        ] {
            let revision = of(&format!("image = \"x\"\n{other}"));
            assert!(!all.contains(&revision), "{other}");
            all.push(revision);
        }
    }
}
