//! Workers for tests of drivers and probes.

use std::{path::Path, sync::Arc};

use penstock_config::{Deployment, Probes, Source, fleet::WorkerId};

use super::NewWorker;

/// A worker of `chat/stable` with this source, and with settings that do not matter.
pub(crate) fn worker(slot: u32, source: Source) -> NewWorker {
    NewWorker {
        id: WorkerId(format!("w{slot}").into()),
        service: "chat".try_into().unwrap(),
        deployment: "stable".try_into().unwrap(),
        slot,
        spec: Arc::new(deployment(source)),
        gpus: None,
    }
}

fn deployment(source: Source) -> Deployment {
    let text = r#"
        [[listeners]]
        address = "127.0.0.1:0"
        [services.chat.deployments.stable]
        process.shell = "true"
    "#;
    let config = penstock_config::parse(text, Path::new("test.toml")).unwrap();
    let deployment = &config.services["chat"].deployments["stable"];
    Deployment {
        source,
        probes: Probes {
            startup: None,
            ready: None,
            live: None,
        },
        ..Deployment::clone(deployment)
    }
}
