//! Tells the gateways how things are.

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::{FleetSnapshot, ServiceFleet};

use super::{Core, Effect, ServiceState, worker::Life};

impl Core {
    /// Publishes a snapshot if anything in it would differ from the last one. What did not change
    /// stays the same `Arc`.
    pub(super) fn publish(&mut self) {
        let stale = std::mem::take(&mut self.stale);
        if stale.is_empty() && self.generation > 0 {
            return;
        }
        self.generation += 1;
        let now = self.now.at;
        for name in &stale {
            if let Some(service) = self.services.get_mut(name) {
                service.build(self.generation, now);
            }
        }
        let services = self.services.values().filter(|service| !service.removed);
        let services = services
            .filter_map(|service| service.published.clone())
            .collect();
        let snapshot = FleetSnapshot {
            generation: self.generation,
            services,
        };
        self.effects.push(Effect::Publish(Arc::new(snapshot)));
    }

    /// Removed services and deployments go when their workers are gone.
    pub(super) fn forget_removed(&mut self) {
        let mut gone = Vec::new();
        for service in self.services.values_mut() {
            service.deployments.retain(|_, deployment| {
                let stays = !deployment.removed || !deployment.workers.is_empty();
                if !stays {
                    gone.push(deployment.key.clone());
                }
                stays
            });
        }
        for key in gone {
            self.forget_demand(&key);
            self.effects.push(Effect::ForgetMetrics(key));
        }
        self.services
            .retain(|_, service| !service.removed || !service.deployments.is_empty());
    }
}

impl ServiceState {
    /// Builds what the gateways see of this service.
    fn build(&mut self, generation: u64, now: Duration) {
        for deployment in self.deployments.values_mut() {
            deployment.changed = false;
            for worker in &mut deployment.workers {
                if let Life::Draining {
                    generation: told @ None,
                    ..
                } = &mut worker.life
                {
                    *told = Some(generation);
                }
            }
        }
        let deployments = self
            .deployments
            .values()
            .filter(|deployment| !deployment.removed);
        self.published = Some(Arc::new(ServiceFleet {
            spec: Arc::clone(&self.spec),
            deployments: deployments
                .map(|deployment| deployment.fleet(now))
                .collect(),
        }));
    }
}
