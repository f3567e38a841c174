//! What may be wrong with a good file: it hangs on this machine, or may be meant.

use penstock_config::{Config, Deployment, Source};
use penstock_control::driver::process::missing_program;

/// Each with the key that it is about.
pub(super) fn of(config: &Config) -> Vec<String> {
    let deployments = config.services.values().flat_map(|service| {
        let deployments = service.deployments.values();
        deployments.map(move |deployment| (&service.name, deployment))
    });
    let warnings = deployments.filter_map(|(service, deployment)| {
        let warning = of_process(deployment)?;
        let key = format!("services.{service}.deployments.{}.process", deployment.name);
        Some(format!("{key}: {warning}"))
    });
    warnings.collect()
}

/// Not an error: the file may be for another machine, and the program may come later.
fn of_process(deployment: &Deployment) -> Option<String> {
    let Source::Process(spec) = &deployment.source else {
        return None;
    };
    let ourselves = std::env::current_exe().unwrap_or_default();
    let missing = missing_program(spec, &ourselves)?;
    Some(format!(
        "workers cannot be started on this machine now: {missing}"
    ))
}
