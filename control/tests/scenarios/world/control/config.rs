//! The settings of a scenario as a configuration and a state file.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use penstock_config::{Config, Deployment, Service, Source, StaticAddress};
use penstock_control::{remembered::DemandRow, scale::PastDay};

use super::Setup;

/// The configuration; without the deployment when it is removed.
pub(super) fn config(setup: &Setup, with_it: bool) -> Arc<Config> {
    static BASE: OnceLock<Arc<Config>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let text = "listeners = [{ address = \"127.0.0.1:0\" }]
             [services.s.deployments.d]
             process = { command = [\"worker\"] }";
        Arc::new(penstock_config::parse(text, Path::new("/scenario.toml")).expect("it is right"))
    });
    let mut config = Config::clone(base);
    if !with_it {
        config.services.clear();
        return Arc::new(config);
    }
    for service in config.services.values_mut() {
        let mut changed = Service::clone(service);
        for deployment in changed.deployments.values_mut() {
            *deployment = Arc::new(with_settings(deployment, setup));
        }
        *service = Arc::new(changed);
    }
    Arc::new(config)
}

fn with_settings(deployment: &Deployment, setup: &Setup) -> Deployment {
    Deployment {
        scaling: setup.scaling.clone(),
        max_concurrency: Some(setup.max_concurrency),
        start_timeout: setup.start_timeout,
        drain_timeout: setup.drain_timeout,
        voluntary_drain_timeout: setup.drain_timeout,
        source: match setup.given {
            None => deployment.source.clone(),
            Some(count) => Source::Static((0..count).map(address).collect()),
        },
        ..deployment.clone()
    }
}

fn address(number: u32) -> StaticAddress {
    StaticAddress {
        address: format!("10.0.0.{number}:8000"),
        weight: 1,
    }
}

/// A day of the past as the state file has it.
pub(super) fn demand(day: &PastDay) -> DemandRow {
    DemandRow {
        service: "s".to_owned(),
        deployment: "d".to_owned(),
        day: day.day,
        means: day.means.clone(),
    }
}
