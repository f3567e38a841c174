//! Takes in what happened: load reports, exits, probes, results of driver calls.

use std::{collections::HashSet, net::SocketAddr, sync::Arc, time::Duration};

use penstock_config::fleet::{DeploymentLoad, LoadReport, WorkerId};

use super::{
    Core,
    deployment::{DeploymentState, Key},
    deployment_mut,
    effect::{Effect, Level, Log, Memory},
    event::{ProbeEvent, ProbeFailure, StartError, WorkerExit},
    tally::StartFailure,
    worker::Life,
};
use crate::{remembered::StartRow, reports::Base, revisions::digest_of};

impl Core {
    pub(super) fn on_report(&mut self, report: &LoadReport) {
        let now = self.now.at;
        let Some(base) = self.gateways.take(report, now) else {
            return;
        };
        if !matches!(base, Base::Last { .. }) {
            let text = format!("gateway {:x} reports", report.gateway);
            self.effects.push(Log::effect(Level::Info, None, text));
        }
        for load in &report.deployments {
            let service = self.services.get_mut(&load.service);
            let Some(deployment) =
                service.and_then(|service| service.deployments.get_mut(&load.deployment))
            else {
                continue;
            };
            note_answers(deployment, report.gateway, load, &mut self.effects);
            let tracker = &mut deployment.tracker;
            tracker.take(report.gateway, report.sequence, load, base, now);
            if let Some(outcomes) = &mut deployment.outcomes {
                outcomes.take(report.gateway, &load.outcomes, base);
            }
            if cannot_wait(deployment, load) {
                self.touched.insert(deployment.key.clone());
            }
        }
        self.touch_draining();
    }

    /// A gateway may have closed its gate for a draining worker, also one of a deployment that it
    /// no longer mentions.
    fn touch_draining(&mut self) {
        for service in self.services.values() {
            for deployment in service.deployments.values() {
                if deployment
                    .workers
                    .iter()
                    .any(|worker| matches!(worker.life, Life::Draining { .. }))
                {
                    self.touched.insert(deployment.key.clone());
                }
            }
        }
    }

