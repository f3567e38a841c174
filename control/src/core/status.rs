//! Describes the state for the API.

use std::time::Duration;

use penstock_config::{
    DeploymentHosts,
    fleet::{Phase, WorkerId},
};

use super::{
    Core, Moment, ServiceState, deployment::DeploymentState, revision::is_current, worker::Worker,
};
use crate::{
    explain::Unknown,
    remembered::StateFailure,
    reports::Gateways,
    scale::Bounds,
    status::{
        self, DeploymentStatus, ServiceStatus, Status, TokenStatus, WorkerStatus, describe_settings,
    },
};

impl Core {
    pub(super) fn status(&self) -> Status {
        let Moment {
            at: now, wall_ms, ..
        } = self.now;
        Status {
            generation: self.generation,
            gateway_generation: self.gateways.generation(),
            state_failure: self.state_failure.as_ref().map(|failure| {
                let StateFailure { reason, unwritten } = failure;
                format!(
                    "the state file cannot be written ({reason}); what is not in it yet waits: {unwritten}; a restart forgets that"
                )
            }),
            config: self.config.at(wall_ms),
            gpus: self.describe_gpus(),
            services: self
                .services
                .values()
                .map(|service| self.describe(service, wall_ms, now))
                .collect(),
        }
    }

    fn describe(&self, service: &ServiceState, wall_ms: u64, now: Duration) -> ServiceStatus {
        let mut status = describe_service(service, &self.gateways, wall_ms, now);
        let deployments = status.deployments.iter_mut();
        for worker in deployments.flat_map(|deployment| &mut deployment.workers) {
            let id = WorkerId(worker.id.as_str().into());
            worker.gpus = self.gpus.of(&id).map(ToString::to_string).collect();
        }
        status
    }

    pub(super) fn service_status(&self, name: &str) -> Result<ServiceStatus, Unknown> {
        let now = self.now.at;
        let Some(service) = self.services.get(name) else {
            return Err(self.unknown(name));
        };
        let wall_ms = self.now.wall_ms;
        Ok(self.describe(service, wall_ms, now))
    }
}

fn describe_service(
    service: &ServiceState,
    gateways: &Gateways,
    wall_ms: u64,
    now: Duration,
) -> ServiceStatus {
    let told = || gateways.told(&service.spec.name);
    let own_hosts = &service.spec.access.deployment_hosts;
    let tokens = service.deployments.values();
    let tokens = tokens.filter_map(|deployment| TokenStatus::of(deployment.tracker.tokens(now)));
    ServiceStatus {
        name: service.spec.name.to_string(),
        display_name: service.spec.display_name.clone(),
        hosts: service.spec.hosts.clone(),
        removed: service.removed,
        settings: describe_settings(&service.spec),
        by_hand: service.describe_by_hand(),
        paused: service.describe_pause(None),
        classes: status::classes(&service.spec, told()),
        mirror: status::mirror(&service.spec, told()),
        tokens: TokenStatus::sum(tokens),
        cost: {
            let mut costs = service.deployments.values();
            let costs = costs.by_ref().filter_map(DeploymentState::describe_cost);
            costs.reduce(|a, b| [a, b].into_iter().sum())
        },
        deployments: service
            .deployments
            .values()
            .map(|deployment| DeploymentStatus {
                host: own_host(service, deployment),
                host_needs_key: matches!(own_hosts, DeploymentHosts::Key(_)),
                overflow: status::overflow(&deployment.spec.name, told()),
                rollout: service.describe_rollout(&deployment.spec.name),
                paused: service.describe_pause(Some(deployment.spec.name.as_str())),
                ..describe_deployment(deployment, wall_ms, now)
            })
            .collect(),
    }
}

/// The host by which a deployment is reached, if it is.
fn own_host(service: &ServiceState, deployment: &DeploymentState) -> Option<String> {
    let is_closed = service.spec.access.deployment_hosts == DeploymentHosts::Closed;
    let leads_there = !is_closed && !service.removed && !deployment.removed;
    leads_there.then(|| deployment.spec.host.clone())
}

fn describe_deployment(
    deployment: &DeploymentState,
    wall_ms: u64,
    now: Duration,
) -> DeploymentStatus {
    let troubles = deployment.troubles(now);
    let phase_reason = match &deployment.phase {
        Phase::Failed { reason, .. } if troubles.is_empty() => Some(reason.to_string()),
        Phase::Paused { reason, .. } => Some(reason.to_string()),
        _ => troubles.first().cloned(),
    };
    let (decision, ruled) = (&deployment.decision, deployment.ruled());
    let bounds = Bounds::at(&deployment.spec.scaling, wall_ms);
    let mut workers: Vec<WorkerStatus> = deployment
        .workers
        .iter()
        .map(|worker| describe_worker(deployment, worker, now))
        .collect();
    workers.sort_by_key(|worker| worker.slot);
    DeploymentStatus {
        name: deployment.spec.name.to_string(),
        host: None,
        host_needs_key: false,
        weight: deployment.weight,
        file_weight: deployment.spec.weight,
        tier: deployment.spec.tier,
        overflow: None,
        cost: deployment.describe_cost(),
        rollout: None,
        removed: deployment.removed,
        phase: deployment.state_word(&troubles).into(),
        phase_reason,
        troubles,
        revision: deployment.number_in_force(),
        switched: deployment.describe_switched(),
        scaled: deployment.describe_scaled(),
        update: deployment.describe_update(),
        paused: None,
        no_room: deployment.waits_for_room(),
        restarts: deployment.exits.count,
        last_exit: deployment.exits.last(now),
        desired: decision.desired,
        min: bounds.min,
        max: bounds.max,
        in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
        queued: deployment.measured.queued,
        tokens: TokenStatus::of(deployment.tracker.tokens(now)),
        reason: decision.reason.label().into(),
        reason_text: decision.reason.to_string(),
        advice: deployment.describe_advice(),
        wishes: ruled.wishes.iter().map(ToString::to_string).collect(),
        clamps: ruled.clamps.iter().map(ToString::to_string).collect(),
        start_estimate: deployment
            .starts
            .times()
            .map(|times| times.p50.as_secs_f64()),
        recent: None,
        workers,
    }
}

fn describe_worker(deployment: &DeploymentState, worker: &Worker, now: Duration) -> WorkerStatus {
    // Of a process that loads nobody expects an answer yet.
    let shows_probe = deployment.is_static() || worker.ready_at.is_some();
    WorkerStatus {
        id: worker.id().to_string(),
        slot: worker.new.slot,
        state: worker.state().into(),
        gpus: Vec::new(),
        address: worker.address.map(|address| address.to_string()),
        in_flight: deployment.tracker.in_flight(worker.id()),
        ejected: deployment.tracker.is_ejected(worker.id()),
        age: now.saturating_sub(worker.started_at).as_secs_f64(),
        revision: deployment.number_of(&worker.revision),
        outdated: !is_current(&deployment.spec, &deployment.revision, &worker.revision),
        progress: worker.progress.as_ref().map(ToString::to_string),
        probe_failure: worker
            .broken
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| worker.wrong_port())
            .or_else(|| worker.unreachable().filter(|_| shows_probe))
            .or_else(|| worker.probe_failure.as_ref().map(ToString::to_string)),
        metrics_failure: worker.metrics_failure().map(str::to_owned),
        recent: None,
    }
}
