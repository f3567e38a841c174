//! Finds services, deployments and workers in the state of control.

use std::collections::BTreeMap;

use penstock_config::{ServiceName, fleet::WorkerId};

use super::{
    Core, ServiceState,
    deployment::{DeploymentState, Key},
};
use crate::{explain::Unknown, scale::Decision};

impl Core {
    /// The last decision about a deployment, and the last one that is only advice.
    pub fn decided(&self, key: &Key) -> Option<(&Decision, Option<&Decision>)> {
        let service = self.services.get(&key.service)?;
        let deployment = service.deployments.get(&key.deployment)?;
        Some((&deployment.decision, deployment.advised()))
    }

    /// All deployments.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let services = self.services.values();
        services.flat_map(|service| {
            service
                .deployments
                .values()
                .map(|deployment| &deployment.key)
        })
    }

    /// The name of a service that somebody asks about.
    pub(super) fn known(&self, wanted: &str) -> Result<ServiceName, Unknown> {
        let is_here = |(_, service): &(&ServiceName, &ServiceState)| !service.removed;
        let found = self.services.get_key_value(wanted).filter(is_here);
        let name = found.map(|(name, _)| name.clone());
        name.ok_or_else(|| self.unknown(wanted))
    }

    /// That there is no such service, and which there are.
    pub(super) fn unknown(&self, wanted: &str) -> Unknown {
        let services = self.services.iter();
        let here = services.filter(|(_, service)| !service.removed);
        Unknown::Service {
            name: wanted.to_owned(),
            there_are: here.map(|(name, _)| name.to_string()).collect(),
        }
    }

    /// The deployment with the names that the state file has.
    pub(super) fn named_mut(
        &mut self,
        service: &str,
        deployment: &str,
    ) -> Option<&mut DeploymentState> {
        let service = self.services.get_mut(service)?;
        service.deployments.get_mut(deployment)
    }

    /// The deployment and the worker of an event; `None` when it came too late.
    pub(super) fn worker_mut(
        &mut self,
        id: &WorkerId,
    ) -> Option<(Key, &mut DeploymentState, usize)> {
        let key = self.owners.get(id)?.clone();
        let deployment = deployment_mut(&mut self.services, &key)?;
        let place = deployment
            .workers
            .iter()
            .position(|worker| worker.id() == id)?;
        Some((key, deployment, place))
    }
}

/// A free function, so that other parts of the state can be borrowed beside it.
pub(super) fn deployment_mut<'a>(
    services: &'a mut BTreeMap<ServiceName, ServiceState>,
    key: &Key,
) -> Option<&'a mut DeploymentState> {
    services
        .get_mut(&key.service)?
        .deployments
        .get_mut(&key.deployment)
}
