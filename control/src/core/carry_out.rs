//! Executes plans.

use std::{sync::Arc, time::Duration};

use penstock_config::{Deployment, Source, StaticAddress, fleet::WorkerId};

use super::{
    Core,
    deployment::{DeploymentState, Key},
    deployment_mut,
    effect::Effect,
    event::NewWorker,
    tally::StartFailure,
    worker::{Life, Worker},
};
use crate::plan::{Action, DrainCause, StopCause};

impl Core {
    pub(super) fn carry_out(&mut self, key: &Key, action: Action, now: Duration) {
        match action {
            Action::Start { slot } => self.start(key, slot, now),
            Action::Drain { id, why } => self.drain(&id, why, now),
            Action::Undrain { id } => self.undrain(&id),
            Action::Stop { id, why } => self.stop(&id, why, now),
        }
    }

    fn start(&mut self, key: &Key, slot: u32, now: Duration) {
        if let Some(deployment) = deployment_mut(&mut self.services, key)
            && deployment.gpus_to_start().is_some()
        {
            // When there are GPUs for it.
            deployment.wanted.push(slot);
            return;
        }
        let id = self.new_id(key);
        let gpus = (!self.gpus.is_empty()).then(Arc::default);
        self.start_with(key, id, slot, gpus, now);
    }

    /// Starts a worker with these GPUs, or prepares for it where it is to have some and has none yet.
    pub(super) fn start_with(
        &mut self,
        key: &Key,
        id: WorkerId,
        slot: u32,
        gpus: Option<Arc<[String]>>,
        now: Duration,
    ) {
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let Some((spec, revision)) = what_to_run(deployment) else {
            return;
        };
        let prepares = spec.source.gpus().is_some() && gpus.is_none();
        let new = NewWorker {
            id: id.clone(),
            service: key.service.clone(),
            deployment: key.deployment.clone(),
            slot,
            spec,
            gpus,
        };
        let mut worker = Worker::new(new.clone(), Arc::clone(&revision), false, now);
        worker.prepares = prepares;
        deployment.workers.push(worker);
        // Who waits can expect it.
        deployment.changed = true;
        self.owners.insert(id, key.clone());
        let worker = new;
        if prepares {
            self.effects.push(Effect::Prepare(worker));
            return;
        }
        self.effects.push(Effect::Start { worker, revision });
        self.note(
            key,
            "worker_starting",
            &format!("worker {slot} is being started"),
        );
    }

    pub(super) fn drain(&mut self, id: &WorkerId, why: DrainCause, now: Duration) {
        let shutting_down = self.shutting_down;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let forced = why == DrainCause::Broken || shutting_down || deployment.paused.is_some();
        let patience = if forced {
            deployment.spec.drain_timeout
        } else {
            deployment.spec.voluntary_drain_timeout
        };
        let worker = &mut deployment.workers[place];
        worker.life = Life::Draining {
            cause: why,
            began: now,
            deadline: now + patience,
            generation: None,
        };
        let slot = worker.new.slot;
        if why == DrainCause::GivesWay {
            deployment.starts.gave_way();
        }
        deployment.changed = true;
        let lacks_successors = || {
            let deployment = self.deployment(&key);
            deployment.is_some_and(|deployment| deployment.lacks_successors(&self.gpus))
        };
        let is_replaced = why == DrainCause::Outdated && lacks_successors();
        if why == DrainCause::GivesWay || is_replaced {
            // To its own successor.
            self.gpus.promise(id, &key);
        }
        self.note(
            &key,
            "worker_draining",
            &format!("worker {slot} drains: {why}"),
        );
        if self.shutting_down {
            // Nobody has to agree: it can be stopped at once if it has nothing to do.
            self.due.entry(now).or_default().insert(key);
        }
    }

    fn undrain(&mut self, id: &WorkerId) {
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        worker.life = Life::Serving;
        let slot = worker.new.slot;
        deployment.changed = true;
        self.gpus.take_back(id);
        self.note(
            &key,
            "worker_undrained",
            &format!("worker {slot} is needed again"),
        );
    }

