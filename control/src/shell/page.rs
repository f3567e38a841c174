//! The metrics of what the core tells of deployments and rollouts.

use std::{collections::HashMap, sync::Arc};

use penstock_config::{DeploymentName, ServiceName};

use crate::{
    core::{Key, Metric, RolloutTold},
    metrics::{self, DeploymentMetrics, GroupMetrics, RolloutMetrics},
};

/// The handles of what is there. They go with what they are about.
#[derive(Default)]
pub(super) struct Page {
    deployments: HashMap<Key, DeploymentMetrics>,
    rollouts: HashMap<ServiceName, (DeploymentName, RolloutMetrics)>,
    groups: HashMap<Arc<str>, GroupMetrics>,
}

impl Page {
    pub(super) fn deployment(&mut self, key: Key, metric: Metric) {
        let (service, deployment) = (key.service.clone(), key.deployment.clone());
        let metrics = self
            .deployments
            .entry(key)
            .or_insert_with(|| DeploymentMetrics::new(service.as_str(), deployment.as_str()));
        metrics.take(metric);
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.deployments.remove(key);
        metrics::forget(key.service.as_str(), key.deployment.as_str());
    }

    /// GPUs in use and free ones of every group.
    pub(super) fn gpu_groups(&mut self, told: &[(Arc<str>, u32, u32)]) {
        self.groups.retain(|name, group| {
            let stays = told.iter().any(|(known, ..)| known == name);
            if !stays {
                group.update(0, 0);
            }
            stays
        });
        for (name, used, free) in told {
            let group = self.groups.entry(Arc::clone(name));
            let group = group.or_insert_with(|| GroupMetrics::new(name));
            group.update(*used, *free);
        }
    }

    pub(super) fn rollout(&mut self, service: ServiceName, told: Option<RolloutTold>) {
        let known = self.rollouts.remove(&service);
        let Some(told) = told else {
            return;
        };
        let known = known.filter(|(deployment, _)| *deployment == told.deployment);
        let mut metrics = known.map_or_else(
            || RolloutMetrics::new(service.as_str(), &told),
            |(_, metrics)| metrics,
        );
        metrics.update(&told);
        let deployment = told.deployment;
        self.rollouts.insert(service, (deployment, metrics));
    }
}
