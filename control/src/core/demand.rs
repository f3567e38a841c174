//! Writes down the load that forecasts are made from, and takes it up again.

use std::collections::BTreeMap;

use super::{
    Core,
    deployment::Key,
    effect::{Effect, Memory},
};
use crate::{
    remembered::DemandRow,
    scale::{Past, PastDay},
};

impl Core {
    /// Writes down what is new of the load of the past: every five minutes a row of a kilobyte for each
    /// deployment with a forecast.
    pub(super) fn save_demand(&mut self) {
        let services = self.services.values_mut();
        let deployments = services.flat_map(|service| service.deployments.values_mut());
        for deployment in deployments.filter(|deployment| !deployment.removed) {
            if let Some(PastDay { day, means }) = deployment.scale.unsaved() {
                let row = DemandRow {
                    service: deployment.key.service.to_string(),
                    deployment: deployment.key.deployment.to_string(),
                    day,
                    means,
                };
                self.effects.push(Effect::Remember(Memory::Demand(row)));
            }
        }
    }

    /// Takes up what an earlier run wrote down. What is of deployments that are gone is forgotten.
    pub(super) fn restore_demand(&mut self, rows: Vec<DemandRow>) {
        let wall_ms = self.now.wall_ms;
        let mut days: BTreeMap<(String, String), Vec<PastDay>> = BTreeMap::new();
        for row in rows {
            let known = days.entry((row.service, row.deployment)).or_default();
            known.push(PastDay {
                day: row.day,
                means: row.means,
            });
        }
        for ((service, name), days) in days {
            let found = self.named_mut(&service, &name);
            let Some(deployment) = found.filter(|deployment| !deployment.removed) else {
                let forget = Memory::NoDemand(service, name);
                self.effects.push(Effect::Remember(forget));
                continue;
            };
            if let Some(past) = Past::restore(days, wall_ms) {
                deployment.scale.remember(past);
            }
        }
    }

    /// Forgets the load of a deployment that is not configured any more.
    pub(super) fn forget_demand(&mut self, key: &Key) {
        let (service, deployment) = (key.service.to_string(), key.deployment.to_string());
        let forget = Memory::NoDemand(service, deployment);
        self.effects.push(Effect::Remember(forget));
    }
}
