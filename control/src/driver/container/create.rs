//! From the settings of a deployment to what the engine is asked for.

use std::{collections::HashMap, ffi::OsString, path::Path};

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountType,
    PortBinding,
};
use penstock_config::{ContainerNetwork, ContainerSpec, Volume, VolumeSource, fleet::WorkerId};

use super::{
    label,
    saved::{Reach, Saved},
};
use crate::driver::{
    NewWorker,
    numa::Near,
    process::{fill, inherited},
};

/// The engine's own log of a container: we read it as it is written, so it need not hold more than what
/// comes while we are away.
const LOG_SIZE: &str = "16m";
const LOG_FILES: &str = "2";

/// All that is decided before the container is made.
pub(super) struct Plan<'p> {
    pub(super) worker: &'p NewWorker,
    pub(super) spec: &'p ContainerSpec,
    pub(super) installation: &'p str,
    /// A port of this machine that nobody else has.
    pub(super) port: u16,
    pub(super) gpus: &'p [String],
    /// The CPUs near these, where it is to run on them only and they are known.
    pub(super) near: Option<Near>,
}

impl Plan<'_> {
    /// What is to be known of the container later.
    pub(super) fn saved(&self) -> Saved {
        Saved {
            reach: match &self.spec.network {
                ContainerNetwork::Bridge | ContainerNetwork::Host => Reach::Loopback(self.port),
                ContainerNetwork::Named(name) => Reach::Network(name.clone(), self.inside()),
            },
            port: self.port,
            gpus: self.gpus.to_vec(),
            stop_grace: self.spec.stop_grace,
        }
    }

    /// The port that the program listens on.
    fn inside(&self) -> u16 {
        self.spec.port.unwrap_or(self.port)
    }

    /// A name for people, which is free: ids of workers are never used twice.
    pub(super) fn name(&self) -> String {
        name(&self.worker.id)
    }

    /// What the engine is asked for. `ours`: our own environment.
    pub(super) fn body(
        &self,
        ours: impl Iterator<Item = (OsString, OsString)>,
    ) -> ContainerCreateBody {
        let (spec, inside) = (self.spec, self.inside());
        let filled = |words: &Vec<String>| words.iter().map(|word| fill(word, inside)).collect();
        let publishes = spec.network == ContainerNetwork::Bridge;
        let port_key = format!("{inside}/tcp");
        ContainerCreateBody {
            image: Some(spec.image.clone()),
            entrypoint: spec.entrypoint.as_ref().map(filled),
            cmd: spec.command.as_ref().map(filled),
            env: Some(self.env(ours)),
            working_dir: spec.directory.clone(),
            user: spec.user.clone(),
            labels: Some(self.labels()),
            exposed_ports: publishes.then(|| vec![port_key.clone()]),
            stop_timeout: i64::try_from(spec.stop_grace.as_secs()).ok(),
            host_config: Some(HostConfig {
                port_bindings: publishes.then(|| HashMap::from([(port_key, self.published())])),
                ..self.host_config()
            }),
            ..Default::default()
        }
    }

    fn published(&self) -> Option<Vec<PortBinding>> {
        Some(vec![PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(self.port.to_string()),
        }])
    }

    fn host_config(&self) -> HostConfig {
        let spec = self.spec;
        let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
        HostConfig {
            network_mode: Some(match &spec.network {
                ContainerNetwork::Bridge => "bridge".to_owned(),
                ContainerNetwork::Host => "host".to_owned(),
                ContainerNetwork::Named(name) => name.clone(),
            }),
            memory: spec.memory.map(bytes),
            // With the limit of memory alone, as much again may be swapped out, which is slower than to
            // be told.
            memory_swap: spec.memory.map(bytes),
            nano_cpus: spec.nano_cpus,
            cpuset_cpus: self.near.as_ref().map(Near::cpu_list),
            // Unlike a process, a container is told in which nodes its memory lies too.
            cpuset_mems: self.near.as_ref().map(Near::node_list),
            shm_size: spec.shm_size.map(bytes),
            mounts: Some(spec.volumes.iter().map(mount).collect()),
            device_requests: (!self.gpus.is_empty()).then(|| vec![gpus(self.gpus)]),
            init: spec.init.then_some(true),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), LOG_SIZE.to_owned()),
                    ("max-file".to_owned(), LOG_FILES.to_owned()),
                ])),
            }),
            ..Default::default()
        }
    }

    /// What it inherits from us, what the user set, then what only we know.
    fn env(&self, ours: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
        let inherited = inherited(&self.spec.inherit_env, ours);
        let mut env: Vec<String> = inherited
            .into_iter()
            // The engine takes text only.
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| !self.spec.env.contains_key(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let set = self.spec.env.iter();
        env.extend(set.map(|(name, value)| format!("{name}={}", fill(value, self.inside()))));
        env.push(format!("PORT={}", self.inside()));
        env
    }

    fn labels(&self) -> HashMap<String, String> {
        let worker = self.worker;
        HashMap::from([
            (label::INSTALLATION.to_owned(), self.installation.to_owned()),
            (label::WORKER.to_owned(), worker.id.to_string()),
            (label::SERVICE.to_owned(), worker.service.to_string()),
            (label::DEPLOYMENT.to_owned(), worker.deployment.to_string()),
            (label::SLOT.to_owned(), worker.slot.to_string()),
            (label::SAVED.to_owned(), self.saved().to_text()),
        ])
    }
}

/// What the container of a worker is called; the engine takes it in place of the container's id.
pub(super) fn name(id: &WorkerId) -> String {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && !"_.-".contains(c);
    format!("penstock-{}", id.0.replace(is_other, "-"))
}

