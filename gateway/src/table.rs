//! Everything requests are routed by: one immutable value, replaced when services change.

use std::sync::Arc;

use penstock_balancer::{Share, WeightedSplit, key};
use penstock_config::Service;

use crate::{
    deployment::DeploymentState,
    route::{RouteTable, Target},
};

/// The services and the way to them.
pub(crate) struct Table {
    routes: RouteTable,
    services: Vec<Arc<ServiceState>>,
}

/// One service as requests see it. Requests keep the one they began with.
pub(crate) struct ServiceState {
    /// What the user set.
    pub(crate) spec: Arc<Service>,
    /// Its deployments, in the order of names.
    pub(crate) deployments: Vec<Arc<DeploymentState>>,
    split: WeightedSplit,
}

impl Table {
    /// A table of these services.
    pub(crate) fn new(services: Vec<Arc<ServiceState>>) -> Self {
        let specs = services
            .iter()
            .enumerate()
            .map(|(index, service)| (index, &*service.spec));
        Self {
            routes: RouteTable::build(specs),
            services,
        }
    }

    /// The service a request is for, and the deployment if its host names one.
    pub(crate) fn find(
        &self,
        host: &str,
        path: &str,
    ) -> Option<(&Arc<ServiceState>, Option<usize>)> {
        let Target {
            service,
            deployment,
        } = self.routes.find(host, path)?;
        Some((&self.services[service], deployment))
    }

    /// All services.
    pub(crate) fn services(&self) -> &[Arc<ServiceState>] {
        &self.services
    }
}

impl ServiceState {
    /// A service; shares go on from where `previous` was.
    pub(crate) fn new(
        spec: Arc<Service>,
        deployments: Vec<Arc<DeploymentState>>,
        previous: Option<&Self>,
    ) -> Self {
        let shares: Vec<_> = spec
            .deployments
            .values()
            .map(|deployment| Share {
                key: key(deployment.name.as_str().as_bytes()),
                weight: deployment.weight,
            })
            .collect();
        let split = WeightedSplit::new(&shares, previous.map(|previous| &previous.split));
        Self {
            spec,
            deployments,
            split,
        }
    }

    /// Chooses the deployment of a request.
    pub(crate) fn choose(&self) -> Option<&Arc<DeploymentState>> {
        self.split.choose().map(|chosen| &self.deployments[chosen])
    }
}
