//! Workers for tests of drivers and probes.

use std::{sync::Arc, time::Duration};

use penstock_config::{
    Deployment, DownPace, Probes, Protocol, Scaling, Source, UpPace, fleet::WorkerId,
};

use super::NewWorker;

const LONG: Duration = Duration::from_secs(60);

/// A worker of `chat/stable` with this source, and with settings that do not matter.
pub(crate) fn worker(slot: u32, source: Source) -> NewWorker {
    NewWorker {
        id: WorkerId(format!("w{slot}").into()),
        service: "chat".try_into().unwrap(),
        deployment: "stable".try_into().unwrap(),
        slot,
        spec: Arc::new(deployment(source)),
    }
}

fn deployment(source: Source) -> Deployment {
    Deployment {
        name: "stable".try_into().unwrap(),
        host: "stable--chat.local.localhost".to_owned(),
        weight: 1,
        max_concurrency: None,
        ramp: true,
        protocol: Protocol::Http1,
        source,
        probes: Probes {
            startup: None,
            ready: None,
            live: None,
        },
        start_timeout: LONG,
        drain_timeout: LONG,
        scaling: Scaling {
            min: 0,
            max: 1,
            idle_timeout: LONG,
            rules: Vec::new(),
            up: UpPace {
                percent: 100,
                period: LONG,
                burst_from_zero: false,
            },
            down: DownPace {
                stable_for: LONG,
                step: 1,
                percent: 100,
                period: LONG,
            },
        },
    }
}
