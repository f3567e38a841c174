//! What may be wrong with a good file: it hangs on this machine, or may be meant.

use penstock_config::{Config, ContainerSpec, Deployment, Source, VolumeSource};
use penstock_control::driver::process::missing_program;

/// Each with the key that it is about.
pub(super) fn of(config: &Config) -> Vec<String> {
    let deployments = config.services.values().flat_map(|service| {
        let deployments = service.deployments.values();
        deployments.map(move |deployment| (&service.name, deployment))
    });
    let warnings = deployments.filter_map(|(service, deployment)| {
        let (key, missing) = missing(deployment)?;
        Some(format!(
            "services.{service}.deployments.{}.{key}: workers cannot be started on this machine now: \
             {missing}",
            deployment.name
        ))
    });
    warnings.collect()
}

/// Not an error: the file may be for another machine, and what is missing may come later.
fn missing(deployment: &Deployment) -> Option<(&'static str, String)> {
    match &deployment.source {
        Source::Process(spec) => {
            let ourselves = std::env::current_exe().unwrap_or_default();
            Some(("process", missing_program(spec, &ourselves)?))
        }
        Source::Container(spec) => Some(("container", missing_file(spec)?)),
        Source::Static(_) => None,
    }
}

/// A file or folder that a container needs.
fn missing_file(spec: &ContainerSpec) -> Option<String> {
    let mounted = spec
        .volumes
        .iter()
        .filter_map(|volume| match &volume.source {
            VolumeSource::Path(path) => Some(("volumes", path)),
            VolumeSource::Named(_) => None,
        });
    let credentials = spec.registry_credentials.iter();
    let mut needed = mounted.chain(credentials.map(|file| ("registry_credentials", file)));
    let (key, path) = needed.find(|(_, path)| !path.exists())?;
    Some(format!("{key}: {} is not there", path.display()))
}
