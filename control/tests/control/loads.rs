//! What a gateway says of a deployment.

use penstock_config::{
    DeploymentName, ServiceName,
    fleet::{DeploymentFleet, DeploymentLoad, Outcomes, TimeHistogram, TokenLoad, WorkerLoad},
};

/// Nothing happens.
pub(crate) fn idle(service: &ServiceName, deployment: &DeploymentName) -> DeploymentLoad {
    DeploymentLoad {
        service: service.clone(),
        deployment: deployment.clone(),
        current: 0,
        queued: 0,
        integral: 0.0,
        arrivals: 0,
        completions: 0,
        errors: 0,
        no_capacity: 0,
        wait: TimeHistogram::default(),
        service_time: TimeHistogram::default(),
        outcomes: Outcomes::default(),
        woken: 0,
        tokens: TokenLoad::default(),
        workers: Vec::new(),
    }
}

/// Each worker has had about seven requests all the time until this second, and has answered seven
/// in each.
pub(crate) fn busy(idle: DeploymentLoad, found: &DeploymentFleet, second: u64) -> DeploymentLoad {
    let in_flight = 6 + (second % 3) as u32;
    let workers: Vec<_> = found
        .workers
        .iter()
        .map(|worker| WorkerLoad {
            id: worker.id.clone(),
            in_flight,
            copies: 0,
            answered: 7 * second,
            failed: 0,
            ejected: false,
        })
        .collect();
    let all = workers.len() as u64;
    let mut service_time = TimeHistogram::default();
    service_time.counts[10] = 7 * second * all;
    DeploymentLoad {
        current: in_flight * all as u32,
        integral: (7 * second * all) as f64,
        arrivals: 7 * (second + 1) * all,
        completions: 7 * second * all,
        service_time,
        workers,
        ..idle
    }
}