    pub(super) fn stop(&mut self, id: &WorkerId, why: StopCause, now: Duration) {
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        let before = std::mem::replace(&mut worker.life, Life::Stopping);
        let was_probed = std::mem::take(&mut worker.is_probed);
        if let Some(failure) = worker.probe_says.take() {
            worker.probe_failure = Some(failure.text);
        }
        let exists = worker.address.is_some();
        let text = format!(
            "worker {} is stopped: {}",
            worker.new.slot,
            explain(worker, why, &deployment.spec, before)
        );
        let mut kind = "worker_stopping";
        if matches!(why, StopCause::StartTimeout | StopCause::Broken) {
            let reason = failure(worker, why, &deployment.spec);
            let began = worker.started_at;
            kind = "start_failed";
            if why == StopCause::StartTimeout {
                deployment.tally.start_failed(StartFailure::TimedOut);
                deployment.starts.failed_for_good(reason, began, now);
            } else {
                deployment.tally.start_failed(StartFailure::Liveness);
                deployment.starts.crashed(reason, began, now);
            }
        }
        if why == StopCause::DrainDeadline {
            kind = "drain_cut";
        }
        deployment.changed = true;
        if was_probed {
            self.effects.push(Effect::StopProbing(id.clone()));
        }
        self.effects.push(if exists {
            Effect::Stop(id.clone())
        } else {
            // Its start is under way, and it is stopped when that has come to something.
            Effect::CallOff(id.clone())
        });
        self.note(&key, kind, &text);
    }

    /// From now on neither a request nor a worker is waited for.
    pub(super) fn hurry(&mut self) {
        let now = self.now.at;
        self.effects.push(Effect::Hurry);
        for service in self.services.values_mut() {
            for deployment in service.deployments.values_mut() {
                deployment.hasten_drains(now);
            }
        }
        self.next_tick = now;
    }

    /// From now on what drains is forced to: it has no more time than `drain_timeout`.
    pub(super) fn force_drains(&mut self) {
        let now = self.now.at;
        for service in self.services.values_mut() {
            for deployment in service.deployments.values_mut() {
                deployment.hasten_drains(now + deployment.spec.drain_timeout);
            }
        }
        self.next_tick = now;
    }

    /// An identity that no worker ever had.
    pub(super) fn new_id(&mut self, key: &Key) -> WorkerId {
        self.workers_made += 1;
        let Key {
            service,
            deployment,
        } = key;
        WorkerId(
            format!(
                "{service}-{deployment}-{:x}-{:x}",
                self.run, self.workers_made
            )
            .into(),
        )
    }
}

/// Settings and revision of a new worker. A static one gets the settings with one address only,
/// its own.
fn what_to_run(deployment: &DeploymentState) -> Option<(Arc<Deployment>, Arc<str>)> {
    if !deployment.is_static() {
        return Some(deployment.what_to_start());
    }
    let address = deployment.free_address()?;
    Some((at_address(&deployment.spec, &address)?, address))
}

/// The settings of a static deployment with one of its addresses only.
pub(super) fn at_address(spec: &Arc<Deployment>, address: &str) -> Option<Arc<Deployment>> {
    let Source::Static(addresses) = &spec.source else {
        return None;
    };
    let own: Vec<StaticAddress> = addresses
        .iter()
        .find(|known| known.address == address)
        .cloned()
        .into_iter()
        .collect();
    Some(Arc::new(Deployment {
        source: Source::Static(own),
        ..Deployment::clone(spec)
    }))
}

impl DeploymentState {
    /// Gives what drains no more time than until `latest`.
    pub(super) fn hasten_drains(&mut self, latest: Duration) {
        for worker in &mut self.workers {
            worker.hasten(latest);
        }
    }
}

/// Why a worker is stopped, whose life was `before`.
fn explain(worker: &Worker, why: StopCause, spec: &Deployment, before: Life) -> String {
    match (why, before) {
        (
            StopCause::DrainDeadline,
            Life::Draining {
                began, deadline, ..
            },
        ) => format!("{why} ({:?})", deadline.saturating_sub(began)),
        (StopCause::StartTimeout | StopCause::Broken, _) => failure(worker, why, spec).to_string(),
        _ => why.to_string(),
    }
}

/// Why a start failed, with what the probes last said.
fn failure(worker: &Worker, why: StopCause, spec: &Deployment) -> Arc<str> {
    match (why, &worker.broken, &worker.probe_failure) {
        (StopCause::Broken, Some(reason), _) => format!("liveness probe: {reason}").into(),
        (_, _, Some(reason)) => {
            let late = StopCause::StartTimeout;
            format!("{late} ({:?}): {reason}", spec.start_timeout).into()
        }
        _ => format!("{} ({:?})", StopCause::StartTimeout, spec.start_timeout).into(),
    }
}
