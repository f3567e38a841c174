//! Follows a new configuration.

use std::{collections::BTreeMap, sync::Arc};

use penstock_config::{Config, Service};
use tokio::sync::mpsc;

use super::{
    Reconciler, ServiceState,
    carry_out::at_address,
    deployment::{DeploymentState, Key},
    pauses::Stopped,
    traffic::Traffic,
    worker::Life,
};
use crate::{
    probe::{self, ProbeEvent},
    scale::ScaleState,
    status::ConfigStatus,
};

impl Reconciler {
    /// Takes over a configuration. What did not change is left alone; what is not in it any more
    /// drains.
    pub(super) fn apply(&mut self, config: &Arc<Config>) {
        let now = self.clock.now();
        self.config = ConfigStatus::loaded(config, &self.secret_key, self.clock.wall_ms(now));
        let mut removed = Vec::new();
        for (name, service) in &mut self.services {
            if !config.services.contains_key(name) && !service.removed {
                service.removed = true;
                service.deployments.values_mut().for_each(remove);
                self.stale.insert(name.clone());
                removed.push(name.clone());
            }
        }
        for name in removed {
            self.forget_traffic(&name, now);
            self.forget_pauses(&name, now);
        }
        for (name, spec) in &config.services {
            let unchanged = self
                .services
                .get(name)
                .is_some_and(|known| !known.removed && *known.spec == **spec);
            if !unchanged {
                self.follow(spec);
                self.follow_traffic(&spec.name);
                self.follow_pauses(&spec.name, now);
                self.stale.insert(name.clone());
            }
        }
        self.next_tick = now;
    }

    fn follow(&mut self, spec: &Arc<Service>) {
        let now = self.clock.now();
        let events = self.probe_events.clone();
        let service = self
            .services
            .entry(spec.name.clone())
            .or_insert_with(|| ServiceState {
                spec: Arc::clone(spec),
                removed: false,
                deployments: BTreeMap::new(),
                traffic: Traffic::default(),
                saved: Traffic::default(),
                stopped: Stopped::default(),
                file_changed: false,
                rolling: None,
                published: None,
            });
        service.spec = Arc::clone(spec);
        service.removed = false;
        for (name, deployment) in &mut service.deployments {
            if !spec.deployments.contains_key(name) && !deployment.removed {
                remove(deployment);
            }
        }
        for (name, wanted) in &spec.deployments {
            if let Some(deployment) = service.deployments.get_mut(name) {
                let probes_changed =
                    deployment.spec.probes != wanted.probes || deployment.spec.tls != wanted.tls;
                if deployment.removed {
                    deployment.scale = ScaleState::new(deployment.ready(), Default::default(), now);
                    deployment.advice = None;
                }
                deployment.follow(wanted);
                if probes_changed {
                    deployment.probe_anew(&events);
                }
            } else {
                let key = Key {
                    service: spec.name.clone(),
                    deployment: name.clone(),
                };
                // Of a paused service none is desired from the start.
                let is_paused = service.stopped.pauses.of(name.as_str()).is_some();
                let desired = if is_paused { 0 } else { wanted.scaling.min };
                let scale = ScaleState::new(desired, Default::default(), now);
                service.deployments.insert(
                    name.clone(),
                    DeploymentState::new(key, Arc::clone(wanted), scale, &self.secret_key),
                );
            }
        }
    }
}

fn remove(deployment: &mut DeploymentState) {
    deployment.removed = true;
    deployment.changed = true;
}

impl DeploymentState {
    /// Probes all workers by the new settings.
    fn probe_anew(&mut self, events: &mpsc::UnboundedSender<ProbeEvent>) {
        for worker in &mut self.workers {
            if let Some(spec) = at_address(&self.spec, &worker.revision) {
                worker.new.spec = spec;
            }
            if let Some(address) = worker.address.filter(|_| worker.life != Life::Stopping) {
                worker.probing = Some(probe::watch(
                    &worker.new,
                    address,
                    worker.processes,
                    &self.spec.probes,
                    events.clone(),
                ));
            }
        }
    }
}