    pub(super) fn on_exit(&mut self, exit: WorkerExit) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(&exit.id) else {
            return;
        };
        if deployment.workers[place].life == Life::Stopping {
            // It was asked to; the driver says when nothing of it is left.
            return;
        }
        let worker = deployment.workers.swap_remove(place);
        deployment.changed = true;
        let reason: Arc<str> = exit.reason.into();
        deployment.note_exit(&worker, &reason, now);
        let kind = if deployment.is_static() {
            "worker_moved"
        } else {
            "worker_ended"
        };
        self.owners.remove(&exit.id);
        self.effects.push(if self.gpus.holds(&exit.id) {
            // Its GPUs are free when nothing of it is left, which comes back as `Stopped`.
            Effect::Stop(exit.id)
        } else {
            Effect::Forget(exit.id)
        });
        self.note(
            &key,
            kind,
            &format!("worker {} ended: {reason}", worker.new.slot),
        );
        self.touched.insert(key);
        self.room_may_exist();
    }

    pub(super) fn on_probe(&mut self, event: ProbeEvent) {
        match event {
            ProbeEvent::Ready(id) => self.on_ready(&id),
            ProbeEvent::Unreachable(id) => {
                // Whether requests may hope for this deployment can be told now.
                if let Some((key, ..)) = self.worker_mut(&id) {
                    self.touched.insert(key);
                }
            }
            ProbeEvent::Says(id, failure) => self.on_said(&id, failure),
            ProbeEvent::NotReady(id, reason) => self.on_not_ready(&id, reason.into()),
            ProbeEvent::LivenessFailed(id, reason) => self.on_liveness_failed(&id, reason.into()),
        }
    }

    /// Shows with the next turn.
    fn on_said(&mut self, id: &WorkerId, failure: Option<ProbeFailure>) {
        if let Some((_, deployment, place)) = self.worker_mut(id) {
            let worker = &mut deployment.workers[place];
            worker.probe_says = failure.filter(|_| worker.is_probed);
        }
    }

    fn on_ready(&mut self, id: &WorkerId) {
        if self.comes_awake(id) {
            return;
        }
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        worker.passes = true;
        worker.probe_failure = None;
        deployment.changed = true;
        let slot = worker.new.slot;
        let mut text = format!("worker {slot} is ready again");
        if worker.life == Life::Starting {
            worker.life = Life::Serving;
            worker.ready_at = Some(now);
            let took = now.saturating_sub(worker.started_at);
            if worker.adopted {
                text = format!("worker {slot} of an earlier run is ready");
            } else {
                text = format!("worker {slot} is ready after {:.1} s", took.as_secs_f64());
                let revision = Arc::clone(&worker.revision);
                let (of, began) = (digest_of(&revision), worker.started_at);
                deployment.starts.ready_as(of, began, took);
                deployment.tally.started(took.as_secs_f64());
                self.remember_start(&key, &revision, took);
            }
            self.watch_sleep_of(id);
        }
        self.note(&key, "worker_ready", &text);
        self.touched.insert(key);
    }

    fn remember_start(&mut self, key: &Key, revision: &str, took: Duration) {
        let row = StartRow {
            at_ms: self.now.wall_ms,
            service: key.service.to_string(),
            deployment: key.deployment.to_string(),
            revision: digest_of(revision).to_owned(),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            woke: false,
        };
        self.effects.push(Effect::Remember(Memory::Started(row)));
    }

    fn on_not_ready(&mut self, id: &WorkerId, reason: Arc<str>) {
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        let was_ready = worker.is_ready();
        worker.passes = false;
        worker.probe_failure = Some(Arc::clone(&reason));
        let slot = worker.new.slot;
        if was_ready {
            deployment.changed = true;
            self.note(
                &key,
                "worker_not_ready",
                &format!("worker {slot} is not ready: {reason}"),
            );
            self.touched.insert(key);
        }
    }

    fn on_liveness_failed(&mut self, id: &WorkerId, reason: Arc<str>) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        if deployment.is_static() {
            // There is nothing to replace it with. Its readiness decides.
            return;
        }
        let latest = now + deployment.spec.drain_timeout;
        let worker = &mut deployment.workers[place];
        let slot = worker.new.slot;
        worker.broken = Some(Arc::clone(&reason));
        worker.hasten(latest);
        self.note(
            &key,
            "worker_broken",
            &format!("worker {slot} fails its liveness probe: {reason}"),
        );
        self.touched.insert(key);
    }

    pub(super) fn on_started(&mut self, id: &WorkerId, result: Result<SocketAddr, StartError>) {
        match result {
            Ok(address) => self.on_exists(id, address),
            Err(error) => self.on_start_failed(id, error),
        }
    }

    pub(super) fn on_adopted(&mut self, id: &WorkerId, found: Option<SocketAddr>) {
        self.one_adopted();
        match found {
            Some(address) => self.on_exists(id, address),
            None => self.on_not_there(id),
        }
    }

    /// The start of a worker has come further. Its clock begins anew: what is bounded, and learned, is
    /// the time that a worker needs once its image is there.
    pub(super) fn on_progress(&mut self, id: &WorkerId, text: Arc<str>) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = &mut deployment.workers[place];
        if worker.address.is_some() {
            return;
        }
        worker.started_at = now;
        let is_first = worker.progress.replace(Arc::clone(&text)).is_none();
        if is_first {
            deployment.changed = true;
            let slot = deployment.workers[place].new.slot;
            self.note(&key, "worker_prepares", &format!("worker {slot} {text}"));
        }
    }

    /// A worker exists now. It is probed until it is to end.
    fn on_exists(&mut self, id: &WorkerId, address: SocketAddr) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        deployment.starts.found_room();
        let worker = &mut deployment.workers[place];
        worker.address = Some(address);
        if worker.progress.take().is_some() {
            worker.started_at = now;
            deployment.changed = true;
        }
        let all_found = deployment.workers.iter().all(|w| w.address.is_some());
        if deployment.is_static() && all_found {
            // What failed before was only that a name could not be looked up.
            deployment.starts.reset();
        }
        let effect = self.greet(id);
        self.effects.extend(effect);
        self.touched.insert(key);
    }

    /// The image of a worker that is to have GPUs is there: a worker takes its place as soon as there are
    /// some.
    pub(super) fn on_prepared(&mut self, id: &WorkerId, result: Result<(), StartError>) {
        if let Err(error) = result {
            return self.on_start_failed(id, error);
        }
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = deployment.workers.swap_remove(place);
        deployment.prepared = Some(worker.revision);
        deployment.changed = true;
        self.owners.remove(id);
        self.touched.insert(key);
    }

    fn on_start_failed(&mut self, id: &WorkerId, error: StartError) {
        let now = self.now.at;
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = deployment.workers.swap_remove(place);
        let began = worker.started_at;
        deployment.changed = true;
        let reason: Arc<str> = error.to_string().into();
        let called_off = worker.life == Life::Stopping;
        let fixed = deployment.is_static();
        let mut kind = "start_failed";
        match error {
            _ if called_off => {}
            StartError::NoRoom(_) => {
                // Said once, not with every attempt.
                let known = deployment.starts.facts().no_room.as_deref() == Some(&*reason);
                kind = if known { "" } else { "no_room" };
                deployment.starts.no_room(Arc::clone(&reason), now);
            }
            // A name that cannot be looked up now may be found later.
            StartError::Failed(_) if fixed => deployment.starts.pause(&reason, began, now),
            StartError::Failed(_) => {
                deployment
                    .starts
                    .failed_for_good(Arc::clone(&reason), began, now);
                deployment.tally.start_failed(StartFailure::NotStarted);
            }
        }
        self.owners.remove(id);
        self.release_gpus(id);
        if !called_off && !kind.is_empty() {
            self.note(
                &key,
                kind,
                &format!("no worker {}: {reason}", worker.new.slot),
            );
        }
        self.touched.insert(key);
    }

    /// A worker did not outlive the time between two runs of control. After a restart of the
    /// machine none did, and nobody may need them any more.
    fn on_not_there(&mut self, id: &WorkerId) {
        let (now, wall_ms) = (self.now.at, self.now.wall_ms);
        let owner = self.owners.get(id).cloned();
        self.on_gone(id);
        if let Some(deployment) = owner.and_then(|key| deployment_mut(&mut self.services, &key)) {
            deployment.recount(wall_ms, now);
        }
    }

    /// Nothing is left of a worker.
    pub(super) fn on_gone(&mut self, id: &WorkerId) {
        self.release_gpus(id);
        let Some((key, deployment, place)) = self.worker_mut(id) else {
            return;
        };
        let worker = deployment.workers.swap_remove(place);
        deployment.changed = true;
        self.owners.remove(id);
        self.note(
            &key,
            "worker_gone",
            &format!("worker {} is gone", worker.new.slot),
        );
        self.touched.insert(key);
        self.room_may_exist();
    }

    pub(super) fn one_adopted(&mut self) {
        self.adopting = self.adopting.saturating_sub(1);
        if self.adopting == 0 {
            // Starts waited for this.
            self.next_tick = self.now.at;
        }
    }

    /// Something ended: whoever waits for a GPU may try again.
    pub(super) fn room_may_exist(&mut self) {
        for service in self.services.values_mut() {
            for deployment in service.deployments.values_mut() {
                if deployment.starts.facts().no_room.is_some() {
                    deployment.starts.room_may_exist();
                    self.touched.insert(deployment.key.clone());
                }
            }
        }
    }
}

/// Whether a report asks for a turn before the next tick: somebody waits, or the load is alive.
fn cannot_wait(deployment: &DeploymentState, load: &DeploymentLoad) -> bool {
    // Of mirrored copies the gateway tells at once too, where no worker is there to take them.
    let wakes = load.arrivals > 0 || load.woken > 0;
    load.current > 0 || load.queued > 0 || (deployment.decision.desired == 0 && wakes)
}

/// An answered request is as good as a passed liveness probe: a busy worker may answer probes late.
fn note_answers(
    deployment: &DeploymentState,
    gateway: u64,
    load: &DeploymentLoad,
    effects: &mut Vec<Effect>,
) {
    if deployment.spec.probes.live.is_none() {
        return;
    }
    let answering: HashSet<_> = deployment.tracker.answering(gateway, load).collect();
    for worker in &deployment.workers {
        if worker.is_probed && answering.contains(worker.id()) {
            effects.push(Effect::Answered(worker.id().clone()));
        }
    }
}