/// A folder that is not there is an error, and not made as `docker run -v` would.
fn mount(volume: &Volume) -> Mount {
    let (typ, source) = match &volume.source {
        VolumeSource::Path(path) => (MountType::BIND, shown(path)),
        VolumeSource::Named(name) => (MountType::VOLUME, name.clone()),
    };
    Mount {
        typ: Some(typ),
        source: Some(source),
        target: Some(volume.target.clone()),
        read_only: Some(volume.read_only),
        ..Default::default()
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What `docker run --gpus device=0,1` asks for.
fn gpus(names: &[String]) -> DeviceRequest {
    DeviceRequest {
        device_ids: Some(names.to_vec()),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use penstock_config::Source;

    use super::*;
    use crate::driver::testing;

    fn spec(text: &str) -> ContainerSpec {
        let text = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\n[services.chat.deployments.stable.container]\n{text}"
        );
        let config = penstock_config::parse(&text, Path::new("/etc/test.toml")).unwrap();
        match &config.services["chat"].deployments["stable"].source {
            Source::Container(spec) => spec.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn made(spec: &ContainerSpec, gpus: &[&str]) -> (Saved, ContainerCreateBody) {
        let gpus: Vec<String> = gpus.iter().map(|&name| name.to_owned()).collect();
        let worker = testing::worker(3, Source::Container(spec.clone()));
        let plan = Plan {
            worker: &worker,
            spec,
            installation: "ours",
            port: 21_000,
            gpus: &gpus,
            near: spec.numa.then(|| Near {
                nodes: vec![1],
                cpus: [4, 5, 6, 9].into(),
            }),
        };
        let ours = [("HF_TOKEN", "of-ours"), ("HOME", "/root")];
        let ours = ours.map(|(name, value)| (name.into(), value.into()));
        (plan.saved(), plan.body(ours.into_iter()))
    }

    #[test]
    fn the_port_is_published_on_loopback_and_filled_in() {
        let spec = spec("image = \"x\"\ncommand = [\"--port={port}\"]\nenv = { AT = \":{port}\" }");
        let (saved, body) = made(&spec, &[]);
        assert_eq!(saved.reach, Reach::Loopback(21_000));
        assert_eq!(body.cmd.unwrap(), ["--port=21000"]);
        assert_eq!(body.env.unwrap(), ["AT=:21000", "PORT=21000"]);
        let host = body.host_config.unwrap();
        let published = &host.port_bindings.unwrap()["21000/tcp"];
        let binding = &published.as_ref().unwrap()[0];
        assert_eq!(binding.host_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(binding.host_port.as_deref(), Some("21000"));
        assert!(host.device_requests.is_none() && host.memory.is_none());
    }

    #[test]
    fn a_port_that_cannot_be_told_is_that_of_the_program_and_published_at_another() {
        let (_, body) = made(&spec("image = \"x\"\nport = 8000"), &[]);
        assert_eq!(body.env.unwrap(), ["PORT=8000"]);
        let published = body.host_config.unwrap().port_bindings.unwrap();
        let binding = &published["8000/tcp"].as_ref().unwrap()[0];
        assert_eq!(binding.host_port.as_deref(), Some("21000"));
    }

    #[test]
    fn other_networks_publish_nothing() {
        let (saved, body) = made(&spec("image = \"x\"\nport = 80\nnetwork = \"gpu\""), &[]);
        assert_eq!(saved.reach, Reach::Network("gpu".to_owned(), 80));
        let host = body.host_config.unwrap();
        assert_eq!(host.network_mode.as_deref(), Some("gpu"));
        assert!(host.port_bindings.is_none());
        let (saved, _) = made(&spec("image = \"x\"\nnetwork = \"host\""), &[]);
        assert_eq!(saved.reach, Reach::Loopback(21_000));
    }

    #[test]
    fn limits_devices_and_mounts_are_what_was_written() {
        let spec = spec(
            "image = \"x\"\nnuma = true\ngpus = 2\ncpus = 1.5\nmemory = \"1GiB\"\nshm_size = \"8MiB\"\nuser = \"7:8\"
            volumes = [\"./models:/models:ro\", \"cache:/cache\"]\ninherit_env = [\"HF_*\"]",
        );
        let (_, body) = made(&spec, &["0", "GPU-b"]);
        assert_eq!(body.user.as_deref(), Some("7:8"));
        assert_eq!(body.env.unwrap(), ["HF_TOKEN=of-ours", "PORT=21000"]);
        let host = body.host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.cpuset_cpus.as_deref(), Some("4-6,9"));
        assert_eq!(host.cpuset_mems.as_deref(), Some("1"));
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(1 << 30), Some(1 << 30))
        );
        assert_eq!(host.shm_size, Some(8 << 20));
        let devices = &host.device_requests.unwrap()[0];
        assert_eq!(devices.device_ids.as_ref().unwrap(), &["0", "GPU-b"]);
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts[0].source.as_deref(), Some("/etc/models"));
        assert_eq!(
            (mounts[0].typ, mounts[0].read_only),
            (Some(MountType::BIND), Some(true))
        );
        assert_eq!(
            (mounts[1].typ, mounts[1].read_only),
            (Some(MountType::VOLUME), Some(false))
        );
    }

    #[test]
    fn labels_lead_a_later_run_to_the_container_and_hold_no_secret() {
        let spec = spec("image = \"x\"\nenv = { TOKEN = \"secret-1\" }\ncommand = [\"secret-2\"]");
        let (saved, body) = made(&spec, &["1"]);
        let labels = body.labels.unwrap();
        assert_eq!(labels[label::INSTALLATION], "ours");
        assert_eq!(labels[label::WORKER], "w3");
        assert_eq!(Saved::from_text(&labels[label::SAVED]), Some(saved));
        assert!(!format!("{labels:?}").contains("secret"));
    }
}
